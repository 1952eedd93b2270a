"""The shape of the Kubernetes objects that deploy/ uses, after the API reference of Kubernetes 1.28, and its check.

A shape is a type, a list of one shape, a set of the values that are right, or a table of fields; "name!" is needed,
"*" stands for any name. Fields that are not in a table are faults: the server would ignore a name that is not right.
"""

META = {"name!": str, "namespace": str, "labels": {"*": str}, "annotations": {"*": str}}
SELECTOR = {"matchLabels!": {"*": str}}
KEY_REF = {"name!": str, "key!": str, "optional": bool}
ITEMS = [{"key!": str, "path!": str, "mode": int}]
HTTP_PROBE = {
    "httpGet!": {"path!": str, "port!": (str, int), "scheme": {"HTTP", "HTTPS"}},
    "initialDelaySeconds": int,
    "periodSeconds": int,
    "timeoutSeconds": int,
    "failureThreshold": int,
    "successThreshold": int,
}
QUANTITIES = {"memory!": str, "cpu!": str}
CONTAINER = {
    "name!": str,
    "image!": str,
    "imagePullPolicy": {"Always", "IfNotPresent", "Never"},
    "command": [str],
    "args": [str],
    "ports": [{"name": str, "containerPort!": int, "protocol": {"TCP", "UDP"}}],
    "env": [
        {"name!": str, "value": str, "valueFrom": {"configMapKeyRef": KEY_REF, "secretKeyRef": KEY_REF}},
    ],
    "resources!": {"requests!": QUANTITIES, "limits!": QUANTITIES},
    "securityContext!": {
        "allowPrivilegeEscalation!": {False},
        "readOnlyRootFilesystem!": {True},
        "capabilities!": {"drop!": [{"ALL"}]},
    },
    "startupProbe!": HTTP_PROBE,
    "livenessProbe!": HTTP_PROBE,
    "readinessProbe!": HTTP_PROBE,
    "volumeMounts!": [{"name!": str, "mountPath!": str, "subPath": str, "readOnly": bool}],
}
VOLUME = {
    "name!": str,
    "configMap": {"name!": str, "items": ITEMS, "defaultMode": int},
    "secret": {"secretName!": str, "items": ITEMS, "defaultMode": int},
    "emptyDir": {"sizeLimit": str, "medium": {"", "Memory"}},
}
POD = {
    "automountServiceAccountToken!": {False},
    "enableServiceLinks!": {False},
    "terminationGracePeriodSeconds!": int,
    "securityContext!": {
        "runAsNonRoot!": {True},
        "runAsUser!": int,
        "runAsGroup!": int,
        "fsGroup!": int,
        "seccompProfile!": {"type!": {"RuntimeDefault"}},
    },
    "topologySpreadConstraints!": [
        {
            "maxSkew!": int,
            "topologyKey!": str,
            "whenUnsatisfiable!": {"ScheduleAnyway", "DoNotSchedule"},
            "labelSelector!": SELECTOR,
        }
    ],
    "containers!": [CONTAINER],
    "volumes!": [VOLUME],
}
PORT_RULE = {"protocol!": {"TCP", "UDP"}, "port!": int}
PEER = {"ipBlock": {"cidr!": str, "except": [str]}, "podSelector": SELECTOR, "namespaceSelector": SELECTOR}

KINDS = {
    "ConfigMap": ("v1", {"data!": {"*": str}}),
    "Secret": ("v1", {"type!": {"Opaque"}, "stringData!": {"*": str}}),
    "Service": (
        "v1",
        {"spec!": {"selector!": {"*": str}, "ports!": [{"name": str, "port!": int, "targetPort!": (str, int)}]}},
    ),
    "Deployment": (
        "apps/v1",
        {
            "spec!": {
                "replicas!": int,
                "selector!": SELECTOR,
                "strategy": {"rollingUpdate!": {"maxSurge!": int, "maxUnavailable!": int}},
                "template!": {"metadata!": {"labels!": {"*": str}}, "spec!": POD},
            }
        },
    ),
    "HorizontalPodAutoscaler": (
        "autoscaling/v2",
        {
            "spec!": {
                "scaleTargetRef!": {"apiVersion!": str, "kind!": str, "name!": str},
                "minReplicas!": int,
                "maxReplicas!": int,
                "metrics!": [
                    {
                        "type!": {"Resource"},
                        "resource!": {
                            "name!": {"cpu", "memory"},
                            "target!": {"type!": {"Utilization"}, "averageUtilization!": int},
                        },
                    }
                ],
            }
        },
    ),
    "PodDisruptionBudget": ("policy/v1", {"spec!": {"maxUnavailable!": int, "selector!": SELECTOR}}),
    "NetworkPolicy": (
        "networking.k8s.io/v1",
        {
            "spec!": {
                "podSelector!": SELECTOR,
                "policyTypes!": [{"Ingress", "Egress"}],
                "ingress!": [{"ports!": [PORT_RULE], "from": [PEER]}],
                "egress!": [{"ports!": [PORT_RULE], "to": [PEER]}],
            }
        },
    ),
}


def faults_of_table(value, shape, where):
    names = {name.rstrip("!"): name for name in shape}
    found = [f"{where}.{name} is missing" for name, spelt in names.items() if spelt.endswith("!") and name not in value]
    for name, inner in value.items():
        if name not in names and "*" not in names:
            found.append(f"{where}.{name} is no field there")
            continue
        found += faults_of(inner, shape[names.get(name, "*")], f"{where}.{name}")
    return found


def faults_of(value, shape, where):
    """What is wrong with a value, as a list of lines."""
    if isinstance(shape, set):
        return [] if any(value is right or value == right for right in shape) else [f"{where}: {value!r} is not right"]
    if isinstance(shape, list):
        if not isinstance(value, list) or not value:
            return [f"{where} is no list with something in it"]
        return [line for at, inner in enumerate(value) for line in faults_of(inner, shape[0], f"{where}[{at}]")]
    if isinstance(shape, dict):
        return faults_of_table(value, shape, where) if isinstance(value, dict) else [f"{where} is no table"]
    # True is an int for Python, not for Kubernetes.
    right = isinstance(value, shape) and (shape is bool or not isinstance(value, bool))
    return [] if right else [f"{where}: {value!r} has the wrong type"]


def faults_of_object(document):
    """What is wrong with the shape of a Kubernetes object."""
    kind = document.get("kind")
    if kind not in KINDS:
        return [f"{kind} is no kind that is expected here"]
    version, fields = KINDS[kind]
    shape = {"apiVersion!": {version}, "kind!": {kind}, "metadata!": META, **fields}
    return faults_of(document, shape, kind)
