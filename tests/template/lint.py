#!/usr/bin/env python3
"""Lints the templates in every shape that a deployment can take.

Without arguments: every combination of the root's switches is rendered, looked at and linted in this process.
With --sam: a pairwise set goes through `sam validate --lint`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cfnlint.config import ConfigMixIn
from cfnlint.decode.decode import decode_str
from cfnlint.runner import Runner
from render import INFRA, SWITCHES, Combination, Template, combinations, deployment, pairwise
from samtranslator.yaml_helper import yaml_parse


def wrong(combination: Combination, deployed: dict[str, Template]) -> list[str]:
    """What a combination should have made of the stack, and has not."""
    resources = {name: found for template in deployed.values() for name, found in template["Resources"].items()}
    kinds: dict[str, list[str]] = {}
    for name, found in resources.items():
        kinds.setdefault(found["Type"], []).append(name)
    given, topic = combination["HostedZoneId"], combination["AlarmTopicArn"]
    zone = given or {"Ref": "Zone"}
    functions = [resources[name]["Properties"] for name in kinds["AWS::Lambda::Function"]]
    variables = functions[0]["Environment"]["Variables"]
    records = [resources[name]["Properties"]["HostedZoneId"] for name in kinds["AWS::Route53::RecordSet"]]
    alarms = [resources[name]["Properties"] for name in kinds["AWS::CloudWatch::Alarm"]]
    told = [topic] if topic else None
    facts = {
        "a zone is created when none is given": (len(kinds.get("AWS::Route53::HostedZone", [])), 0 if given else 1),
        "all writes go into the zone": ([*records, variables["HOSTED_ZONE_ID"]], [zone] * (len(records) + 1)),
        "alarms and their ends are told": ([[a.get("AlarmActions"), a.get("OKActions")] for a in alarms],
                                           [[told, told]] * len(alarms)),
        "health is asked for": (variables["REQUIRE_HEALTHY"], combination["RequireHealthyTasks"]),
        "a dry run is one": (variables["DRY_RUN"], combination["DnsDryRun"]),
        "functions run on the processor": ([found["Architectures"] for found in functions],
                                           [[combination["Architecture"]]] * len(functions)),
    }
    return [f"{fact}: {is_so!r}, not {should!r}" for fact, (is_so, should) in facts.items() if is_so != should]


def every() -> list[str]:
    findings, count = [], 0
    linter = Runner(ConfigMixIn(regions=["eu-west-1"]))  # reads its rules once, not for each template
    for combination in combinations():
        deployed = deployment(combination)
        said = [*wrong(combination, deployed)]
        for name, template in deployed.items():
            count += 1
            decoded, broken = decode_str(json.dumps(template, indent=1))
            said += [f"{name}: {match}" for match in broken or linter.validate_template(decoded)]
        findings += [f"{combination}: {line}" for line in said]
    print(f"{len(list(combinations()))} combinations of {len(SWITCHES)} switches, {count} templates", end="")
    return findings


def by_sam() -> list[str]:
    findings, chosen = [], pairwise()
    with tempfile.TemporaryDirectory() as folder:
        for combination in chosen:
            for path in sorted(INFRA.glob("*.yaml")):
                template = yaml_parse(path.read_text())
                names = {"DnsDryRun": "DryRun"} if "DryRun" in template["Parameters"] else {}
                for name, value in combination.items():
                    template["Parameters"][names.get(name, name)]["Default"] = value
                copy = Path(folder, path.name).with_suffix(".json")
                copy.write_text(json.dumps(template, indent=1))
                asked = ["sam", "validate", "--lint", "--template-file", str(copy), "--region", "eu-west-1"]
                answer = subprocess.run(asked, capture_output=True, text=True, check=False)
                if answer.returncode:
                    findings.append(f"{combination}: {path.name}\n{answer.stdout}{answer.stderr}")
    print(f"sam validate --lint: {len(chosen)} combinations, in which each two values meet", end="")
    return findings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sam", action="store_true", help="a pairwise set through sam validate --lint")
    began = time.monotonic()
    findings = by_sam() if parser.parse_args().sam else every()
    print(f", {len(findings)} findings ({time.monotonic() - began:.0f} s)")
    sys.exit("\n".join(findings) if findings else 0)


if __name__ == "__main__":
    main()
