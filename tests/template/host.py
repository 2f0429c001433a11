#!/usr/bin/env python3
"""Lets cloud-init's schema, systemd and bash look at what machines and containers are told to do.

Amazon Linux 2023 has systemd 252. Whichever is installed here turns the fstab line into units, loads them beside a
stand-in for ecs.service, and says what the agent waits for. Then each line is broken once, and that must be seen.
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
from pathlib import Path

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
}

# The agent of the AMI, as far as it has to do with order, and what it names.
STANDS_IN = {
    "ecs.service": "[Unit]\nRequires=docker.service\nAfter=docker.service cloud-final.service\n"
                   "[Service]\nExecStart=/bin/true\n",
    "docker.service": "[Service]\nExecStart=/bin/true\n",
    "cloud-final.service": "[Service]\nType=oneshot\nExecStart=/bin/true\n",
}
TARGETS = ("basic", "local-fs", "local-fs-pre", "shutdown", "sysinit", "umount")
FSTAB = "UUID=01234567-89ab-cdef-0123-456789abcdef / xfs defaults,noatime 1 1\n"  # the AMI's

# What is broken, how, and of which tier. Each must be found.
BROKEN = {
    "nofail is dropped": ("nofail,", ""),
    "another volume is named": ("Elastic_Block_Store_vol", "Elastic_Block_Store_vol0"),
    "another folder is mounted": (" /srv/neo4j xfs", " /srv/data xfs"),
    "another file system is mounted": (" /srv/neo4j xfs", " /srv/neo4j ext4"),
    "nothing formats": ("x-systemd.makefs,", ""),
    "nothing grows": ("ExecStartPre=-/usr/lib/systemd/systemd-growfs /srv/neo4j", ""),
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
    """What cloud-init would not accept. It passes over keys that it does not know, which the schema here does not."""
    schema = json.loads(SCHEMA.read_text())
    told = yaml.safe_load(text)
    found = [f"cloud-init: {'.'.join(map(str, error.path))}: {error.message}"
             for error in Draft4Validator(schema).iter_errors(told)]
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
    should = {"ECS_CLUSTER": ecs_cluster, "ECS_CONTAINER_STOP_TIMEOUT": "20m",
              "ECS_ENABLE_SPOT_INSTANCE_DRAINING": spot}
    return [f"ecs.config: {is_so}, not {so}" for is_so, so in ((given, attributes), (values, should)) if is_so != so]


def loaded(folder: Path) -> dict[str, list[str]]:
    """The units as systemd loads them for a start of ecs.service. It refuses to show them to root."""
    nobody = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    asked = [SYSTEMD, "--test", "--system", "--unit=ecs.service"]
    answer = subprocess.run(asked, capture_output=True, text=True, check=False,
                            env={"SYSTEMD_UNIT_PATH": str(folder), "HOME": "/"}, **nobody)
    if answer.returncode:
        sys.exit(f"{SYSTEMD} --test failed:\n{answer.stdout}{answer.stderr}")
    units, _, _ = answer.stdout.partition("-> By jobs:")
    return {name: [re.sub(r" \((origin|destination).*", "", line.strip()) for line in rest.splitlines()]
            for name, rest in re.findall(r"-> Unit (\S+):\n((?:\t\t.*\n)*)", units)}


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
        said = subprocess.run([GENERATOR, folder, folder, folder], capture_output=True, text=True, check=False,
                              env={"SYSTEMD_FSTAB": str(fstab), "SYSTEMD_LOG_TARGET": "console"})
        subprocess.run(["chmod", "-R", "a+rX", scratch], check=True)
        asked = ["systemd-analyze", "verify", "--man=no", "ecs.service"]
        verified = subprocess.run(asked, capture_output=True, text=True, check=False,
                                  env=os.environ | {"SYSTEMD_UNIT_PATH": str(folder)})
        units = loaded(folder)
        waits = {path.parent.name: path.read_text() for path in folder.glob("*.device.d/*.conf")}
        # The assertion itself, on a plain folder and on a mount point.
        asserted = [line.replace("/srv/neo4j", place) for place in (scratch, "/proc")
                    for text in files.values() for line in text.splitlines() if line.startswith("Assert")]
        passed = [subprocess.run(["systemd-analyze", "condition", line], capture_output=True, check=False).returncode
                  for line in asserted]
    device = escaped(f"/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{volume}")
    mount, makefs, growfs = "srv-neo4j.mount", f"systemd-makefs@{device}.service", "systemd-growfs@srv-neo4j.service"
    should = {
        "ecs.service": [f"Requires: {mount}", f"After: {mount}", "Requires: docker.service",
                        "AssertPathIsMountPoint: /srv/neo4j untested"],
        mount: ["Unit Load State: loaded", "Where: /srv/neo4j", "File System Type: xfs", f"Requires: {device}.device",
                f"After: {device}.device", f"Requires: {makefs}", f"After: {makefs}"],
        makefs: [f"BindsTo: {device}.device", f"After: {device}.device"],
        "local-fs.target": [f"Wants: {mount}"],
        "-.mount": ["From fragment: yes"],
    }
    should_not = {"local-fs.target": [f"Requires: {mount}", f"After: {mount}", f"After: {growfs}"]}
    found = [f"systemd: {name} lacks «{line}»" for name, lines in should.items() for line in lines
             if line not in units.get(name, [])]
    found += [f"systemd: {name} has «{line}»" for name, lines in should_not.items() for line in lines
              if line in units.get(name, [])]
    if "JobRunningTimeoutSec=0" not in waits.get(f"{device}.device.d", ""):  # which is not shown of a loaded unit
        found.append(f"systemd: {device}.device is not waited for without an end")
    if "\nExecStartPre=-/usr/lib/systemd/systemd-growfs /srv/neo4j\n" not in "".join(files.values()):
        found.append("ecs.service does not let the file system grow with the volume")
    found += [f"systemd-analyze: {line}" for line in (verified.stdout + verified.stderr + said.stderr).splitlines()]
    return found if passed == [1, 0] else [*found, f"systemd-analyze: {asserted} give {passed}, not 1 and 0"]


def escaped(path: str) -> str:
    """A path as the names of units hold it."""
    return path.strip("/").replace("-", r"\x2d").replace("/", "-")


def wrong_core(text: str, core: Stack, ecs_cluster: str) -> list[str]:
    found = by_schema(text)
    told = yaml.safe_load(text)
    files = {each["path"]: each["content"] for each in told["write_files"]}
    volume = core.live["Outputs"]["VolumeId"]["Value"].replace("-", "")
    appended = all(each.get("append") for each in told["write_files"] if each["path"] == "/etc/fstab")
    found += by_systemd(files, appended, volume)
    found += by_agent(files.get("/etc/ecs/ecs.config", ""), {"neo4j.tier": "core", "neo4j.core": "1"}, ecs_cluster, "false")
    starts = [["systemctl", "daemon-reload"], ["systemctl", "start", "--no-block", "ecs.service"]]
    return found if told.get("runcmd") == starts else [*found, f"runcmd: {told.get('runcmd')}, not {starts}"]


def machines() -> tuple[list[str], int]:
    stacks = deployment(whole({"CoreCount": "3", "ReplicaCount": "2", "RestoreSnapshotIds": ""}))
    core, replica = stacks["Cores/Core1"], stacks["Replicas"]
    ecs_cluster = stacks["Ecs"].live["Outputs"]["ClusterName"]["Value"]
    texts = [stack.live["Resources"]["Machine"]["Properties"]["LaunchTemplateData"]["UserData"]["Fn::Base64"]
             for stack in (core, replica)]
    found = wrong_core(texts[0], core, ecs_cluster) + by_schema(texts[1])
    files = {each["path"]: each["content"] for each in yaml.safe_load(texts[1])["write_files"]}
    found += by_agent(files.get("/etc/ecs/ecs.config", ""), {"neo4j.tier": "replica"}, ecs_cluster, "true")
    for how, (old, new) in BROKEN.items():
        if old not in texts[0]:
            found.append(f"cannot be broken, {old!r} is not there: {how}")
        elif not wrong_core(texts[0].replace(old, new, 1), core, ecs_cluster):
            found.append(f"not noticed: {how}")
    return found, len(BROKEN)


ADDRESS, PASSWORD = "10.0.1.23", "pass/word $x"


def started(neo4j: dict, addresses: str, folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The environment that the image's own start gets from the container's, if it gets so far, and the secrets."""
    for name in ("bin", "ssl", "startup"):
        (folder / name).mkdir()
    stubs = {"bin/hostname": f"printf '%s' '{addresses}'", "bin/chown": f'echo "$@" >> {folder}/owned',
             "startup/docker-entrypoint.sh": f'[ "$*" = neo4j ] && env --null > {folder}/environment'}
    for name, text in stubs.items():
        (folder / name).write_text(f"#!/bin/bash\n{text}\n")
        (folder / name).chmod(0o755)
    [script] = neo4j["Command"]
    for own in ("ssl", "startup"):
        script = script.replace(f"/{own}/", f"{folder}/{own}/")
    secrets = {found["Name"]: f"{found['Name']}, of\ntwo lines" for found in neo4j["Secrets"]}
    secrets["ADMIN_PASSWORD"] = PASSWORD
    shell = neo4j["EntryPoint"][neo4j["EntryPoint"].index("--") + 1:]
    subprocess.run([*shell, script], check=False, capture_output=True,
                   env={"PATH": f"{folder}/bin:/usr/bin:/bin"} | secrets)
    written = folder / "environment"
    lines = written.read_text().split("\0") if written.exists() else []
    return dict(line.split("=", 1) for line in lines if line), secrets


def wrong_start(neo4j: dict, scopes: set[str]) -> list[str]:
    """What the container's command does, and should not, with certificates for these."""
    with tempfile.TemporaryDirectory() as scratch:
        environment, secrets = started(neo4j, f"fd00::10 {ADDRESS} 172.17.0.1\n", Path(scratch))
        for name in ("PATH", "PWD", "SHLVL", "_", "OLDPWD"):
            environment.pop(name, None)
        files = {str(path.relative_to(scratch)): (path.read_text(), stat.S_IMODE(path.stat().st_mode) & 0o077)
                 for path in Path(scratch, "ssl").rglob("*") if path.is_file()}
        folders = {str(path.relative_to(scratch)) for path in Path(scratch, "ssl").rglob("*") if path.is_dir()}
        owned = Path(scratch, "owned").read_text() if Path(scratch, "owned").exists() else ""
    with tempfile.TemporaryDirectory() as scratch:
        nowhere, _ = started(neo4j, "", Path(scratch))
    should = {}
    for scope in scopes:
        of = "CLUSTER_TLS" if scope == "cluster" else "TLS"
        should[f"ssl/{scope}/public.crt"] = (secrets[f"{of}_CERTIFICATE"] + "\n", 0o044)
        should[f"ssl/{scope}/private.key"] = (secrets[f"{of}_KEY"] + "\n", 0)
        if scope == "cluster":
            should["ssl/cluster/trusted/ca.crt"] = (secrets["CLUSTER_TLS_CA"] + "\n", 0o044)
    facts = {
        "only addresses and the login are passed on": (environment, {
            "NEO4J_server_default__advertised__address": ADDRESS,
            "NEO4J_server_cluster_advertised__address": f"{ADDRESS}:6000",
            "NEO4J_server_cluster_raft_advertised__address": f"{ADDRESS}:7000",
            "NEO4J_server_routing_advertised__address": f"{ADDRESS}:7688",
            "NEO4J_AUTH": f"neo4j/{PASSWORD}",
        }),
        "certificates and keys, which nobody else may read": (files, should),
        "each policy has its folders": (
            folders, {f"ssl/{scope}{each}" for scope in scopes for each in ("", "/trusted", "/revoked")}),
        "they are Neo4j's": (sorted(re.findall(r"-R neo4j: \S+/(\w+)\n", owned)), sorted(scopes)),
        "without an address there is no start": (nowhere, {}),
    }
    return [f"{fact}: {is_so!r}, not {so!r}" for fact, (is_so, so) in facts.items() if is_so != so]


def containers() -> tuple[list[str], int]:
    found, count = [], 0
    arn = "arn:aws:secretsmanager:eu-west-1:000000000000:secret:"
    for tls, cluster_tls in itertools.product(("", f"{arn}tls-AbCdEf"), ("", f"{arn}cluster-tls-AbCdEf")):
        stacks = deployment(whole({"CoreCount": "3", "ReplicaCount": "2", "RestoreSnapshotIds": "",
                                   "TlsSecretArn": tls, "ClusterTlsSecretArn": cluster_tls}))
        scopes = {*(("bolt", "https") if tls else ()), *(("cluster",) if cluster_tls else ())}
        for service in ("CoreService", "ReplicaService"):
            neo4j = stacks[service].live["Resources"]["Task"]["Properties"]["ContainerDefinitions"][0]
            found += [f"{service} with {scopes or 'no certificate'}: {line}" for line in wrong_start(neo4j, scopes)]
            count += 1
    return found, count


def main() -> None:
    began = time.monotonic()
    if missing := [f"missing: {path}\n  {how}" for path, how in NEEDED.items() if not path.exists()]:
        sys.exit("\n".join(missing))
    (findings, broken), (more, starts) = machines(), containers()
    findings += more
    print(f"user data of both tiers, {broken} ways to break a core's, {starts} starts of Neo4j, "
          f"{len(findings)} findings ({time.monotonic() - began:.0f} s)")
    sys.exit("\n".join(findings) if findings else 0)


if __name__ == "__main__":
    main()
