"""Ways to break the manifests, each of which the checks have to see."""


def spec(kind, change):
    return lambda m: change(m.kubernetes[kind]["spec"])


def deployment(change):
    return spec("Deployment", change)


def container(change):
    return lambda m: change(m.container)


def entry(m, name):
    return next(entry for entry in m.container["env"] if entry["name"] == name)


def replace(name, before, after):
    """Changes a text of the manifests; what is not there cannot be broken."""

    def change(m):
        text = getattr(m, name)
        assert before in text, before
        setattr(m, name, text.replace(before, after))

    return change


def tenants(file, before, after):
    def change(m):
        assert before in m.tenants[file], before
        m.tenants[file] = m.tenants[file].replace(before, after)

    return change


def app(change):
    return lambda m: change(m.compose["services"]["app"])


BREAKS = {
    "an old API version": lambda m: m.kubernetes["HorizontalPodAutoscaler"].update(apiVersion="autoscaling/v1"),
    "a field with a wrong name": container(lambda c: c["securityContext"].update(readOnlyRootFileSystem=True)),
    "a number as text": deployment(lambda d: d.update(replicas="3")),
    "a truth as a number": deployment(lambda d: d.update(replicas=True)),
    "a root that can be written": container(lambda c: c["securityContext"].update(readOnlyRootFilesystem=False)),
    "no selector": deployment(lambda d: d.pop("selector")),
    "a selector of other pods": deployment(lambda d: d["selector"].update(matchLabels={"app.kubernetes.io/name": "x"})),
    "a Service without pods": lambda m: m.kubernetes["Service"]["spec"]["selector"].update(tier="web"),
    "a Service on another port": lambda m: m.kubernetes["Service"]["spec"]["ports"][0].update(targetPort="web"),
    "another number of replicas": deployment(lambda d: d.update(replicas=2)),
    "an autoscaler of something else": spec("HorizontalPodAutoscaler", lambda s: s["scaleTargetRef"].update(name="x")),
    "a budget for other pods": spec(
        "PodDisruptionBudget", lambda s: s["selector"].update(matchLabels={"app.kubernetes.io/name": "x"})
    ),
    "a policy that keeps PostgreSQL out": lambda m: m.kubernetes["NetworkPolicy"]["spec"]["egress"][1]["ports"].pop(),
    "a ConfigMap of another name": lambda m: m.kubernetes["ConfigMap"]["metadata"].update(name="x"),
    "a key that the Secret lacks": lambda m: m.kubernetes["Secret"]["stringData"].pop("redis-password"),
    "a secret for nobody": lambda m: m.kubernetes["Secret"]["stringData"].update(spare="REPLACE-ME"),
    "a real secret": lambda m: m.kubernetes["Secret"]["stringData"].update({"secret-key": "0" * 64}),
    "a password in a URL": lambda m: m.kubernetes["ConfigMap"]["data"].update(
        POSTGRES_URL="postgres://mtagent:x@postgres:5432/mtagent"
    ),
    "the reference's host name": app(lambda a: a["environment"].update(POSTGRES_URL="postgres://db:5432")),
    "a volume that is not mounted": container(lambda c: c["volumeMounts"].pop()),
    "other limits": container(lambda c: c["resources"]["limits"].update(memory="1Gi")),
    "a probe of another path": container(lambda c: c["readinessProbe"]["httpGet"].update(path="/ready")),
    "a liveness that depends on others": container(lambda c: c["livenessProbe"]["httpGet"].update(path="/readyz")),
    "a short grace period": lambda m: m.pod.update(terminationGracePeriodSeconds=30),
    "a delay that nobody notices": container(lambda c: c.update(args=["serve", "--drain-delay", "1s"])),
    "a flag that is none": container(lambda c: c["args"].append("--drain-time")),
    "a variable that is none": lambda m: entry(m, "MTAGENT_DATA").update(name="MTAGENT_FOLDER"),
    "a variable twice": container(lambda c: c["env"].append({"name": "MTAGENT_DATA", "value": "/data"})),
    "another user": lambda m: m.pod["securityContext"].update(runAsUser=1000),
    "the latest image": lambda m: m.compose["services"]["redis"].update(image="redis:alpine"),
    "an image without a tag": lambda m: m.compose["services"]["postgres"].update(image="postgres"),
    "a volume without declaration": lambda m: m.compose.update(volumes={"pg-data": None}),
    "a secret without declaration": lambda m: m.compose["secrets"].pop("redis_password"),
    "a password in the environment": app(lambda a: a["environment"].update(REDIS_PASSWORD="x")),
    "a server without health check": lambda m: m.compose["services"]["redis"].pop("healthcheck"),
    "everybody's port": app(lambda a: a.update(ports=["8080:8080"])),
    "a shared data folder": app(lambda a: a.update(volumes=["app-data:/var/lib/mtagent"])),
    "a root that can be written in compose": app(lambda a: a.update(read_only=False)),
    "an app that is killed early": app(lambda a: a.update(stop_grace_period="10s")),
    "an image that runs as root": replace("dockerfile", "USER 10001:10001", "USER root"),
    "an image without health check": replace("dockerfile", 'CMD ["mtagent", "ping"]', "NONE"),
    "a library less": replace("dockerfile", "libfmt9 ", ""),
    "a unit with another flag": lambda m: m.unit["Service"].update(ExecStart=["/usr/local/bin/mtagent serve --drain"]),
    "a unit that is killed early": lambda m: m.unit["Service"].update(TimeoutStopSec=["20s"]),
    "a credential that is not loaded": lambda m: m.drop_in["Service"]["LoadCredential"].pop(),
    "an unknown key of a tenant": tenants("configmap.yaml", "storage_type", "storage_typ"),
    "a key hash that is none": tenants("configmap.yaml", "aaaaaaaaaaaa:", "aaaa:"),
    "a tenant of compose that needs a key": tenants("compose.tenants.toml", 'auth = "open"', 'auth = "key"'),
}
