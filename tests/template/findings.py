#!/usr/bin/env python3
"""Lets checkov look at the templates as CloudFormation sees them, and compares its findings with waivers.yaml."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from render import ROOT, deployment, deployments, pairwise, tree

CHECKOV = ROOT / ".venv-checkov" / "bin" / "checkov"
WAIVERS = Path(__file__).with_name("waivers.yaml")

Finding = tuple[str, str]  # check, logical id


def waived() -> set[Finding]:
    found = yaml.safe_load(WAIVERS.read_text())
    for waiver in found:
        if set(waiver) != {"check", "resources", "reason"} or not waiver["reason"].strip():
            sys.exit(f"{WAIVERS.name}: a waiver has a check, resources and a reason: {waiver}")
    return {(waiver["check"], resource) for waiver in found for resource in waiver["resources"]}


def main() -> None:
    began = time.monotonic()
    alone = [deployments()[name] for name in ("drain-alone", "alerts-alone")]
    trees = [*map(deployment, pairwise()), *(tree("root", file, frozenset(parameters.items())) for file, parameters in alone)]
    distinct = {json.dumps(stack.template, indent=1): path.replace("/", "-") for each in trees for path, stack in each.items()}
    with tempfile.TemporaryDirectory() as folder:
        for number, (text, name) in enumerate(distinct.items()):
            Path(folder, f"{number}-{name}.json").write_text(text)
        asked = [
            CHECKOV,
            "--directory",
            folder,
            "--framework",
            "cloudformation",
            "--skip-download",
            "--compact",
            "--output",
            "json",
        ]
        answer = subprocess.run(asked, capture_output=True, text=True, check=False)
    try:
        report = json.loads(answer.stdout)
    except ValueError:
        sys.exit(f"checkov gave no report:\n{answer.stdout}{answer.stderr}")
    checks = report["results"]["passed_checks"] + report["results"]["failed_checks"]
    if report["summary"]["parsing_errors"] or not checks:
        sys.exit(f"checkov could not read everything: {report['summary']}, {report['results'].get('parsing_errors')}")
    # A resource is named «type.logical id».
    names = {
        (found["check_id"], found["resource"].rpartition(".")[2]): found["check_name"]
        for found in report["results"]["failed_checks"]
    }
    waivers = waived()
    wrong = [f"{check} {resource}: {names[check, resource]}" for check, resource in sorted(names.keys() - waivers)]
    wrong += [f"{check} {resource}: waived, but not found any more" for check, resource in sorted(waivers - names.keys())]
    held = len({found["check_id"] for found in checks})
    print(
        f"checkov: {len(distinct)} stacks, {held} checks apply, {len(names)} findings, {len(waivers)} waived "
        f"({time.monotonic() - began:.0f} s)"
    )
    sys.exit("\n".join(wrong) if wrong else 0)


if __name__ == "__main__":
    main()
