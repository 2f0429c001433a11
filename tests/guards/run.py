#!/usr/bin/env python3
"""Takes each guard of guards.toml away, one at a time, and sees that the tests named there fail.

usage: run.py [--check] [WORDS...]

--check only compares the table with the tree: each text is there exactly once, each test exists.
WORDS choose the guards whose name has all of them.

The tree itself is never touched: all this happens to a copy in target/guards, with builds of its own. The first one takes
some minutes, each further guard what its crates take to compile.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "tests/guards/guards.toml"
COPY = ROOT / "target/guards/tree"
BUILD = ROOT / "target/guards/build"
FIELDS = {"name", "file", "is", "becomes", "package", "tests"}
# Packages that are built together: with each alone, libraries would be compiled anew for its choice of their features.
TOGETHER = [["cluster-core"], ["cluster-members", "cluster-state", "cluster-stories", "instance-drainer"]]
# A test that never ends without its guard has not failed.
LIMIT_SECONDS = 600


def main() -> int:
    arguments = sys.argv[1:]
    guards = tomllib.loads(TABLE.read_text())["guard"]
    packages = {tomllib.loads(path.read_text())["package"]["name"]: path.parent for path in manifests()}
    faults = [f"«{guard.get('name')}»: {fault}" for guard in guards for fault in outdated(guard, packages)]
    if faults:
        print(f"{TABLE.relative_to(ROOT)} is out of date:", *faults, sep="\n  ", file=sys.stderr)
        return 1
    if "--check" in arguments:
        return 0
    chosen = [guard for guard in guards if all(word in guard["name"] for word in arguments)]
    if not chosen:
        print(f"no guard is called {' '.join(arguments)}", file=sys.stderr)
        return 1
    copy_tree()
    stand = with_all_guards(chosen, packages)
    if stand:
        print("with every guard in its place:", *stand, sep="\n  ", file=sys.stderr)
        return 1
    began, missed = time.monotonic(), 0
    # Those of one file follow each other: then each build compiles one change.
    for guard in sorted(chosen, key=lambda guard: (guard["package"], guard["file"])):
        start = time.monotonic()
        fault = without(guard, packages)
        missed += fault is not None
        print(f"{'ok' if fault is None else 'NOT':3} {time.monotonic() - start:4.0f} s  {guard['name']}", flush=True)
        for test in guard["tests"]:
            print(f"             {guard['package']} {test}")
        if fault is not None:
            print(f"             {fault}", flush=True)
    seconds = time.monotonic() - began
    print(f"{len(chosen) - missed} of {len(chosen)} guards are held by their tests ({seconds:.0f} s)")
    return 1 if missed else 0


def manifests() -> list[Path]:
    return [path for pattern in ("shared/*", "lambdas/*", "tests/*") for path in ROOT.glob(f"{pattern}/Cargo.toml")]


def outdated(guard: dict, packages: dict[str, Path]) -> list[str]:
    """Returns what is wrong with an entry of the table."""
    if set(guard) != FIELDS or not guard["tests"]:
        return [f"it needs {', '.join(sorted(FIELDS))}, and has {', '.join(sorted(guard))}"]
    file = ROOT / guard["file"]
    if not file.is_file():
        return [f"there is no file {guard['file']}"]
    faults = []
    times = file.read_text().count(guard["is"])
    if times != 1:
        faults.append(f"its text is in {guard['file']} {times} times instead of once: {guard['is'].strip()}")
    if guard["is"] == guard["becomes"]:
        faults.append("it becomes what it is")
    folder = packages.get(guard["package"])
    if folder is None or not any(guard["package"] in built for built in TOGETHER):
        return [*faults, f"there is no package {guard['package']}, or TOGETHER does not list it"]
    for test in guard["tests"]:
        found = re.compile(rf"#\[(?:tokio::)?test\b[^\n]*\]\s+(?:async )?fn {test.rsplit('::', 1)[-1]}\(")
        modules = test.split("::")
        sources = [path for path in folder.rglob("*.rs") if module(path, folder) == modules[: len(module(path, folder))]]
        if not any(found.search(path.read_text()) for path in sources):
            faults.append(f"there is no test {test} in {folder.relative_to(ROOT)}")
    return faults


def module(path: Path, folder: Path) -> list[str]:
    """Returns the path of the module that a file is."""
    _, *parts = path.relative_to(folder).with_suffix("").parts
    return [part for part in parts if part not in ("lib", "main", "mod")]


def copy_tree() -> None:
    """Makes the copy equal to the tree. What is the same stays untouched, so that it is not compiled again."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    names = {name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}
    for name in names:
        source, copy = ROOT / name, COPY / name
        text = source.read_bytes()
        if not copy.is_file() or copy.read_bytes() != text:
            copy.parent.mkdir(parents=True, exist_ok=True)
            # With the time of now: cargo compiles what is newer than its build.
            copy.write_bytes(text)
            copy.chmod(source.stat().st_mode)
    for copy in [path for path in COPY.rglob("*") if path.is_file() and ".venv" not in path.parts]:
        name = str(copy.relative_to(COPY))
        if name not in names and not name.startswith("target/"):
            copy.unlink()
    # The stories render the templates with its Python.
    if not (COPY / ".venv").exists():
        (COPY / ".venv").symlink_to(ROOT / ".venv")


def with_all_guards(guards: list[dict], packages: dict[str, Path]) -> list[str]:
    """Returns which of the tests fail, or are not there, although no guard is missing."""
    faults = []
    for package in sorted({guard["package"] for guard in guards}):
        tests = sorted({test for guard in guards if guard["package"] == package for test in guard["tests"]})
        print(f"building {package} and its {len(tests)} tests with every guard in its place", flush=True)
        ran, failed, output = run(package, tests, packages)
        if ran is None:
            return [f"{package} could not be tested:", output]
        missing = [test for test in tests if test not in ran]
        faults += [f"{package} has no test {test}" for test in missing]
        faults += [f"{package} {test} fails" for test in sorted(failed)]
    return faults


def without(guard: dict, packages: dict[str, Path]) -> str | None:
    """Takes one guard away and puts it back. Returns what is wrong; nothing when each of its tests failed."""
    file = COPY / guard["file"]
    whole = file.read_text()
    file.write_text(whole.replace(guard["is"], guard["becomes"]))
    try:
        ran, failed, output = run(guard["package"], guard["tests"], packages)
    finally:
        file.write_text(whole)
    if ran is None:
        return f"the entry is no change that could be tested: {output}"
    passed = [test for test in guard["tests"] if test not in failed]
    return f"without it these still pass: {', '.join(passed)}" if passed else None


def run(package: str, tests: list[str], packages: dict[str, Path]) -> tuple[set[str] | None, set[str], str]:
    """Runs tests. Returns which ran and which of them failed; nothing and the output when none could run."""
    target = ["--test", "main"] if (packages[package] / "tests/main.rs").is_file() else ["--lib"]
    built = next(packages for packages in TOGETHER if package in packages)
    # Optimising the decisions takes longer than what their own tests gain by it.
    plain = ["--config", "profile.dev.package.cluster-core.opt-level=0"] if built == [package] else []
    command = ["cargo", "test", *plain, *(f"--package={name}" for name in built), *target, "--", "--exact", *tests]
    environment = os.environ | {"CARGO_TARGET_DIR": str(BUILD), "INSTA_UPDATE": "no", "CARGO_TERM_COLOR": "never"}
    started = subprocess.Popen(
        command,
        cwd=COPY,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        said, errors = started.communicate(timeout=LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        # The test is a child of cargo.
        os.killpg(started.pid, signal.SIGKILL)
        started.communicate()
        return None, set(), f"it did not end within {LIMIT_SECONDS} seconds"
    found = dict(re.findall(r"^test (\S+) \.\.\. (ok|FAILED)$", said, re.MULTILINE))
    if not found:
        return None, set(), (said + errors).strip()[-2000:]
    return set(found), {test for test, result in found.items() if result == "FAILED"}, ""


if __name__ == "__main__":
    sys.exit(main())
