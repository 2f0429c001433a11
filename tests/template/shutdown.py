"""Shuts down and reboots a real systemd with an instance's own files, and checks what is stopped in which order.

systemd runs as PID 1 in namespaces of its own (processes, mounts, network, control groups), on units of its own: stand-ins
for Docker, the agent and the volume's mount, which log what happens to them, and what the instance's user data brings. Needs
root.
"""

from __future__ import annotations

import itertools
import os
import re
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import yaml

SYSTEMD = Path("/usr/lib/systemd/systemd")
UNITS = Path("/usr/lib/systemd/system")
# What systemd brings, as it is.
OWN = (
    "basic.target",
    "sysinit.target",
    "shutdown.target",
    "umount.target",
    "final.target",
    "poweroff.target",
    "reboot.target",
    "systemd-poweroff.service",
    "systemd-reboot.service",
)
CONTAINER = "0f5c2d1e"
# That Neo4j has to stop, as in the task definition.
SECONDS = 1200
# Longer than any of it takes; a stage is ended after so many seconds.
PATIENCE = 60

# The agent as amazon-ecs-init of Amazon Linux 2023 has it (aws/amazon-ecs-agent, packaging/amazon-linux-ami-integrated),
# as far as it has to do with order. Each stand-in takes a moment to stop, in which others could come too early.
STANDS_IN = {
    "ecs.service": """[Unit]
Wants=docker.service
PartOf=docker.service
After=docker.service cloud-final.service
[Service]
ExecStart=/usr/bin/sleep infinity
ExecStop=/run/initramfs/say agent
""",
    "docker.service": """[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecStop=/run/initramfs/say Docker
""",
    "cloud-final.service": """[Service]
Type=oneshot
ExecStart=/bin/bash -eu /run/initramfs/first-boot
""",
    # Of one task, as the agent makes it within ecstasks.slice (agent/api/task/task_linux.go, containerd/cgroups).
    "ecstasks-0123.slice": """[Unit]
DefaultDependencies=no
""",
    "driver.service": """[Unit]
After=ecs.service neo4j-stop.service
[Service]
Type=oneshot
TimeoutStartSec=infinity
ExecStart=/bin/bash -u /run/initramfs/play
""",
    "stage.target": """[Unit]
Wants=docker.service cloud-final.service ecs.service driver.service
Requires=basic.target
""",
}
MOUNT = """[Unit]
Before=umount.target
Conflicts=umount.target
DefaultDependencies=no
[Mount]
What=none
Where=/srv/neo4j
Type=tmpfs
"""
SAY = """#!/bin/bash
echo "$1 stops" >> /run/initramfs/log
sleep 0.2
echo "$1 has stopped" >> /run/initramfs/log
"""
DOCKER = f"""#!/bin/bash
if [ "$*" = "ps -q --filter label=com.amazonaws.ecs.container-name=neo4j" ]; then
  echo {CONTAINER}
  exit
fi
echo "docker $*" >> /run/initramfs/log
pid=$(cat /run/initramfs/neo4j.pid) && kill -TERM "$pid" || exit
while kill -0 "$pid" 2> /dev/null; do sleep 0.02; done
"""
# The process of the container, in a scope of the task's slice as runc makes it.
NEO4J = """#!/bin/bash
say() { echo "$*" >> /run/initramfs/log; }
trap 'say "Neo4j is told to stop"; sleep 0.2; [ -e STORE ] || say "its files are gone"; say "Neo4j has stopped"; exit' TERM
echo $$ > /run/initramfs/neo4j.pid
while :; do sleep 0.02; done
"""
PLAY = """
say() { echo "$*" >> /run/initramfs/log; }
settled() { ! systemctl list-jobs --no-legend | grep -qE ' (docker|ecs|neo4j-stop)[.]service '; }
touch STORE
start() {
  rm -f /run/initramfs/neo4j.pid
  (systemd-run --quiet --scope --slice=ecstasks-0123.slice -p DefaultDependencies=no /run/initramfs/neo4j &)
  until [ -s /run/initramfs/neo4j.pid ]; do sleep 0.02; done
}
start
say "== restart the agent"; systemctl restart ecs.service
say "== restart the unit"; systemctl restart neo4j-stop.service && say "it was restarted" || say "refused"
say "== stop the unit"; systemctl stop neo4j-stop.service && say "it was stopped" || say "refused"
say "== restart Docker"; systemctl restart docker.service
until settled; do sleep 0.05; done
for unit in neo4j-stop ecs; do systemctl is-active -q $unit.service || say "$unit has not come back"; done
[ ! -e /run/initramfs/units/neo4j-grow.service ] || systemctl is-active -q neo4j-grow.timer || say "nothing grows"
start
systemctl show -p TimeoutStopUSec --value neo4j-stop.service > /run/initramfs/patience
systemctl show -p JobTimeoutUSec --value ENDING.target > /run/initramfs/limit
say "== ENDING"; systemctl --no-block ENDING
"""
# Makes the stage, and becomes its PID 1. Without a /run and /tmp of its own systemd would empty this machine's. Mounts go when
# the system shuts down, whatever still needs them, but none under /run/initramfs.
STAGE = """
mount --make-rprivate /
mount -t tmpfs none /run
mkdir /run/initramfs
mount --bind "$1" /run/initramfs
for folder in /tmp /var/tmp /var/log /var/lib/systemd /srv; do mount -t tmpfs none $folder; done
mount -t cgroup2 none /sys/fs/cgroup
mkdir /srv/neo4j
export container=other SYSTEMD_LOG_LEVEL=notice
export SYSTEMD_UNIT_PATH=/run/initramfs/units SYSTEMD_GENERATOR_PATH=/run/initramfs/none
exec "$2" --system --unit=stage.target --log-target=console --show-status=no
"""
OWN_NAMESPACES = ("unshare", "--kill-child", "--fork", "--pid", "--mount-proc", "--mount", "--cgroup", "--uts", "--ipc", "--net")
# Runs the rest of the command in a control group of its own, which becomes the root of its namespace: systemds that share
# one would end each other's services.
OWN_GROUP = """
mount --make-rprivate /
mount -t cgroup2 none "$1"
own="$1/stage-$$"
mkdir "$own"
echo $$ > "$own/cgroup.procs"
status=0
"${@:2}" || status=$?
echo $$ > "$1/cgroup.procs"
find "$own" -depth -type d -exec rmdir {} +
exit $status
"""


def apart(folder: str, *command: str) -> list[str]:
    """A command in namespaces and a control group of its own; the folder is empty."""
    return ["unshare", "--mount", "/bin/bash", "-euc", OWN_GROUP, "apart", folder, *OWN_NAMESPACES, *command]


@dataclass
class Stage:
    """An instance's user data, and how the instance ends."""

    user_data: str
    ending: str = "poweroff"
    first_boot: bool = False

    def files(self) -> dict[str, str]:
        """The units that cloud-init writes."""
        folder = "/etc/systemd/system/"
        files = {each["path"]: each["content"] for each in yaml.safe_load(self.user_data)["write_files"]}
        return {path.removeprefix(folder): text for path, text in files.items() if path.startswith(folder)}


def played(stage: Stage) -> list[str]:
    """What was done in which order, from the boot to the end."""
    with tempfile.TemporaryDirectory(prefix="stage-") as scratch:
        units, written = Path(scratch, "units"), Path(scratch, "written")
        for folder in (units, written):
            folder.mkdir()
        for name in OWN:
            (units / name).write_text((UNITS / name).read_text())
        for name, text in STANDS_IN.items():
            (units / name).write_text(text)
        (units / "service.d").mkdir()
        (units / "service.d" / "path.conf").write_text("[Service]\nEnvironment=PATH=/run/initramfs:/usr/bin:/bin\n")
        store = "/run/initramfs/store"
        if "/srv/neo4j xfs" in stage.user_data:
            store = "/srv/neo4j/store"
            (units / "srv-neo4j.mount").write_text(MOUNT)
        for name, text in stage.files().items():
            path = (written if stage.first_boot else units) / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        commands = yaml.safe_load(stage.user_data).get("runcmd", []) if stage.first_boot else []
        boot = ["cp -r /run/initramfs/written/. /run/initramfs/units/", *map(shlex.join, commands)]
        Path(scratch, "first-boot").write_text("\n".join(boot))
        play = PLAY.replace("ENDING", stage.ending)
        for name, text in (("say", SAY), ("docker", DOCKER), ("neo4j", NEO4J), ("play", play)):
            Path(scratch, name).write_text(text.replace("STORE", store))
            Path(scratch, name).chmod(0o755)
        Path(scratch, "groups").mkdir()
        process = subprocess.Popen(
            apart(f"{scratch}/groups", "/bin/bash", "-euc", STAGE, "stage", scratch, str(SYSTEMD)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # and with it, by --kill-child, the whole stage
            output, _ = process.communicate()
            return [f"the stage has not ended after {PATIENCE} s", *output.splitlines()[-10:]]
        log = Path(scratch, "log")
        if not log.exists():
            return ["the stage could not be set up", *output.splitlines()[-10:]]
        shown = [Path(scratch, name) for name in ("patience", "limit")]
        return log.read_text().splitlines() + [path.read_text().strip() if path.exists() else "" for path in shown]


# What every stage has to end with. The agent is stopped first: it could start Neo4j's task again.
WITH_ITS_TIME = [
    "agent stops",
    "agent has stopped",
    f"docker stop -t {SECONDS} {CONTAINER}",
    "Neo4j is told to stop",
    "Neo4j has stopped",
    "Docker stops",
    "Docker has stopped",
]
# How the unit is broken: what of the user data is replaced by what. Each must be found.
BROKEN = {
    "it does not wait for the agent": ("Before=ecs.service\n", "Before=shutdown.target\n"),
    "it comes before the agent": ("Before=ecs.service", "After=ecs.service"),
    "Docker does not wait for it": ("After=docker.service srv", "After=srv"),
    "the volume does not wait for it": (" srv-neo4j.mount\n", "\n"),
    "nothing stops it at the end": ("PartOf=docker.service", "DefaultDependencies=no"),
    "a stop of Docker passes it by": ("PartOf=docker.service\n", ""),
    "a restart of the agent stops Neo4j": ("PartOf=docker.service", "PartOf=docker.service ecs.service"),
    "a restart of the unit stops Neo4j": ("RefuseManualStop=yes", "RefuseManualStop=no"),
    "nobody starts it": ("Wants=neo4j-stop.service ", "Wants="),
    "the timer of the volume's growth is not started": (" neo4j-grow.timer\n", "\n"),
    "it does not stay": ("RemainAfterExit=yes", "RemainAfterExit=no"),
    "it stops another container": ("container-name=neo4j", "container-name=debug-log"),
    "it gives Docker's own time": (" -t 1200", ""),
    "it is cut short": ("TimeoutStopSec=1230", "TimeoutStopSec=90"),
    "systemd ends the tasks by itself": ("DefaultDependencies=no\n", "StopWhenUnneeded=no\n"),
    "another slice is meant": ("system/ecstasks.slice", "system/ecs.slice"),
    "it outlasts the system's end": ("TimeoutStopSec=1230", "TimeoutStopSec=infinity"),
}


def seconds(span: str) -> float:
    """A time span as systemctl shows it."""
    if span == "infinity":
        return float("inf")
    units = {"ms": 0.001, "s": 1, "min": 60, "h": 3600}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)(ms|s|min|h)\b", span))


def wrong(stage: Stage) -> str | None:
    """The first thing that is not as it should be."""
    should = [
        "== restart the agent",
        "agent stops",
        "agent has stopped",
        "== restart the unit",
        "refused",
        "== stop the unit",
        "refused",
        "== restart Docker",
        *WITH_ITS_TIME,
        f"== {stage.ending}",
        *WITH_ITS_TIME,
    ]
    *is_so, patience, limit = played(stage)
    for line, wanted in itertools.zip_longest(is_so, should):
        if line != wanted:
            return f"{line!r}, not {wanted!r}, in {is_so}"
    # More than Docker's time, and what of the system's own 30 minutes is left to others: the agent's stop may take 90 s.
    if not SECONDS < seconds(patience) <= seconds(limit) - 2 * 90:
        return f"the unit may take {patience} of {limit}"
    return None


def impossible() -> str | None:
    """Why there can be no stage here."""
    with tempfile.TemporaryDirectory() as folder:
        tried = subprocess.run(apart(folder, "true"), capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"systemd needs root and namespaces of its own: {tried.stderr.strip()}"


def begun(user_data: dict[str, str]) -> Callable[[], tuple[list[str], str]]:
    """Starts all stages, which are mostly waiting."""
    stages = {
        f"{tier}, {ending} after {'the first' if first else 'a later'} boot": Stage(text, ending, first)
        for tier, text in user_data.items()
        for ending, first in (("poweroff", True), ("reboot", False))
    }
    core = user_data["core"]
    broken = {how: Stage(core.replace(old, new)) for how, (old, new) in BROKEN.items() if old in core}
    pool = ThreadPoolExecutor(4)
    good, bad = ({name: pool.submit(wrong, stage) for name, stage in some.items()} for some in (stages, broken))

    def answer() -> tuple[list[str], str]:
        found = [f"the shutdown cannot be broken: {how}" for how in BROKEN.keys() - broken.keys()]
        found += [f"{name}: {line}" for name, played in good.items() if (line := played.result())]
        found += [f"not noticed at the shutdown: {how}" for how, played in bad.items() if not played.result()]
        return found, f"{len(good)} shutdowns, {len(bad)} ways to break them"

    return answer
