"""Runs the command of the container that follows debug.log and reports how full the disk is, and breaks it.

It runs in a mount namespace of its own, on a file system made for it: of 64 MiB, a quarter of which is free. tini is not here:
what it does with its option -g, which is to pass the signal to the whole group, is done instead of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import tempfile
import time
from pathlib import Path

OWN_MOUNTS = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
# Makes the file system, and becomes the rest of the arguments.
STAGE = """
mount -t tmpfs -o size=64m none "$1/data"
head -c 48M /dev/zero > "$1/data/store"
exec "${@:2}"
"""
NAMESPACE, METRIC, FREE = "Neo4jCluster", "DataDiskFreePercent", 25.0
# Longer than any of it takes. What is broken is given less: it mostly fails by saying nothing.
PATIENCE, LESS = 30, 4

# How the command is broken. Each must be found.
BROKEN = {
    "what is used is reported": ("%a %b", "%b %a"),
    "all is free": ("%a %b", "%b %b"),
    "another disk is looked at": ("'%a %b' /data", "'%a %b' /"),
    "hundredths are percents": ("%d.%02d", "%d%02d"),
    "the core is not known": ("/etc/neo4j/core", "/etc/neo4j/number"),
    "a replica is a core": ("core=\n", "core=1\n"),
    "the core is no dimension": (',[\\"Cluster\\",\\"Tier\\",\\"Core\\"]', ""),
    "the tier is no dimension": ('["Cluster","Tier"]%s', '["Cluster"]%s'),
    "it is no percentage": ('"Unit":"Percent"', '"Unit":"Count"'),
    "it is of another time": ("%(%s)T000", "%(%s)T"),
    "tail can write into the middle of the line": (" >&2", ""),
    "what was there before is logged again": ("-n 0 ", "-n 9 "),
    "a log that is rotated is lost": ("-F ", "-f "),
    "the loop is enough": ("kill $$", ":"),
    "a tail that fails is not missed": (" || :; kill $$", "; kill $$"),
    "it ends when a look fails": (" || { sleep 60; continue; }", ""),
    "it does not heed the signal": ("tail -n", "trap '' TERM; tail -n"),
}


class Sidecar:
    """The command as it runs: what it says, and what it consists of."""

    def __init__(
        self, script: str, arguments: list[str], shell: list[str], folder: Path, core: str | None, patience: float
    ) -> None:
        self.patience = patience
        self.log, self.core = folder / "logs" / "debug.log", core
        for name in ("data", "logs", "host"):
            (folder / name).mkdir()
        self.log.write_text("old\n")
        if core:
            (folder / "host" / "core").write_text(f"{core}\n")
        for at, where in (("/etc/neo4j/", "host/"), ("/logs/", "logs/"), ("/data", "data")):
            script = script.replace(at, f"{folder}/{where}")
        self.process = subprocess.Popen(
            [*OWN_MOUNTS, "/bin/bash", "-euc", STAGE, "stage", str(folder), *shell, script, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.said = {"stdout": b"", "stderr": b""}
        self.open = selectors.DefaultSelector()
        for name in self.said:
            self.open.register(getattr(self.process, name), selectors.EVENT_READ, name)

    def listen(self, seconds: float) -> None:
        for key, _ in self.open.select(seconds):
            if chunk := os.read(key.fd, 65536):
                self.said[key.data] += chunk
            else:
                self.open.unregister(key.fileobj)

    def says(self, name: str, text: bytes) -> bool:
        """Waits until it has said something."""
        until = time.monotonic() + self.patience
        while text not in self.said[name] and self.open.get_map() and time.monotonic() < until:
            self.listen(1)
        return text in self.said[name]

    def follows(self, line: str) -> bool:
        """Writes a line into debug.log until it follows it: nobody knows when it has opened the file."""
        until = time.monotonic() + self.patience
        while line.encode() not in self.said["stdout"] and self.open.get_map() and time.monotonic() < until:
            with self.log.open("a") as log:
                log.write(f"{line}\n")
            self.listen(0.05)
        return line.encode() in self.said["stdout"]

    def tail(self) -> int:
        """Returns the process that follows debug.log, which a child of the shell waits for."""
        children = lambda pid: Path(f"/proc/{pid}/task/{pid}/children").read_text().split()  # noqa: E731
        found = [pid for child in children(self.process.pid) for pid in children(child)]
        [pid] = [pid for pid in found if Path(f"/proc/{pid}/comm").read_text().strip() == "tail"]
        return int(pid)

    def is_over(self) -> bool:
        """Waits for its end, which in the container is the end of whatever it has started."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(self.patience)
            return True
        return False

    def is_gone(self) -> bool:
        """Waits until nothing of it is left to say anything."""
        until = time.monotonic() + self.patience
        while self.open.get_map() and time.monotonic() < until:
            self.listen(0.2)
        return not self.open.get_map()

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.open.close()
        for stream in (self.process.stdout, self.process.stderr):
            stream.close()


def report(sidecar: Sidecar, tier: str, cluster: str) -> str | None:
    """What is wrong with its first report."""
    began = time.time()
    if not sidecar.says("stderr", b"\n"):
        return f"it reports nothing, and says {sidecar.said}"
    line, _, _ = sidecar.said["stderr"].partition(b"\n")
    try:
        document = json.loads(line)
    except ValueError as error:
        return f"its report is no JSON: {error}: {line!r}"
    of_core = {"Core": sidecar.core} if sidecar.core else {}
    taken = document.get("_aws", {}).pop("Timestamp", 0)
    wanted = {
        "_aws": {
            "CloudWatchMetrics": [
                {
                    "Namespace": NAMESPACE,
                    "Dimensions": [["Cluster", "Tier"], *([["Cluster", "Tier", "Core"]] if of_core else [])],
                    "Metrics": [{"Name": METRIC, "Unit": "Percent"}],
                }
            ]
        },
        "Cluster": cluster,
        "Tier": tier,
        **of_core,
        METRIC: FREE,
    }
    if document != wanted:
        return f"its report is {document}, not {wanted}"
    # CloudWatch takes milliseconds, and drops what is older than two weeks.
    return None if abs(taken / 1000 - began) < 3600 else f"its report is of {taken}, and it is {began * 1000:.0f}"


def wrong(container: dict, tier: str, cluster: str, patience: float = PATIENCE) -> str | None:
    """Returns the first thing that is not as it should be."""
    script, *arguments = container["Command"]
    shell = container["EntryPoint"][container["EntryPoint"].index("--") + 1 :]
    if container["EntryPoint"][:2] != ["tini", "-g"]:
        return f"the signal reaches the shell only: {container['EntryPoint']}"
    # Each life ends in another way: by the signal, or since one half of it has ended. The other half is the shell itself.
    for ends, core in (("TERM", "2"), ("tail", None)):
        core = core if tier == "core" else None
        with tempfile.TemporaryDirectory(prefix="sidecar-") as scratch:
            sidecar = Sidecar(script, arguments, shell, Path(scratch), core, patience)
            try:
                if found := report(sidecar, tier, cluster):
                    return found
                if not sidecar.follows("new"):
                    return f"it does not follow debug.log: {sidecar.said}"
                if b"old" in sidecar.said["stdout"]:
                    return "what stood in debug.log before is logged again"
                sidecar.log.rename(sidecar.log.with_suffix(".1"))
                if not sidecar.follows("rotated"):
                    return "it does not follow debug.log once that is rotated"
                if b"_aws" in sidecar.said["stdout"]:
                    return "it reports where tail writes, who may be in the middle of a line"
                if ends == "TERM":
                    os.killpg(sidecar.process.pid, signal.SIGTERM)
                    if not sidecar.is_over() or not sidecar.is_gone():
                        return "it does not end when it is told to"
                else:
                    os.kill(sidecar.tail(), signal.SIGKILL)
                    if not sidecar.is_over():
                        return "it goes on without tail"
            finally:
                sidecar.end()
    return blind(script, arguments, shell, patience)


def blind(script: str, arguments: list[str], shell: list[str], patience: float) -> str | None:
    """What is wrong where the disk cannot be looked at. ECS would not start again what ends within a minute of its start."""
    script = script.replace(" /data)", " /nothing)").replace("sleep 60", "sleep 0.2")
    with tempfile.TemporaryDirectory(prefix="sidecar-") as scratch:
        sidecar = Sidecar(script, arguments, shell, Path(scratch), None, patience)
        try:
            for _ in range(2):
                if not sidecar.says("stderr", b"stat: "):
                    return f"it does not look again: {sidecar.said}"
                sidecar.said["stderr"] = b""
            return None if sidecar.follows("new") else f"it does not follow debug.log without a disk: {sidecar.said}"
        finally:
            sidecar.end()


def impossible() -> str | None:
    """Why it cannot be run here."""
    tried = subprocess.run([*OWN_MOUNTS, "true"], capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"the report on disks needs mounts of its own: {tried.stderr.strip()}"
