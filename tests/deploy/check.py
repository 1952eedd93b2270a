#!/usr/bin/python3 -B
"""check.py MTAGENT: the manifests of deploy/ against themselves, the reference's numbers, the man pages, the program.

Then it breaks copies of them, one thing at a time: a fault that nobody sees is a fault of the checks.
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import breaks
from checks import all_faults
from manifests import DEPLOY, TOP, Manifests, load


class Program:
    """What the binary itself says; asked once."""

    def __init__(self, path):
        self.path = path
        told = subprocess.run([path, "serve", "--help"], capture_output=True, text=True, check=True).stdout
        self.flags = set(re.findall(r"--[a-z-]+", told))
        page = (TOP / "man/mtagent.1").read_text(encoding="utf-8")
        section = page[page.index("\n.Sh ENVIRONMENT"):]
        section = section[: section.index("\n.Sh ", 1)]
        self.variables = {word for line in re.findall(r"^\.It Ev (.*)$", section, re.MULTILINE)
                          for word in re.findall(r"[A-Z_]+", line)}
        needed = subprocess.run(["objdump", "-p", path], capture_output=True, text=True, check=True).stdout
        self.owners = {library: self.packages_with(library) for library in re.findall(r"NEEDED\s+(\S+)", needed)}
        self.verdicts = {}

    @staticmethod
    def packages_with(library):
        told = subprocess.run(["dpkg", "-S", f"*/{library}"], capture_output=True, text=True).stdout
        return set(re.findall(r"^([a-z0-9.+-]+):", told, re.MULTILINE))

    def check_tenants(self, text):
        """What `mtagent check` has against a file of tenants. Servers behind the addresses are not needed."""
        if text not in self.verdicts:
            with tempfile.TemporaryDirectory() as folder:
                file = pathlib.Path(folder, "tenants.toml")
                file.write_text(text, encoding="utf-8")
                environment = {"REDIS_URL": "127.0.0.1:1", "POSTGRES_URL": "postgres://mtagent@127.0.0.1:1/mtagent",
                               "MTAGENT_DATA": f"{folder}/data"}
                done = subprocess.run([self.path, "check", "--config", file], env=environment, capture_output=True,
                                      text=True, timeout=60)
            self.verdicts[text] = done.stderr.replace(folder, "") if done.returncode == 78 else ""
        return self.verdicts[text]


def ask_systemd():
    """systemd's own opinion, where its program is there."""
    if not shutil.which("systemd-analyze"):
        print("systemd-analyze is not there and was not asked")
        return []
    with tempfile.TemporaryDirectory() as folder:
        unit = pathlib.Path(folder, "mtagent.service")
        text = (DEPLOY / "systemd/mtagent.service").read_text(encoding="utf-8")
        unit.write_text(text.replace("/usr/local/bin/mtagent", "/bin/true"), encoding="utf-8")
        pathlib.Path(folder, "mtagent.service.d").mkdir()
        shutil.copy(DEPLOY / "systemd/mtagent.service.d/replicas.conf", f"{folder}/mtagent.service.d")
        found = []
        for words in (["verify", "--man=no"], ["security", "--offline=true", "--threshold=20"]):
            done = subprocess.run(["systemd-analyze", *words, unit], capture_output=True, text=True)
            told = [line for line in (done.stdout + done.stderr).splitlines() if "mtagent.service" in line]
            if done.returncode != 0:
                found.append(f"systemd-analyze {words[0]}: {' / '.join(told)}")
    return found


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: tests/deploy/check.py MTAGENT")
    program = Program(sys.argv[1])
    manifests = Manifests()
    for path in sorted(DEPLOY.rglob("*.y*ml")):
        load(path)
    names = {path.name for path in (DEPLOY / "kubernetes").glob("*.yaml")} - {"kustomization.yaml"}
    faults = all_faults(manifests, program) + ask_systemd()
    if names != set(manifests.kustomization["resources"]):
        faults.append("kustomization.yaml does not name every file")
    for fault in faults:
        print(fault)
    unseen = 0
    known = set(faults)
    for what, spoil in breaks.BREAKS.items():
        broken = manifests.copy()
        spoil(broken)
        if not set(all_faults(broken, program)) - known:
            print(f"nobody sees: {what}")
            unseen += 1
    print(f"{len(faults)} faults; {len(breaks.BREAKS)} things broken on purpose, {unseen} not seen")
    sys.exit(1 if faults or unseen else 0)


if __name__ == "__main__":
    main()
