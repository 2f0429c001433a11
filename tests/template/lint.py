#!/usr/bin/env python3
"""Lints the templates in every shape that a deployment can take.

Without arguments it renders a pairwise set of the root's parameters, and what is deployed by itself, compares the result with
facts.py, and lints it. It also checks the style of the templates.
With --sam it runs `sam validate --lint` on each template, and on the root with each value of each parameter: how values meet
is linted without it, in what they render.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml
from cfnlint.config import ConfigMixIn
from cfnlint.decode.decode import decode_str
from cfnlint.runner import Runner
from facts import wrong
from render import (
    CA,
    INFRA,
    NAMED,
    SUBNET,
    SWITCHES,
    Combination,
    Refused,
    Template,
    deployment,
    deployments,
    not_as_promised,
    pairwise,
    read,
    tree,
)

# Parameters that must be refused, by the beginning of the message.
REFUSALS = {
    "root: Neo4j Enterprise needs a license": {"AcceptLicense": "no"},
    "root: CoreZone2 must be the zone of CoreSubnet2": {"CoreZone2": "eu-west-1a"},
    "root: CoreSubnet2 must be a subnet of VpcId": {"CoreSubnet2": SUBNET[5]},
    "root: CoreInstanceType and ReplicaInstanceType must have the same processor": {"CoreInstanceType": "m7i.large"},
    "root: CoreOnDemandBase must be less than CoreCount": {"CorePurchase": "mixed", "CoreOnDemandBase": "3"},
    "root: RestoreSnapshotIds: 'snap-1' must be": {"RestoreSnapshotIds": "snap-1"},
    "root: no value for .*VpcId": {"VpcId": None},
    "root: no such parameters: .*CoreCounts": {"CoreCounts": "3"},
    "root: CoreCount: '4' is none of": {"CoreCount": "4"},
    "root: CoreSubnet1: 'subnet-0' is no AWS::EC2::Subnet::Id": {"CoreSubnet1": "subnet-0"},
    "root: RecordTtl: 'ten' is no Number": {"RecordTtl": "ten"},
    "root: DataVolumeSize: '9' is out of range": {"DataVolumeSize": "9"},
    "root: DomainName: 'x{60}.y{60}' is out of range": {"DomainName": f"{'x' * 60}.{'y' * 60}"},
    "root: AdminSecretArn: 'arn:.*:secret:admin' must be the whole ARN": {
        "AdminSecretArn": "arn:aws:secretsmanager:eu-west-1:000000000000:secret:admin"
    },
    "root: TlsSecretArn: 'tls' must be the whole ARN of a secret": {"TlsSecretArn": "tls"},
    "root: TlsCaCertificate: 'ca.pem' must be certificates in PEM": {"TlsCaCertificate": "ca.pem"},
    "root: TlsCaCertificate: .* must be certificates in PEM": {"TlsCaCertificate": CA.replace("CERTIFICATE", "PRIVATE KEY")},
    "root: TlsCaCertificate: .* is out of range": {"TlsCaCertificate": CA * 8},
    "root: One of BackupHourlyDays, BackupDailyDays, BackupWeeks and BackupMonths must be": {
        "BackupHourlyDays": "0",
        "BackupDailyDays": "0",
        "BackupWeeks": "0",
        "BackupMonths": "0",
    },
    "root: BackupObjectLockDays must be 0 with BackupBucketName": {
        "BackupBucketName": "backups-of-many",
        "BackupObjectLockDays": "7",
    },
    "root: FullBackupSchedule: '' must be a cron or rate expression": {"FullBackupSchedule": ""},
    "root: BackupBucketName: 's3://backups' must be the name of a bucket": {"BackupBucketName": "s3://backups"},
    "root: BackupMinimumChains: '0' is out of range": {"BackupMinimumChains": "0"},
    "root: MuteSchedule: .* must be a cron expression of five fields": {"MuteSchedule": "cron(0 2 ? * SUN *)"},
    "root: MuteSchedule: 'rate.*' must be a cron expression of five fields": {"MuteSchedule": "rate(1 day)"},
    "root: MuteDuration: '2h' must be an ISO 8601 duration": {"MuteDuration": "2h"},
    "root: MuteDuration: 'P' must be an ISO 8601 duration": {"MuteDuration": "P"},
    "root: MuteDuration: 'P1DT' must be an ISO 8601 duration": {"MuteDuration": "P1DT"},
}


# Parameters that must not be refused.
FORMS = {
    "one certificate, its line breaks lost": {"TlsCaCertificate": CA},
    "one certificate as it is in its file": {"TlsCaCertificate": re.sub("([A-Za-z0-9+/=]{64})", r"\1\n", CA) + "\n"},
    "windows of a day and a half": {"MuteSchedule": "at(2027-01-31T22:00)", "MuteDuration": "P1DT12H"},
    "windows of ninety minutes": {"MuteSchedule": "cron(30 1 1 * *)", "MuteDuration": "PT90M"},
    "two certificates in a line with \\n in it": {"TlsCaCertificate": f"{CA}\\n{CA}\\n"},
}


def refused() -> list[str]:
    """Returns the forms that should have been accepted and were not."""
    findings = []
    for what, parameters in FORMS.items():
        try:
            tree("root", INFRA / "template.yaml", frozenset((NAMED | parameters).items()))
        except Refused as refusal:
            findings.append(f"{what} should be accepted: {refusal}")
    return findings


def accepted() -> list[str]:
    """Returns the combinations that should have been refused and were not, or for another reason."""
    findings = []
    for words, parameters in REFUSALS.items():
        given = NAMED | {"ReplicaCount": "2"} | parameters
        passed = frozenset((name, value) for name, value in given.items() if value is not None)
        try:
            tree("root", INFRA / "template.yaml", passed)
            findings.append(f"{parameters} should be refused: {words}")
        except Refused as refusal:
            if not re.match(words, str(refusal)):
                findings.append(f"{parameters} should be refused because of «{words}», not «{refusal}»")
    return findings


def outline(template: Template) -> str:
    """Returns a template as a linter sees it. Texts that it passes on are checked in the nested stack."""
    template = copy.deepcopy(template)
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::CloudFormation::Stack":
            passed = resource["Properties"].get("Parameters", {})
            passed.update({name: "passed" for name, value in passed.items() if isinstance(value, str)})
    return json.dumps(template, indent=1)


def every() -> list[str]:
    findings, count, places = [*accepted(), *refused(), *style()], 0, {}
    chosen = pairwise()
    for combination in chosen:
        try:
            deployed = deployment(combination)
        except Refused as refusal:
            findings.append(f"{combination}: {refusal}")
            continue
        count += len(deployed)
        findings += [f"{combination}: {line}" for line in wrong(combination, deployed)]
        for path, stack in deployed.items():
            places.setdefault(stack, f"{path} of {combination}")
    for file, parameters in (deployments()[name] for name in ("discovery", "drain-alone", "alerts-alone")):
        alone = tree("root", file, frozenset(parameters.items()))
        places |= {stack: f"{path} of {file.name} alone" for path, stack in alone.items()}
    findings += [f"{place}: {line}" for stack, place in places.items() for line in not_as_promised(stack)]
    outlines = {outline(stack.template): place for stack, place in places.items()}
    # The linter reads its rules once, not for each template. The zone is a parameter, and a shape need not use every parameter.
    linter = Runner(ConfigMixIn(regions=["eu-west-1"], ignore_checks=["W3010", "W2001"]))
    for text, place in outlines.items():
        decoded, broken = decode_str(text)
        findings += [f"{place}: {match}" for match in broken or linter.validate_template(decoded)]
    print(
        f"{len(chosen)} combinations of {len(SWITCHES)} switches, {count} stacks, {len(outlines)} distinct, "
        f"{len(REFUSALS)} refusals",
        end="",
    )
    return findings


def quoted_in_vain(text: str, in_flow: bool) -> bool:
    """Whether a text of words means the same without its quotes. Patterns and single signs are quoted for the reader."""
    if not any(map(str.isalpha, text)) or set(text) & set('^$[]{}|*/\\"\n') or (in_flow and set(text) & set(",:#'")):
        return False
    try:
        return yaml.safe_load(f"key: {text}") == {"key": text} and yaml.safe_load(f"{text}: value") == {text: "value"}
    except yaml.YAMLError:
        return False


def style() -> list[str]:
    """Returns where the templates are not in one style: a collection in flow style fits into a line of 130 characters, and
    nothing is quoted in vain."""
    findings = []
    for path in sorted(INFRA.glob("*.yaml")):
        text = path.read_text()
        lines, open_at = text.splitlines(), []
        for event in yaml.parse(text):
            place = f"{path.name}:{event.start_mark.line + 1}"
            if isinstance(event, yaml.CollectionStartEvent):
                open_at.append(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                began = open_at.pop()
                number = began.start_mark.line
                if began.flow_style and (event.end_mark.line != number or len(lines[number]) > 130):
                    findings.append(f"{path.name}:{number + 1}: a collection in flow style does not fit into a line")
            elif isinstance(event, yaml.ScalarEvent) and event.style in {"'", '"'}:
                in_flow = any(began.flow_style for began in open_at)
                findings += [f"{place}: {event.value!r} needs no quotes"] * quoted_in_vain(event.value, in_flow)
    return findings


def each_value(chosen: list[Combination]) -> list[Combination]:
    """Returns the first combinations of these in which each value of each switch occurs."""
    found: list[Combination] = []
    for combination in chosen:
        known = {pair for one in found for pair in one.items()}
        if not known.issuperset(combination.items()):
            found.append(combination)
    return found


def validated(job: tuple[Path, str]) -> str:
    path, place = job
    asked = ["sam", "validate", "--lint", "--template-file", str(path), "--region", "eu-west-1"]
    answer = subprocess.run(asked, capture_output=True, text=True, check=False)
    return f"{place}\n{answer.stdout}{answer.stderr}" if answer.returncode else ""


def by_sam() -> list[str]:
    chosen = each_value(pairwise())
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [(path, path.name) for path in sorted(INFRA.glob("*.yaml"))]
        for number, combination in enumerate(chosen):
            template = copy.deepcopy(read(INFRA / "template.yaml"))
            for name, value in combination.items():
                definition = template["Parameters"][name]
                definition["Default"] = int(value) if definition["Type"] == "Number" else value
            copied = Path(folder, f"{number}.json")
            copied.write_text(json.dumps(template, indent=1))
            jobs.append((copied, f"template.yaml with {combination}"))
        findings = list(filter(None, pool.map(validated, jobs)))
    print(
        f"sam validate --lint: {len(jobs) - len(chosen)} templates, the root in {len(chosen)} combinations, in which "
        "each value occurs",
        end="",
    )
    return findings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sam", action="store_true", help="each value through sam validate --lint")
    began = time.monotonic()
    findings = by_sam() if parser.parse_args().sam else every()
    print(f", {len(findings)} findings ({time.monotonic() - began:.0f} s)")
    sys.exit("\n".join(findings) if findings else 0)


if __name__ == "__main__":
    main()
