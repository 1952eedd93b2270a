"""The files of deploy/ as plain values, and what the tests of them share."""

import copy
import pathlib
import re
import sys

try:
    import yaml
except ImportError:
    print("SKIPPED: Python's yaml (Debian: python3-yaml) is not installed")
    sys.exit(0)

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
DEPLOY = TOP / "deploy"
KUBERNETES = DEPLOY / "kubernetes"


class Loader(yaml.SafeLoader):
    """YAML without code, refusing a key that stands there twice, and with Compose's tag !reset."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {str(key) for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.YAMLError(f"{node.start_mark}: twice: {', '.join(twice)}")
        return super().construct_mapping(node, deep)


Loader.add_constructor("!reset", lambda loader, node: None)


def load(path):
    """The one document of a YAML file."""
    with open(path, encoding="utf-8") as file:
        return yaml.load(file, Loader)


def unit(text):
    """A systemd unit: section -> key -> list of values."""
    sections = {}
    section = None
    for line in text.splitlines():
        if line.startswith("["):
            section = sections.setdefault(line.strip("[]"), {})
        elif line and line[0] not in "#;":
            key, value = line.split("=", 1)
            section.setdefault(key, []).append(value)
    return sections


class Manifests:
    """Everything that is checked; `copy()` gives one to break."""

    def __init__(self):
        self.kustomization = load(KUBERNETES / "kustomization.yaml")
        self.kubernetes = {}
        for name in self.kustomization["resources"]:
            document = load(KUBERNETES / name)
            self.kubernetes[document["kind"]] = document
        self.compose = load(DEPLOY / "compose.yaml")
        self.replicas = load(DEPLOY / "compose.replicas.yaml")
        self.dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
        self.unit = unit((DEPLOY / "systemd/mtagent.service").read_text(encoding="utf-8"))
        self.drop_in = unit((DEPLOY / "systemd/mtagent.service.d/replicas.conf").read_text(encoding="utf-8"))
        self.tenants = {
            "compose.tenants.toml": (DEPLOY / "compose.tenants.toml").read_text(encoding="utf-8"),
            "configmap.yaml": self.kubernetes["ConfigMap"]["data"]["tenants.toml"],
        }

    def copy(self):
        return copy.deepcopy(self)

    @property
    def pod(self):
        return self.kubernetes["Deployment"]["spec"]["template"]["spec"]

    @property
    def container(self):
        return self.pod["containers"][0]

    def value_of(self, entry):
        """What Kubernetes sets for an entry of `env`."""
        if "value" in entry:
            return entry["value"]
        source = entry["valueFrom"]
        if "configMapKeyRef" in source:
            return self.kubernetes["ConfigMap"]["data"][source["configMapKeyRef"]["key"]]
        return self.kubernetes["Secret"]["stringData"][source["secretKeyRef"]["key"]]

    def image_environment(self):
        """The variables of the image's last stage."""
        last = self.dockerfile.split("\nFROM ")[-1].replace("\\\n", " ")
        found = {}
        for line in re.findall(r"^ENV (.*)$", last, re.MULTILINE):
            found.update(word.split("=", 1) for word in line.split())
        return found


def seconds(text):
    """A duration of mtagent, Compose or systemd in seconds."""
    number, name = re.fullmatch(r"(\d+)(ms|s|m|h)?", str(text)).groups()
    return int(number) * {"ms": 0.001, None: 1, "s": 1, "m": 60, "h": 3600}[name]


def flag(words, name, default):
    """The value behind a flag in a command line."""
    return words[words.index(name) + 1] if name in words else default


def drain_seconds(words):
    """How long the end of `serve` with these words may take."""
    return seconds(flag(words, "--drain-delay", "0s")) + seconds(flag(words, "--drain-timeout", "25s"))
