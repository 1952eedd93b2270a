"""Private servers for the tests of deploy/: in a temporary folder, on loopback, with a password, ended by their ids."""

import ctypes
import os
import pathlib
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time

PATIENCE_S = 30
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def as_user(uid, gid):
    """What a child does first: it becomes another user, where we may, and from then on it ends when we do."""

    def become():
        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # a change of the user would take it back

    return become


def until(ready, what):
    """Waits for a server that cannot tell when it is ready: asking again is the only way to know."""
    deadline = time.monotonic() + PATIENCE_S
    while not ready():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} is not ready after {PATIENCE_S} s")
        time.sleep(0.05)


class Redis:
    def __init__(self, folder):
        self.port = free_port()
        self.password = secrets.token_hex(16)
        settings = f"port {self.port}\nbind 127.0.0.1\ndir {folder}\nsave \"\"\nrequirepass {self.password}\n"
        self.process = subprocess.Popen(["redis-server", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                        preexec_fn=as_user(os.getuid(), os.getgid()))
        self.process.stdin.write(settings.encode())
        self.process.stdin.close()
        until(lambda: self.ask("ping") == "PONG", "redis-server")

    def ask(self, *words):
        done = subprocess.run(["redis-cli", "-p", str(self.port), *words], capture_output=True, text=True,
                              env={**os.environ, "REDISCLI_AUTH": self.password})
        return done.stdout.strip()

    def stop(self):
        self.process.kill()
        self.process.wait()

    @staticmethod
    def missing():
        return "" if shutil.which("redis-server") and shutil.which("redis-cli") else "redis-server"


class Postgres:
    """Refuses root, so it runs as the packages' user `postgres` then."""

    def __init__(self, folder):
        self.port = free_port()
        self.password = secrets.token_hex(16)
        self.data = pathlib.Path(folder, "postgres")
        self.data.mkdir(mode=0o700)
        owner = pwd.getpwnam("postgres") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
        os.chown(self.data, owner.pw_uid, owner.pw_gid)
        self.become = as_user(owner.pw_uid, owner.pw_gid)
        self.run("initdb", "-D", self.data, "-U", "postgres", "-E", "UTF8", "--locale=C", "--auth=trust", "--no-sync")
        # Peers of the unix socket are trusted, those of the network bring a password, as in the official image.
        rules = "local all all trust\nhost all all all scram-sha-256\n"
        (self.data / "pg_hba.conf").write_text(rules, encoding="utf-8")
        words = ["-D", self.data, "-p", str(self.port), "-h", "127.0.0.1", "-k", self.data, "-F"]
        self.process = subprocess.Popen([self.program("postgres"), *words], preexec_fn=self.become, cwd=self.data,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: self.sql("select 1") == "1", "postgres")
        self.sql(f"create role mtagent login password '{self.password}'")
        self.sql("create database mtagent owner mtagent")

    def run(self, name, *words):
        done = subprocess.run([self.program(name), *words], preexec_fn=self.become, cwd=self.data, capture_output=True,
                              text=True)
        if done.returncode != 0 and name == "initdb":
            raise RuntimeError(done.stderr)
        return done.stdout.strip()

    def sql(self, text):
        return self.run("psql", "-h", self.data, "-p", str(self.port), "-U", "postgres", "-Atc", text)

    def stop(self):
        self.process.send_signal(signal.SIGQUIT)  # at once, and its children with it
        self.process.wait()

    @staticmethod
    def program(name):
        found = sorted(pathlib.Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
        return str(found[-1]) if found else shutil.which(name)

    @staticmethod
    def missing():
        return "" if Postgres.program("postgres") else "postgresql"
