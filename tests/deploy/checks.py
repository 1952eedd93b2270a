"""What has to hold of the manifests in deploy/. Each check gives what is wrong, as a list of lines."""

import pathlib
import re

import shape
from manifests import DEPLOY, TOP, drain_seconds, flag, seconds

REFERENCE = {"requests": {"memory": "256Mi", "cpu": "250m"}, "limits": {"memory": "512Mi", "cpu": "500m"}}
PORT = 8080
IMAGE_USER = 10001


def expect(found, right, message):
    if not right:
        found.append(message)


def check_words(words, program, where):
    """A command line of the program: a command and flags that exist."""
    found = []
    expect(found, words[:1] == ["serve"], f"{where}: the command is not serve")
    for word in words:
        if word.startswith("--") and word.split("=")[0] not in program.flags:
            found.append(f"{where}: `mtagent serve` has no {word}")
    return found


def check_variables(names, program, where):
    return [f"{where}: {name} is not in mtagent(1)" for name in names if name not in program.variables]


def check_references(all_of):
    """What the pod takes from ConfigMap, Secret and volumes is there, and all of it is taken."""
    found = []
    sources = {"configMapKeyRef": ("ConfigMap", "data"), "secretKeyRef": ("Secret", "stringData")}
    used = {"ConfigMap": set(), "Secret": set()}
    for entry in all_of.container["env"]:
        expect(found, ("value" in entry) != ("valueFrom" in entry), f"{entry['name']}: value or valueFrom, one of them")
        for kind_of_ref, reference in entry.get("valueFrom", {}).items():
            kind, field = sources[kind_of_ref]
            target = all_of.kubernetes[kind]
            expect(found, reference["name"] == target["metadata"]["name"], f"{entry['name']}: no {kind} of that name")
            expect(found, reference["key"] in target[field], f"{entry['name']}: {kind} has no key {reference['key']}")
            used[kind].add(reference["key"])
    for volume in all_of.pod["volumes"]:
        for field, name_field, kind, data in (("configMap", "name", "ConfigMap", "data"),
                                              ("secret", "secretName", "Secret", "stringData")):
            if field in volume:
                target = all_of.kubernetes[kind]
                expect(found, volume[field][name_field] == target["metadata"]["name"],
                       f"{volume['name']}: no such {kind}")
                for item in volume[field].get("items", []):
                    expect(found, item["key"] in target[data], f"{volume['name']}: {kind} has no key {item['key']}")
                    used[kind].add(item["key"])
        expect(found, len(volume) == 2, f"volume {volume['name']} has not one source")
    for kind, data in (("ConfigMap", "data"), ("Secret", "stringData")):
        unused = set(all_of.kubernetes[kind][data]) - used[kind]
        expect(found, not unused, f"{kind}: nobody takes {', '.join(sorted(unused))}")
    mounts = [mount["name"] for mount in all_of.container["volumeMounts"]]
    volumes = [volume["name"] for volume in all_of.pod["volumes"]]
    expect(found, sorted(mounts) == sorted(volumes), "volumes that are mounted and those that are declared differ")
    return found


def check_deployment(all_of, program):
    found = []
    container = all_of.container
    expect(found, all_of.kubernetes["Deployment"]["spec"]["replicas"] == 3, "Deployment: not three replicas")
    expect(found, container["resources"] == REFERENCE, "Deployment: resources are not those of the reference")
    for probe, path in (("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
        target = container[probe]["httpGet"]
        expect(found, target["path"] == path, f"{probe}: path is not {path}")
        expect(found, target["port"] in [port["name"] for port in container["ports"]], f"{probe}: no port of that name")
    expect(found, all_of.pod["terminationGracePeriodSeconds"] > drain_seconds(container["args"]),
           "Deployment: the grace period does not outlast the drain")
    readiness = container["readinessProbe"]
    noticed = readiness["periodSeconds"] * readiness["failureThreshold"] + readiness["timeoutSeconds"]
    delay = seconds(flag(container["args"], "--drain-delay", "0s"))
    expect(found, delay > noticed, "Deployment: the drain delay ends before the readiness probe can have failed")
    user = all_of.pod["securityContext"]
    expect(found, user["runAsUser"] == user["runAsGroup"] == user["fsGroup"] == IMAGE_USER,
           "Deployment: not the image's user")
    found += check_words(container["args"], program, "Deployment")
    names = [entry["name"] for entry in container["env"]]
    expect(found, len(names) == len(set(names)), "Deployment: a variable stands there twice")
    found += check_variables(names, program, "Deployment")
    written = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
    expect(found, sorted(written) == ["/tmp", "/var/lib/mtagent"],
           "Deployment: data folder and /tmp are not all it can write")
    return found


def check_selectors(all_of):
    found = []
    deployment = all_of.kubernetes["Deployment"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selectors = {
        "Deployment": deployment["spec"]["selector"]["matchLabels"],
        "Service": all_of.kubernetes["Service"]["spec"]["selector"],
        "PodDisruptionBudget": all_of.kubernetes["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        "NetworkPolicy": all_of.kubernetes["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        "topology": all_of.pod["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
    }
    for name, selector in selectors.items():
        expect(found, selector and selector.items() <= labels.items(), f"{name}: selects other pods")
    ports = {port["name"]: port["containerPort"] for port in all_of.container["ports"]}
    expect(found, ports == {"http": PORT}, "Deployment: port")
    for port in all_of.kubernetes["Service"]["spec"]["ports"]:
        expect(found, port["targetPort"] in [*ports, *ports.values()], "Service: no such port of the pod")
    target = all_of.kubernetes["HorizontalPodAutoscaler"]["spec"]
    wanted = {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment["metadata"]["name"]}
    expect(found, target["scaleTargetRef"] == wanted, "HorizontalPodAutoscaler: scales something else")
    expect(found, target["minReplicas"] == deployment["spec"]["replicas"] < target["maxReplicas"],
           "HorizontalPodAutoscaler: bounds")
    rules = all_of.kubernetes["NetworkPolicy"]["spec"]
    expect(found, [port["port"] for rule in rules["ingress"] for port in rule["ports"]] == [PORT],
           "NetworkPolicy: ingress")
    outwards = {(port["protocol"], port["port"]) for rule in rules["egress"] for port in rule["ports"]}
    expect(found, outwards == {("UDP", 53), ("TCP", 53), ("TCP", 6379), ("TCP", 5432), ("TCP", 443)},
           "NetworkPolicy: egress")
    return found


def check_addresses(all_of):
    """One name and port for each server, in every place that has them, and no password there."""
    found = []
    data = all_of.kubernetes["ConfigMap"]["data"]
    for environment in (data, all_of.compose["services"]["app"]["environment"]):
        expect(found, environment["REDIS_URL"] == "redis:6379", "REDIS_URL is not redis:6379")
        expect(found, re.fullmatch(r"postgres://\w+@postgres:5432/\w+", environment["POSTGRES_URL"]),
               "POSTGRES_URL is not postgres://USER@postgres:5432/DATABASE")
    for name, value in all_of.kubernetes["Secret"]["stringData"].items():
        expect(found, value == "REPLACE-ME", f"Secret: {name} looks like a real one")
    return found


def check_images(all_of):
    found = []
    images = [service["image"] for part in (all_of.compose, all_of.replicas) for service in part["services"].values()
              if "image" in service]
    images += [f"{image['newName']}:{image['newTag']}" for image in all_of.kustomization["images"]]
    for image in images:
        tag = image.rpartition("/")[2].partition(":")[2]
        expect(found, re.match(r"\d", tag), f"image {image} has no version")
    names = [image["name"] for image in all_of.kustomization["images"]]
    expect(found, all_of.container["image"] in names, "kustomization.yaml sets another image")
    return found


def check_compose(all_of, program):
    found = []
    services = all_of.compose["services"]
    app = services["app"]
    expect(found, set(services) == {"app", "redis", "postgres"}, "compose: services")
    for name, service in services.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            known = source in all_of.compose["volumes"] or (source.startswith(".") and (DEPLOY / source).exists())
            expect(found, known or ":" not in volume, f"compose: {name}: {source} is declared nowhere")
        for secret in service.get("secrets", []):
            expect(found, secret in all_of.compose["secrets"], f"compose: {name}: no secret {secret}")
        for port in service.get("ports", []):
            expect(found, port.startswith("127.0.0.1:"), f"compose: {name} is published to everybody")
        for other, how in service.get("depends_on", {}).items():
            expect(found, other in services and how["condition"] == "service_healthy",
                   f"compose: {name} waits for {other}")
            expect(found, "healthcheck" in services.get(other, {}), f"compose: {other} has no health check")
        expect(found, service.get("restart") == "unless-stopped", f"compose: {name} does not come back")
        for variable, value in service.get("environment", {}).items():
            path = pathlib.PurePosixPath(str(value))
            if variable.endswith("_FILE"):
                expect(found, path.parent.as_posix() == "/run/secrets" and path.name in service.get("secrets", []),
                       f"compose: {name}: {variable} is no secret of it")
            expect(found, not re.search("PASSWORD$|TOKEN$", variable),
                   f"compose: {name}: {variable} stands there openly")
    expect(found, app["read_only"] is True and "/tmp" in app["tmpfs"] and "/var/lib/mtagent" in app["volumes"],
           "compose: app: not read-only but for data folder and /tmp")
    expect(found, "127.0.0.1:8080:8080" in app["ports"] and "--allow-open" in app["command"], "compose: app: port")
    expect(found, seconds(app["stop_grace_period"]) > drain_seconds(app["command"]),
           "compose: app is killed while it drains")
    expect(found, set(app["depends_on"]) == {"redis", "postgres"}, "compose: app does not wait for both servers")
    expect(found, (DEPLOY / app["build"]["context"]).resolve() == TOP, "compose: app is built from another folder")
    found += check_words(app["command"], program, "compose")
    found += check_variables(app["environment"], program, "compose")
    over = all_of.replicas["services"]
    expect(found, over["app"]["ports"] is None and over["app"]["deploy"]["replicas"] == 3, "compose.replicas: app")
    expect(found, over["proxy"]["ports"] == app["ports"], "compose.replicas: the proxy takes another port")
    return found


def check_image(all_of, program):
    """The Dockerfile: what its last stage installs is what the program is linked with."""
    found = []
    text = all_of.dockerfile
    last = text.split("\nFROM ")[-1]
    expect(found, text.index("\nARG BASE=") < text.index("\nFROM ${BASE} AS build"), "Dockerfile: BASE")
    expect(found, last.startswith("${BASE}\n"), "Dockerfile: the last stage has another base")
    for line in (f"USER {IMAGE_USER}:{IMAGE_USER}", f"EXPOSE {PORT}", 'ENTRYPOINT ["mtagent"]', 'CMD ["serve"]',
                 'VOLUME ["/var/lib/mtagent"]'):
        expect(found, f"\n{line}\n" in last, f"Dockerfile: no line {line}")
    expect(found, re.search(r'\nHEALTHCHECK .*CMD \["mtagent", "ping"\]\n', last),
           "Dockerfile: no health check by ping")
    wanted = {"MTAGENT_DATA": "/var/lib/mtagent", "MTAGENT_LISTEN": f"0.0.0.0:{PORT}"}
    expect(found, all_of.image_environment() == wanted, "Dockerfile: variables")
    packages = set(re.findall(r"[a-z0-9.+-]+", last[last.index("install -y"):last.index("&& rm")]))
    for library, owners in program.owners.items():
        expect(found, owners & (packages | {"libc6", "libgcc-s1"}), f"Dockerfile: nothing brings {library}")
    return found


def check_unit(all_of, program):
    found = []
    service = all_of.unit["Service"]
    words = service["ExecStart"][0].split()
    expect(found, words[0] == "/usr/local/bin/mtagent", "mtagent.service: another program")
    found += check_words(words[1:], program, "mtagent.service")
    expect(found, seconds(service["TimeoutStopSec"][0]) > drain_seconds(words),
           "mtagent.service is killed while it drains")
    for key, value in {"Type": "notify", "ProtectSystem": "strict", "NoNewPrivileges": "yes", "DynamicUser": "yes",
                       "StateDirectory": "mtagent", "MemoryDenyWriteExecute": "yes"}.items():
        expect(found, service.get(key) == [value], f"mtagent.service: {key} is not {value}")
    taken = all_of.drop_in["Service"]
    variables = [entry.split("=", 1) for entry in service["Environment"] + taken["Environment"]]
    found += check_variables([name for name, _ in variables], program, "mtagent.service")
    credentials = {entry.split(":")[0] for entry in taken["LoadCredential"]}
    named = {value.removeprefix("%d/") for name, value in variables if name.endswith("_FILE")}
    expect(found, credentials == named, "replicas.conf: credentials that are loaded and those that are named differ")
    return found


def check_tenants(all_of, program):
    found = []
    for name, text in all_of.tenants.items():
        fault = program.check_tenants(text)
        expect(found, not fault, f"{name}: {fault.strip()}")
        ids = re.findall(r'^id = "(.*)"$', text, re.MULTILINE)
        expect(found, ids == ["tenant-basic", "tenant-pro", "tenant-enterprise"],
               f"{name}: not the reference's tenants")
    hashes = re.findall(r'key_hashes = \["(.*):(.*)"\]', all_of.tenants["configmap.yaml"])
    expect(found, len(hashes) == 3 and all(digest == "0" * 64 for _, digest in hashes), "configmap.yaml: key hashes")
    expect(found, all_of.tenants["compose.tenants.toml"].count('auth = "open"') == 3, "compose.tenants.toml: keys")
    return found


def all_faults(all_of, program):
    """Every fault of the manifests. A wrong shape comes alone: what follows relies on it."""
    found = [line for document in all_of.kubernetes.values() for line in shape.faults_of_object(document)]
    found += [f"no {kind}" for kind in shape.KINDS if kind not in all_of.kubernetes]
    if found:
        return found
    for check in (check_references, check_selectors, check_addresses, check_images):
        found += check(all_of)
    for check in (check_deployment, check_compose, check_image, check_unit, check_tenants):
        found += check(all_of, program)
    return found
