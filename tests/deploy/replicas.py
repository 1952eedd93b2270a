#!/usr/bin/python3 -B
"""replicas.py MTAGENT: the Deployment of deploy/kubernetes without Kubernetes.

Three processes with exactly its environment and arguments, as its user. What the cluster would give is given here:
volumes are folders, the two Services are private servers, the pods' port is a free one. Then: they get ready by the
Deployment's own probes, each answers with the keys of the ConfigMap, a tenant's limit holds over all three, and they
end within the grace period.
"""

import hashlib
import http.client
import json
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from manifests import Manifests, flag, seconds
from servers import Postgres, Redis, as_user, free_port

PLACEHOLDER_ID = {"tenant-basic": "aaaaaaaaaaaa", "tenant-pro": "bbbbbbbbbbbb", "tenant-enterprise": "cccccccccccc"}
BASIC_BURST = 10
LONGEST_S = 10


class Failed(Exception):
    pass


def check(right, message):
    if not right:
        raise Failed(message)
    print(f"ok: {message}")


class Platform:
    """What the manifests leave to the cluster and its operator: keys, secrets, servers, folders."""

    def __init__(self, manifests, folder, mtagent):
        self.manifests = manifests
        self.folder = pathlib.Path(folder)
        self.keys = {tenant: f"mta_{id}_{secrets.token_hex(32)}" for tenant, id in PLACEHOLDER_ID.items()}
        self.operator_token = secrets.token_hex(32)
        # The pods' user has to reach it.
        self.program = shutil.copy(mtagent, self.folder / "mtagent")
        self.redis = Redis(folder)
        try:
            self.postgres = Postgres(folder)
        except BaseException:
            self.redis.stop()
            raise
        self.fill_in()

    def fill_in(self):
        """Puts real values where the manifests ask for them."""
        secret = self.manifests.kubernetes["Secret"]["stringData"]
        secret.update({"redis-password": self.redis.password, "postgres-password": self.postgres.password,
                       "operator-token": self.operator_token, "secret-key": secrets.token_hex(32)})
        data = self.manifests.kubernetes["ConfigMap"]["data"]
        data["REDIS_URL"] = data["REDIS_URL"].replace("redis:6379", f"127.0.0.1:{self.redis.port}")
        data["POSTGRES_URL"] = data["POSTGRES_URL"].replace("@postgres:5432", f"@127.0.0.1:{self.postgres.port}")
        for tenant, key_id in PLACEHOLDER_ID.items():
            digest = hashlib.sha256(self.keys[tenant].encode()).hexdigest()
            data["tenants.toml"] = data["tenants.toml"].replace(f"{key_id}:{'0' * 64}", f"{key_id}:{digest}")

    def stop(self):
        self.postgres.stop()
        self.redis.stop()


class Pod:
    """One replica."""

    def __init__(self, platform, name):
        self.manifests = platform.manifests
        self.folder = platform.folder / name
        self.folder.mkdir()
        self.user = self.manifests.pod["securityContext"]
        self.port = free_port()
        self.paths = {}
        for mount in self.manifests.container["volumeMounts"]:
            self.make_volume(mount)
        environment = {**self.manifests.image_environment(), "PATH": "/usr/local/bin:/usr/bin:/bin"}
        environment.update({entry["name"]: self.manifests.value_of(entry) for entry in self.manifests.container["env"]})
        words = [self.here(word) for word in self.manifests.container["args"]]
        self.log = open(self.folder / "log", "w+", encoding="utf-8")
        self.process = subprocess.Popen([platform.program, *words], cwd="/", stderr=self.log, stdout=self.log,
                                        env={name: self.here(value) for name, value in environment.items()},
                                        preexec_fn=as_user(self.user["runAsUser"], self.user["runAsGroup"]))

    def here(self, text):
        """A value of the manifests with this machine's paths and port."""
        for inside, outside in self.paths.items():
            if text == inside or text.startswith(inside + "/"):
                return outside + text[len(inside):]
        return text.replace(":8080", f":{self.port}")

    def make_volume(self, mount):
        volume = next(volume for volume in self.manifests.pod["volumes"] if volume["name"] == mount["name"])
        path = self.folder / mount["name"]
        path.mkdir()
        self.paths[mount["mountPath"]] = str(path)
        texts = {}
        if "configMap" in volume:
            texts = self.manifests.kubernetes["ConfigMap"]["data"]
        elif "secret" in volume:
            texts = self.manifests.kubernetes["Secret"]["stringData"]
        source = volume.get("configMap") or volume.get("secret") or {}
        for item in source.get("items", []):
            file = path / item["path"]
            file.write_text(texts[item["key"]], encoding="utf-8")
            # Root's own; the group of the pod may read it (fsGroup).
            file.chmod(source.get("defaultMode", 0o644))
            self.give_to_group(file)
        if "emptyDir" in volume:
            path.chmod(0o2777)
            self.give_to_group(path)

    def give_to_group(self, path):
        if os.getuid() == 0:
            os.chown(path, 0, self.user["fsGroup"])

    def get(self, path, key="", patience=LONGEST_S):
        """Status and body; 0 when it cannot be asked."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=patience)
        try:
            line.request("GET", path, headers={"Authorization": f"Bearer {key}"} if key else {})
            reply = line.getresponse()
            return reply.status, reply.read().decode()
        except OSError as fault:
            return 0, str(fault)
        finally:
            line.close()

    def probe(self, name):
        """Asks as the kubelet would, until it is well or the probe's patience ends."""
        rule = self.manifests.container[name]
        for _ in range(rule["failureThreshold"] * 10):
            status, body = self.get(rule["httpGet"]["path"], patience=rule.get("timeoutSeconds", 1))
            if 200 <= status < 400 or self.process.poll() is not None:
                break
            time.sleep(rule["periodSeconds"] / 10)
        check(200 <= status < 400, f"{self.folder.name}: {name}{'' if status == 200 else f': {status} {body}'}")

    def said(self):
        self.log.flush()
        return pathlib.Path(self.folder, "log").read_text(encoding="utf-8")[-1500:]

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.log.close()


def check_calls(pods, platform):
    for pod in pods:
        for tenant, key in platform.keys.items():
            if tenant != "tenant-basic":
                status, body = pod.get(f"/{tenant}?q=Hello", key)
                check(status == 200 and "Received: Hello" in body, f"{pod.folder.name} answers {tenant} ({status})")
        check(pod.get("/tenant-pro?q=Hello")[0] == 401, f"{pod.folder.name} wants a key")
        check(pod.get("/tenant-pro?q=Hello", platform.keys["tenant-basic"])[0] == 401,
              f"{pod.folder.name} refuses the key of another tenant")
        status, body = pod.get("/stats", platform.operator_token)
        check(status == 200 and set(json.loads(body)) == set(platform.keys), f"{pod.folder.name} knows the operator")
        check(pod.get("/stats")[0] == 401, f"{pod.folder.name} shows its numbers to nobody else")


def check_shared_limit(pods, platform):
    """A burst of 10 through three doors, 7 at each; 10 a minute run in meanwhile."""
    started = time.monotonic()
    answers = [pod.get(f"/tenant-basic?q={at}", platform.keys["tenant-basic"])[0] for at in range(7) for pod in pods]
    more = int((time.monotonic() - started) / 6) + 1
    allowed = answers.count(200)
    check(BASIC_BURST <= allowed < BASIC_BURST + more + 1, f"all three together allow what one would ({allowed})")
    check(answers.count(429) == len(answers) - allowed, "and deny the others")


def check_end(pods, manifests):
    grace = manifests.pod["terminationGracePeriodSeconds"]
    delay = seconds(flag(manifests.container["args"], "--drain-delay", "0s"))
    started = time.monotonic()
    for pod in pods:
        pod.process.send_signal(signal.SIGTERM)
    for pod in pods:
        status = 200
        while status == 200 and time.monotonic() - started < delay / 2:
            status, _ = pod.get("/readyz")
        check(status == 503, f"{pod.folder.name} is not ready any more ({status})")
        check(pod.get("/livez")[0] == 200, f"{pod.folder.name} still answers in its delay")
    for pod in pods:
        left = grace - (time.monotonic() - started)
        try:
            status = pod.process.wait(timeout=max(left, 0))
        except subprocess.TimeoutExpired:
            status = "still there"
        check(status == 0, f"{pod.folder.name} ended in the grace period ({status})")


def run(mtagent, folder):
    manifests = Manifests()
    platform = Platform(manifests, folder, mtagent)
    pods = []
    try:
        pods = [Pod(platform, f"replica-{at}") for at in range(manifests.kubernetes["Deployment"]["spec"]["replicas"])]
        for pod in pods:
            pod.probe("startupProbe")
            pod.probe("livenessProbe")
            pod.probe("readinessProbe")
        check_calls(pods, platform)
        check_shared_limit(pods, platform)
        check_end(pods, manifests)
    except Failed as failure:
        print(f"FAILED: {failure}")
        for pod in pods:
            print(f"--- log of {pod.folder.name}\n{pod.said()}")
        return 1
    finally:
        for pod in pods:
            pod.stop()
        platform.stop()
    return 0


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: tests/deploy/replicas.py MTAGENT")
    missing = [name for name in (Redis.missing(), Postgres.missing()) if name]
    if missing:
        print(f"SKIPPED: {' and '.join(missing)} not installed")
        return
    with tempfile.TemporaryDirectory(prefix="mtagent-deploy-") as folder:
        os.chmod(folder, 0o755)
        sys.exit(run(sys.argv[1], folder))


if __name__ == "__main__":
    main()
