#!/usr/bin/env python3
"""Checks user data and container commands with cloud-init's schema, systemd, bash and shellcheck.

A real shutdown (shutdown.py), a disk that grows (growth.py), a health check (liveness.py) and the report on disks (sidecar.py)
need namespaces of their own. Where there can be none, they are skipped with a message; if CI is set, that is a finding.

Amazon Linux 2023 has systemd 252. The systemd that is installed here turns the fstab line into units, loads them beside a
stand-in for ecs.service, and shows what the agent waits for. Then each line is broken once, and the checks must notice.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import growth
import shell
import shutdown
import sidecar
import yaml
from jsonschema import Draft4Validator
from render import Stack, deployment, whole

SCHEMA = Path(__file__).with_name("cloud-config.schema.json")
SYSTEMD = Path("/usr/lib/systemd/systemd")
GENERATOR = Path("/usr/lib/systemd/system-generators/systemd-fstab-generator")
UNITS = Path("/usr/lib/systemd/system")
# What must be there, and what brings it.
NEEDED = {
    SYSTEMD: "Debian: apt install systemd",
    GENERATOR: "Debian: apt install systemd",
    Path("/usr/bin/systemd-analyze"): "Debian: apt install systemd",
    Path("/bin/bash"): "Debian: apt install bash",
    Path("/usr/bin/unshare"): "Debian: apt install util-linux",
    shell.SHELLCHECK: "make tools",
}

# The agent of the AMI, as far as it has to do with order, and what it names.
STANDS_IN = {
    "ecs.service": "[Unit]\nRequires=docker.service\nAfter=docker.service cloud-final.service\n[Service]\nExecStart=/bin/true\n",
    "docker.service": "[Service]\nExecStart=/bin/true\n",
    "cloud-final.service": "[Service]\nType=oneshot\nExecStart=/bin/true\n",
}
GROWS = "neo4j-grow"  # what lets the file system grow
TARGETS = ("basic", "local-fs", "local-fs-pre", "shutdown", "sysinit", "umount")
FSTAB = "UUID=01234567-89ab-cdef-0123-456789abcdef / xfs defaults,noatime 1 1\n"  # the AMI's

# What is broken, how, and of which tier. Each must be found.
BROKEN = {
    "nofail is dropped": ("nofail,", ""),
    "another volume is named": ("Elastic_Block_Store_vol", "Elastic_Block_Store_vol0"),
    "another folder is mounted": (" /srv/neo4j xfs", " /srv/data xfs"),
    "another file system is mounted": (" /srv/neo4j xfs", " /srv/neo4j ext4"),
    "nothing formats": ("x-systemd.makefs,", ""),
    "nothing grows": ("ExecStart=/usr/lib/systemd/systemd-growfs", "ExecStart=/usr/bin/true"),
    "something else grows": ("systemd-growfs /srv/neo4j", "systemd-growfs /srv/data"),
    "nothing grows before the agent starts": ("Wants=neo4j-stop.service neo4j-grow.service", "Wants=neo4j-stop.service"),
    "nothing grows later": (" neo4j-grow.timer\n", "\n"),
    "the agent does not wait for what grows": ("Before=ecs.service\n      ConditionPathIs", "ConditionPathIs"),
    "the agent waits for what grows without an end": ("TimeoutStartSec=1min", ""),
    "it grows before it is mounted": ("After=srv-neo4j.mount\n      Before=ecs", "Before=ecs"),
    "it grows where nothing is mounted": ("ConditionPathIsMountPoint=/srv/neo4j", ""),
    "what grows mounts": (
        "ConditionPathIsMountPoint=/srv/neo4j",
        "ConditionPathIsMountPoint=/srv/neo4j\n      RequiresMountsFor=/srv/neo4j",
    ),
    "it grows once an hour": ("OnCalendar=minutely", "OnCalendar=hourly"),
    "it grows when it suits systemd": ("AccuracySec=1s", ""),
    "the journal has a line of each minute": ("LogLevelMax=notice", ""),
    "the host does not say which core it is": ("path: /etc/neo4j/core", "path: /etc/neo4j/number"),
    "a boot waits for what grows": ("x-systemd.makefs,", "x-systemd.makefs,x-systemd.growfs,"),
    "the volume is waited for a while only": ("x-systemd.device-timeout=0,", ""),
    "fstab is replaced": ("append: true", "append: false"),
    "there is no drop-in": ("ecs.service.d/neo4j.conf", "ecs.service.d/neo4j"),
    "the drop-in is another unit's": ("ecs.service.d", "docker.service.d"),
    "the agent does not wait": ("RequiresMountsFor=", "Documentation=file:"),
    "the agent waits for something else": ("RequiresMountsFor=/srv/neo4j", "RequiresMountsFor=/srv/data"),
    "the agent asserts nothing": ("AssertPathIsMountPoint=/srv/neo4j", ""),
    "the agent asserts too little": ("AssertPathIsMountPoint=", "AssertPathExists="),
    "the agent only has a condition": ("AssertPathIsMountPoint=", "ConditionPathIsMountPoint="),
    "systemd does not know the line": ("AssertPathIsMountPoint=", "AssertPathIsMountpoint="),
    "no JSON": ('"core",', '"core"'),
    "no line of its own": ("\n      ECS_CONTAINER_STOP_TIMEOUT", " ECS_CONTAINER_STOP_TIMEOUT"),
    "the units are not read again": ("- [systemctl, daemon-reload]\n", "- [systemctl, status]\n"),
    "cloud-init does not know the key": ("runcmd:", "runcmds:"),
    "cloud-init wants a list": ("[systemctl, daemon-reload]", "{systemctl: daemon-reload}"),
    "cloud-init is not meant": ("#cloud-config", "# cloud-config"),
}


def by_schema(text: str) -> list[str]:
    """Returns what cloud-init would not accept. It ignores unknown keys, which this schema refuses."""
    schema = json.loads(SCHEMA.read_text())
    config = yaml.safe_load(text)
    found = [
        f"cloud-init: {'.'.join(map(str, error.path))}: {error.message}" for error in Draft4Validator(schema).iter_errors(config)
    ]
    if not text.startswith("#cloud-config\n"):
        found.append("cloud-init: the first line is not #cloud-config")
    if len(text.encode()) > 16384:
        found.append("EC2 takes 16 KiB of user data")
    return found


def by_agent(config: str, attributes: dict[str, str], ecs_cluster: str, spot: str) -> list[str]:
    """What is wrong with ecs.config, which systemd and Docker read as KEY=VALUE."""
    lines = [line.partition("=") for line in config.splitlines()]
    if broken := [line for line in lines if not re.fullmatch("ECS_[A-Z_]+", line[0]) or not line[2] or "=" in line[2]]:
        return [f"ecs.config: {broken} is not KEY=VALUE"]
    values = {name: value for name, _, value in lines}
    try:
        given = json.loads(values.pop("ECS_INSTANCE_ATTRIBUTES", ""))
    except ValueError as error:
        return [f"ecs.config: ECS_INSTANCE_ATTRIBUTES: {error}"]
    should = {"ECS_CLUSTER": ecs_cluster, "ECS_CONTAINER_STOP_TIMEOUT": "20m", "ECS_ENABLE_SPOT_INSTANCE_DRAINING": spot}
    return [f"ecs.config: {is_so}, not {so}" for is_so, so in ((given, attributes), (values, should)) if is_so != so]


def loaded(folder: Path) -> dict[str, list[str]]:
    """The units as systemd loads them for a start of ecs.service. It refuses to show them to root."""
    nobody = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    asked = [SYSTEMD, "--test", "--system", "--unit=ecs.service"]
    answer = subprocess.run(
        asked, capture_output=True, text=True, check=False, env={"SYSTEMD_UNIT_PATH": str(folder), "HOME": "/"}, **nobody
    )
    if answer.returncode:
        sys.exit(f"{SYSTEMD} --test failed:\n{answer.stdout}{answer.stderr}")
    units, _, _ = answer.stdout.partition("-> By jobs:")
    return {
        name: [re.sub(r" \((origin|destination).*", "", line.strip()) for line in rest.splitlines()]
        for name, rest in re.findall(r"-> Unit (\S+):\n((?:\t\t.*\n)*)", units)
    }


def by_systemd(files: dict[str, str], appended: bool, volume: str) -> list[str]:
    """What systemd makes of the files, and should not."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "units")
        folder.mkdir()
        for target in TARGETS:
            shutil.copy(UNITS / f"{target}.target", folder)
        for name, text in STANDS_IN.items():
            (folder / name).write_text(text)
        for name, text in files.items():
            if name.startswith("/etc/systemd/system/"):
                unit = folder / Path(name).relative_to("/etc/systemd/system")
                unit.parent.mkdir(exist_ok=True)
                unit.write_text(text)
        fstab = Path(scratch, "fstab")
        fstab.write_text(FSTAB * appended + files.get("/etc/fstab", ""))
        generated = subprocess.run(
            [GENERATOR, folder, folder, folder],
            capture_output=True,
            text=True,
            check=False,
            env={"SYSTEMD_FSTAB": str(fstab), "SYSTEMD_LOG_TARGET": "console"},
        )
        subprocess.run(["chmod", "-R", "a+rX", scratch], check=True)
        asked = ["systemd-analyze", "verify", "--man=no", "ecs.service"]
        verified = subprocess.run(
            asked, capture_output=True, text=True, check=False, env=os.environ | {"SYSTEMD_UNIT_PATH": str(folder)}
        )
        units = loaded(folder)
        waits = {path.parent.name: path.read_text() for path in folder.glob("*.device.d/*.conf")}
        # The assertion itself, on a plain folder and on a mount point.
        asserted = [
            line.replace("/srv/neo4j", place)
            for place in (scratch, "/proc")
            for text in files.values()
            for line in text.splitlines()
            if line.startswith("Assert")
        ]
        passed = [
            subprocess.run(["systemd-analyze", "condition", line], capture_output=True, check=False).returncode
            for line in asserted
        ]
    device = escaped(f"/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{volume}")
    mount, makefs, growfs = "srv-neo4j.mount", f"systemd-makefs@{device}.service", "systemd-growfs@srv-neo4j.service"
    should = {
        "ecs.service": [
            f"Requires: {mount}",
            f"After: {mount}",
            "Requires: docker.service",
            "AssertPathIsMountPoint: /srv/neo4j untested",
            f"Wants: {GROWS}.service",
            f"Wants: {GROWS}.timer",
            f"After: {GROWS}.service",
        ],
        f"{GROWS}.service": [
            f"After: {mount}",
            "ConditionPathIsMountPoint: /srv/neo4j untested",
            "Type: oneshot",
            "RemainAfterExit: no",
            "Command Line: /usr/lib/systemd/systemd-growfs /srv/neo4j",
            "TimeoutStartSec: 1min",
            "LogLevelMax: notice",
        ],
        f"{GROWS}.timer": [f"Triggers: {GROWS}.service", "OnCalendar: *-*-* *:*:00", "Accuracy: 1s"],
        mount: [
            "Unit Load State: loaded",
            "Where: /srv/neo4j",
            "File System Type: xfs",
            f"Requires: {device}.device",
            f"After: {device}.device",
            f"Requires: {makefs}",
            f"After: {makefs}",
        ],
        makefs: [f"BindsTo: {device}.device", f"After: {device}.device"],
        "local-fs.target": [f"Wants: {mount}"],
        "-.mount": ["From fragment: yes"],
    }
    should_not = {
        "local-fs.target": [f"Requires: {mount}", f"After: {mount}", f"After: {growfs}"],
        f"{GROWS}.service": [f"Requires: {mount}", f"Wants: {mount}"],
    }
    found = [
        f"systemd: {name} lacks «{line}»" for name, lines in should.items() for line in lines if line not in units.get(name, [])
    ]
    found += [
        f"systemd: {name} has «{line}»" for name, lines in should_not.items() for line in lines if line in units.get(name, [])
    ]
    if "JobRunningTimeoutSec=0" not in waits.get(f"{device}.device.d", ""):  # which is not shown of a loaded unit
        found.append(f"systemd: {device}.device is not waited for without an end")
    found += [f"systemd-analyze: {line}" for line in (verified.stdout + verified.stderr + generated.stderr).splitlines()]
    return found if passed == [1, 0] else [*found, f"systemd-analyze: {asserted} give {passed}, not 1 and 0"]


def escaped(path: str) -> str:
    """A path as the names of units hold it."""
    return path.strip("/").replace("-", r"\x2d").replace("/", "-")


def wrong_core(text: str, core: Stack, ecs_cluster: str) -> list[str]:
    found = by_schema(text)
    config = yaml.safe_load(text)
    files = {each["path"]: each["content"] for each in config["write_files"]}
    volume = core.live["Outputs"]["VolumeId"]["Value"].replace("-", "")
    appended = all(each.get("append") for each in config["write_files"] if each["path"] == "/etc/fstab")
    found += by_systemd(files, appended, volume)
    found += by_agent(files.get("/etc/ecs/ecs.config", ""), {"neo4j.tier": "core", "neo4j.core": "1"}, ecs_cluster, "false")
    if (number := files.get("/etc/neo4j/core")) != "1\n":
        found.append(f"/etc/neo4j/core is {number!r}, not the number of the core")
    starts = [["systemctl", "daemon-reload"], ["systemctl", "start", "--no-block", "ecs.service"]]
    return found if config.get("runcmd") == starts else [*found, f"runcmd: {config.get('runcmd')}, not {starts}"]


def tiers() -> tuple[dict[str, Stack], list[Stack], list[str], str]:
    """Returns all stacks, those of a core and of the replicas, their user data, and the ECS cluster."""
    stacks = deployment(whole({"CoreCount": "3", "ReplicaCount": "2", "RestoreSnapshotIds": ""}))
    nodes = [stacks["Cores/Core1"], stacks["Replicas"]]
    texts = [
        stack.live["Resources"]["LaunchTemplate"]["Properties"]["LaunchTemplateData"]["UserData"]["Fn::Base64"] for stack in nodes
    ]
    return stacks, nodes, texts, stacks["Ecs"].live["Outputs"]["ClusterName"]["Value"]


def hosts(nodes: list[Stack], texts: list[str], ecs_cluster: str) -> tuple[list[str], int]:
    core, _ = nodes
    found = wrong_core(texts[0], core, ecs_cluster) + by_schema(texts[1])
    configs = [yaml.safe_load(text) for text in texts]
    files = {each["path"]: each["content"] for each in configs[1]["write_files"]}
    found += by_agent(files.get("/etc/ecs/ecs.config", ""), {"neo4j.tier": "replica"}, ecs_cluster, "true")
    if configs[0]["runcmd"] != configs[1].get("runcmd"):
        found.append(f"runcmd of a replica: {configs[1].get('runcmd')}, not {configs[0]['runcmd']}")
    broken = {how: texts[0].replace(old, new, 1) for how, (old, new) in BROKEN.items() if old in texts[0]}
    found += [f"cannot be broken, {BROKEN[how][0]!r} is not there: {how}" for how in BROKEN.keys() - broken.keys()]
    # Each waits for a systemd of its own.
    with ThreadPoolExecutor(4) as pool:
        noticed = zip(broken, pool.map(lambda text: wrong_core(text, core, ecs_cluster), broken.values()), strict=True)
        found += [f"not noticed: {how}" for how, lines in noticed if not lines]
    return found, len(BROKEN)


OWN_NETWORK = ["unshare", "--net", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
ADDRESS, PASSWORD = "10.0.1.23", "p@ss-word $x `id` \"'\\ * ; true"
# What `hostname -i` may say, and which of it is taken.
ADDRESSES = {
    f"fd00::10 {ADDRESS} 172.17.0.1\n": ADDRESS,
    f"127.0.0.1 127.0.1.1 169.254.7.7 ::ffff:10.0.0.9 {ADDRESS} 172.17.0.1\n": ADDRESS,
    "127.0.0.1 ::1\n": None,
    "169.254.7.7\n": None,
    "": None,
}
# What Neo4j or its image refuses or takes for something else. The image would print each of them.
REFUSED = ("seven7c", "neo4j", "", "with/a/slash", "/slash-first", "-leading-dash", "@leading-at")

# How the start is broken. Each must be found.
BROKEN_START = {
    "loopback is an address": ("127.* | 169.254.*", "169.254.*"),
    "link-local is an address": ("127.* | 169.254.*", "127.*"),
    "a mapped address is one": (" | *:*)", ")"),
    "no address is one": ("[ $address != none ]", "[ $address != nothing ]"),
    "one cause only": ("resource-name", "other"),
    "the password is set at every start": ("if [ ! -d /data/databases/system ]", "if [ ! -d /data/no ]"),
    "the password is never set": ("if [ ! -d /data/databases/system ]", "if [ -d /data/databases/system ]"),
    "a slash is taken": ("*/* | [-@]*)", "[-@]*)"),
    "an option is taken": ("[-@]*)", "[@]*)"),
    "a file is taken": ("[-@]*)", "[-]*)"),
    "a short one is taken": ("????????*)", "???????*)"),
    "the password is printed": ("is refused: it", "is refused: $ADMIN_PASSWORD: it"),
    "the secret is not named": ("in the secret $1", "in the secret"),
    "nobody is told what to do": ("Put another into the secret", "No"),
    "the password stays": ("unset NEO4J_AUTH EXTENSION_SCRIPT", "unset EXTENSION_SCRIPT"),
    "an image's own extension is lost": ('[ -z "$own" ] ||', "true ||"),
    "the secret's own variable stays": ("unset ADMIN_PASSWORD", "unset"),
}
# How the health check is broken.
BROKEN_CHECK = {
    "HTTP is asked": ("timeout 5 bash -c '< /dev/tcp/127.0.0.1/7687'", "wget -q -O /dev/null http://127.0.0.1:7687/"),
    "a start counts": ("[ ! -e /tmp/was-up ]", "false"),
    "an end does not count": ("[ ! -e /tmp/was-up ]", "true"),
    "nobody remembers": ("touch", ": touch"),
    "another port is asked": ("/7687", "/7474"),
}


@dataclass
class Start:
    """What came of a start of the container."""

    server: dict[str, str] | None  # environment of Neo4j's own process, if it got so far
    handed: str  # what the image's start was given as NEO4J_AUTH
    secrets: dict[str, str]
    output: str
    extended: bool  # whether the extension script of an image of one's own has run


def started(
    neo4j: dict, folder: Path, addresses: str = f"{ADDRESS}\n", password: str = PASSWORD, store: bool = False, own: bool = False
) -> Start:
    """Runs the container's command beside a stand-in for the image's own start, which sets the password and then runs
    EXTENSION_SCRIPT, as the image's does."""
    for name in ("bin", "ssl", "startup", "tmp", "data/databases/system" if store else "data"):
        (folder / name).mkdir(parents=True)
    stubs = {
        "bin/hostname": f"printf '%s' '{addresses}'\n[ -n '{addresses}' ]",
        "own": f"touch {folder}/extended",
        "bin/chown": f'echo "$@" >> {folder}/owned',
        "startup/docker-entrypoint.sh": f'[ "$*" = neo4j ]\nprintf %s "${{NEO4J_AUTH-}}" > {folder}/handed\n'
        '[ -f "${EXTENSION_SCRIPT:-}" ] && . ${EXTENSION_SCRIPT}\n'
        f"env --null > {folder}/environment",
    }
    for name, text in stubs.items():
        (folder / name).write_text(f"#!/bin/bash -eu\n{text}\n")
        (folder / name).chmod(0o755)
    script, *arguments = neo4j["Command"]
    script = re.sub(r"(?<![\w.])/(ssl|startup|data|tmp)/", rf"{folder}/\1/", script)
    secrets = {found["Name"]: f"{found['Name']}, of\ntwo lines" for found in neo4j["Secrets"]}
    secrets["ADMIN_PASSWORD"] = password
    shell = neo4j["EntryPoint"][neo4j["EntryPoint"].index("--") + 1 :]
    answer = subprocess.run(
        [*shell, script, *arguments],
        check=False,
        capture_output=True,
        text=True,
        env={"PATH": f"{folder}/bin:/usr/bin:/bin"} | secrets | ({"EXTENSION_SCRIPT": f"{folder}/own"} if own else {}),
    )
    written, handed = folder / "environment", folder / "handed"
    lines = written.read_text().split("\0") if written.exists() else []
    server = dict(line.split("=", 1) for line in lines if line) if written.exists() else None
    for name in ("PATH", "PWD", "SHLVL", "_", "OLDPWD"):
        (server or {}).pop(name, None)
    return Start(
        server,
        handed.read_text() if handed.exists() else "",
        secrets,
        answer.stdout + answer.stderr,
        (folder / "extended").exists(),
    )


def wrong_start(neo4j: dict, scopes: set[str]) -> list[str]:
    """What the container's command does, and should not, with certificates for these."""
    with tempfile.TemporaryDirectory() as scratch:
        first = started(neo4j, Path(scratch))
        secrets = first.secrets
        files = {
            str(path.relative_to(scratch)): (path.read_text(), stat.S_IMODE(path.stat().st_mode) & 0o077)
            for path in Path(scratch, "ssl").rglob("*")
            if path.is_file()
        }
        folders = {str(path.relative_to(scratch)) for path in Path(scratch, "ssl").rglob("*") if path.is_dir()}
        owned = Path(scratch, "owned").read_text() if Path(scratch, "owned").exists() else ""
    should = {}
    for scope in scopes:
        of = "CLUSTER_TLS" if scope == "cluster" else "TLS"
        should[f"ssl/{scope}/public.crt"] = (secrets[f"{of}_CERTIFICATE"] + "\n", 0o044)
        should[f"ssl/{scope}/private.key"] = (secrets[f"{of}_KEY"] + "\n", 0)
        if scope == "cluster":
            should["ssl/cluster/trusted/ca.crt"] = (secrets["CLUSTER_TLS_CA"] + "\n", 0o044)
    facts = {
        "only addresses stay in Neo4j's environment": (
            first.server,
            {
                "NEO4J_server_default__advertised__address": ADDRESS,
                "NEO4J_server_cluster_advertised__address": f"{ADDRESS}:6000",
                "NEO4J_server_cluster_raft_advertised__address": f"{ADDRESS}:7000",
                "NEO4J_server_routing_advertised__address": f"{ADDRESS}:7688",
            },
        ),
        "an empty store gets the password": (first.handed, f"neo4j/{PASSWORD}"),
        "certificates and keys, which nobody else may read": (files, should),
        "each policy has its folders": (
            folders,
            {f"ssl/{scope}{each}" for scope in scopes for each in ("", "/trusted", "/revoked")},
        ),
        "the agent and the host give it the same time to stop": (int(neo4j["StopTimeout"]), shutdown.SECONDS),
        "they are Neo4j's": (sorted(re.findall(r"-R neo4j: \S+/(\w+)\n", owned)), sorted(scopes)),
    }
    return [f"{fact}: {is_so!r}, not {so!r}" for fact, (is_so, so) in facts.items() if is_so != so]


def wrong_refusals(neo4j: dict, secret: str) -> Iterator[str]:
    """Which addresses and passwords the container's command takes, and should not, or the other way round."""

    def play(**given: str | bool) -> Start:
        with tempfile.TemporaryDirectory() as scratch:
            return started(neo4j, Path(scratch), **given)

    for addresses, taken in ADDRESSES.items():
        start = play(addresses=addresses)
        is_so = start.server and start.server["NEO4J_server_default__advertised__address"]
        if is_so != taken:
            yield f"hostname -i says {addresses!r}: {is_so!r} is taken, not {taken!r}"
        if not taken and not all(word in start.output for word in ("enableDnsSupport", "resource-name")):
            yield f"hostname -i says {addresses!r}, and the refusal lacks a cause: {start.output!r}"
    for password in REFUSED:
        start = play(password=password)
        if start.server is not None or start.handed:
            yield f"the password {password!r} is not refused for an empty store"
        elif secret not in start.output or "Put another into the secret" not in start.output:
            yield f"the refusal of the password {password!r} does not name the secret, or what to do: {start.output!r}"
        elif password and password in start.output.replace("user neo4j", "user").replace(secret, "it"):
            yield f"the refusal of the password {password!r} prints it"
    for password in (PASSWORD, *REFUSED):
        start = play(password=password, store=True)
        if start.server is None or start.handed:
            yield f"a store that exists wants no password, and {password!r} ends its start or is handed over"
    for store in (False, True):
        start = play(store=store, own=True)
        if not start.extended or "NEO4J_AUTH" in (start.server or {"NEO4J_AUTH": ""}):
            yield f"an image's own EXTENSION_SCRIPT does not run, or the password stays, with {store=}"


def no_network() -> str | None:
    """Why there can be no network of one's own here."""
    tried = subprocess.run([*OWN_NETWORK, "true"], capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"the health check needs a network of its own: {tried.stderr.strip()}"


def begun(command: list[str], patience: float, *steps: str) -> subprocess.Popen:
    """A health check's command, step by step, in a network of its own."""
    program = Path(__file__).with_name("liveness.py")
    return subprocess.Popen(
        [*OWN_NETWORK, sys.executable, program, json.dumps(command), json.dumps(steps), str(patience)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(check: subprocess.Popen) -> list[tuple[int | None, float]]:
    output, errors = check.communicate(timeout=120)
    if check.returncode:
        sys.exit(f"the health check could not be tried:\n{errors}")
    return [(status, seconds) for status, seconds in json.loads(output)]


def checks(containers: list[dict]) -> Callable[[], tuple[list[str], str]]:
    """Starts the health checks, which take as long as a hanging connection. The answer waits for them."""
    # A fresh container whose listener is full hangs; one that was up goes through all of it.
    lives = {"closed": 0, "full": 0}, {"closed": 0, "open": 0, "silent": 0, "full": 1}
    steps = [[*life] for life in lives] + [["closed", "open", "closed"]]
    want = [[*life.values()] for life in lives] + [[0, 0, 1]]
    distinct = {json.dumps(neo4j["HealthCheck"]): neo4j["HealthCheck"] for neo4j in containers}

    def command(check: dict) -> list[str]:
        kind, *words = check["Command"]
        return words if kind == "CMD" else ["/bin/sh", "-c", *words]

    going = [
        (check, wanted, life, begun(command(check), check["Timeout"], *life))
        for check in distinct.values()
        for life, wanted in zip(steps, want, strict=True)
    ]
    [check, *_] = distinct.values()
    *shell, script = command(check)
    broken = {
        how: begun([*shell, script.replace(old, new, 1)], 1, *steps[2])
        for how, (old, new) in BROKEN_CHECK.items()
        if old in script
    }

    def answer() -> tuple[list[str], str]:
        found = [f"the health check cannot be broken: {how}" for how in BROKEN_CHECK.keys() - broken.keys()]
        for check, wanted, life, process in going:
            tried = ended(process)
            if [status for status, _ in tried] != wanted:
                found.append(f"the health check says {tried} of a port that is {life}, not {wanted}")
            # Docker would count it against a container that was never up, and leave the process behind.
            if (longest := max(seconds for _, seconds in tried)) > check["Timeout"] - 5:
                found.append(f"the health check takes {longest:.0f} s, with a timeout of {check['Timeout']} s")
            if check["Command"][0] != "CMD":
                found.append(f"the health check needs bash, which {check['Command'][0]} does not promise")
            # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HealthCheck.html
            for name, least, most in (("Interval", 5, 300), ("Timeout", 2, 60), ("Retries", 1, 10)):
                if not least <= check[name] <= most:
                    found.append(f"the health check has {name} {check[name]}, where ECS takes {least} to {most}")
            if (patience := check["Interval"] * check["Retries"]) < 200:
                found.append(f"the health check gives up after {patience} s")
        for how, process in broken.items():
            if [status for status, _ in ended(process)] == want[2]:
                found.append(f"not noticed in the health check: {how}")
        return found, f"{len(going)} lives of its health check, {len(broken)} ways to break it"

    return answer


def reports(stacks: dict[str, Stack]) -> Callable[[], tuple[list[str], str]]:
    """Starts the containers that report on disks, which mostly wait. The answer waits for them."""
    cluster = stacks["root"].live["Outputs"]["ProtectStack"]["Value"].rsplit(" ", 1)[1]

    def container(tier: str) -> dict:
        resources = (each for stack in stacks.values() for each in stack.live["Resources"].values())
        tasks = [each["Properties"] for each in resources if each["Type"] == "AWS::ECS::TaskDefinition"]
        [task] = [each for each in tasks if each["Family"].endswith(f"-{tier}")]
        [found] = [each for each in task["ContainerDefinitions"] if each["Name"] == "debug-log"]
        return found

    def broken(tier: str, old: str, new: str) -> dict:
        script, *arguments = of[tier]["Command"]
        return of[tier] | {"Command": [script.replace(old, new), *arguments]}

    of = {tier: container(tier) for tier in ("core", "replica")}
    pool = ThreadPoolExecutor(8)
    good = {tier: pool.submit(sidecar.wrong, each, tier, cluster) for tier, each in of.items()}
    bad = {
        how: pool.submit(sidecar.wrong, broken(tier, old, new), tier, cluster, sidecar.LESS)
        for how, (old, new) in sidecar.BROKEN.items()
        if old in of[tier := "replica" if "replica" in how else "core"]["Command"][0]
    }

    def answer() -> tuple[list[str], str]:
        found = [f"the report on disks cannot be broken: {how}" for how in sidecar.BROKEN.keys() - bad.keys()]
        found += [f"the report on the disk of a {tier}: {line}" for tier, played in good.items() if (line := played.result())]
        found += [f"not noticed in the report on disks: {how}" for how, played in bad.items() if not played.result()]
        return found, f"{len(good)} reports on disks, {len(bad)} ways to break them"

    return answer


def definitions() -> dict[tuple[str, ...], tuple[dict, str]]:
    """Neo4j's container, and the administrator's secret, by service and by what has a certificate."""
    found = {}
    arn = "arn:aws:secretsmanager:eu-west-1:000000000000:secret:"
    for tls, cluster_tls in itertools.product(("", f"{arn}tls-AbCdEf"), ("", f"{arn}cluster-tls-AbCdEf")):
        stacks = deployment(
            whole(
                {
                    "CoreCount": "3",
                    "ReplicaCount": "2",
                    "RestoreSnapshotIds": "",
                    "TlsSecretArn": tls,
                    "ClusterTlsSecretArn": cluster_tls,
                }
            )
        )
        scopes = [*(("bolt", "https") if tls else ()), *(("cluster",) if cluster_tls else ())]
        secret = stacks["root"].live["Outputs"]["AdminSecretArn"]["Value"]
        for service in ("CoreTask", "ReplicaTask"):
            containers = stacks[service].live["Resources"]["Task"]["Properties"]["ContainerDefinitions"]
            found[service, *scopes] = containers[0], secret
    return found


def containers(defined: dict[tuple[str, ...], tuple[dict, str]]) -> tuple[list[str], str]:
    found = []
    for (service, *scopes), (neo4j, secret) in defined.items():
        lines = [*wrong_start(neo4j, {*scopes}), *(wrong_refusals(neo4j, secret) if not scopes else ())]
        found += [f"{service} with {scopes or 'no certificate'}: {line}" for line in lines]
    neo4j, secret = defined[("CoreTask",)]
    script, *arguments = neo4j["Command"]
    for how, (old, new) in BROKEN_START.items():
        broken = neo4j | {"Command": [script.replace(old, new), *arguments]}
        if old not in script:
            found.append(f"the start cannot be broken, {old!r} is not there: {how}")
        elif not wrong_start(broken, set()) and not any(wrong_refusals(broken, secret)):
            found.append(f"not noticed in the start: {how}")
    return found, f"{len(defined)} starts of Neo4j, {len(BROKEN_START)} ways to break them"


def main() -> None:
    began = time.monotonic()
    if missing := [f"missing: {path}\n  {how}" for path, how in NEEDED.items() if not path.exists()]:
        sys.exit("\n".join(missing))
    stacks, nodes, texts, ecs_cluster = tiers()
    defined = definitions()
    # What needs namespaces of its own mostly waits: it is begun first, and asked last.
    going, lacking = [], {shutdown.impossible(), no_network(), sidecar.impossible(), growth.impossible()} - {None}
    if not shutdown.impossible():
        going.append(shutdown.begun({"core": texts[0], "replica": texts[1]}))
    if not no_network():
        going.append(checks([neo4j for neo4j, _ in defined.values()]))
    if not sidecar.impossible():
        going.append(reports(stacks))
    (findings, broken), (more, starts) = hosts(nodes, texts, ecs_cluster), containers(defined)
    read, scripts = shell.wrong()
    last = [answer() for answer in going]
    findings += [*more, *read, *(line for lines, _ in last for line in lines)]
    if not growth.impossible():
        files = {each["path"]: each["content"] for each in yaml.safe_load(texts[0])["write_files"]}
        findings += growth.wrong(files[f"/etc/systemd/system/{GROWS}.service"])
        starts += ", a full disk that grows"
    if lacking and os.environ.get("CI"):
        findings += lacking
    print(
        ", ".join(
            [
                f"user data of both tiers, {broken} ways to break a core's",
                starts,
                scripts,
                *(did for _, did in last),
                f"{len(findings)} findings ({time.monotonic() - began:.0f} s)",
            ]
        )
    )
    print(*(f"not tried here: {why}" for why in sorted(lacking)), sep="\n", end="")
    sys.exit("\n".join(findings) if findings else 0)


if __name__ == "__main__":
    main()
