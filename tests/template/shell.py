"""Has shellcheck read every script that a template hands to bash."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from render import INFRA, read

SHELLCHECK = Path(sys.executable).with_name("shellcheck")
# What stands, by file: words without blanks, a choice whose first branch cannot fail, a format that is built.
STANDS = {"task.yaml": "SC2015,SC2059,SC2086"}


def scripts(value: Any) -> Iterator[str]:
    """Yields the scripts of a template: the commands of containers that have more than one line."""
    match value:
        case dict():
            for key, inner in value.items():
                if key == "Command":
                    words = [word.get("Fn::Sub", "") if isinstance(word, dict) else word for word in inner]
                    yield from (word for word in words if isinstance(word, str) and "\n" in word)
                yield from scripts(inner)
        case list():
            for inner in value:
                yield from scripts(inner)


def findings(script: str, stands: str = "") -> list[str]:
    """Returns what shellcheck says of a script, with the lines that it means."""
    asked = [SHELLCHECK, "--shell=bash", "--format=gcc", f"--exclude={stands}", "-"]
    answer = subprocess.run(asked, input=script, capture_output=True, text=True, check=False)
    if answer.returncode > 1:
        sys.exit(f"{SHELLCHECK} failed: {answer.stderr}")
    lines = script.splitlines()
    return [f"{line.removeprefix('-:')}: {lines[int(line.split(':')[1]) - 1].strip()}" for line in answer.stdout.splitlines()]


def wrong() -> tuple[list[str], str]:
    found, count = [], 0
    for path in sorted(INFRA.glob("*.yaml")):
        for script in scripts(read(path)):
            count += 1
            found += [f"{path.name}: shellcheck: {line}" for line in findings(script, STANDS.get(path.name, ""))]
    # A quote that is missing must be noticed, or nothing was read.
    if not findings("rm -r $HOME\n"):
        found.append("shellcheck notices nothing")
    return found, f"{count} scripts read by shellcheck"
