"""Installs Neo4j Community into a folder: for each list `jars-<version>.txt` beside this file a `<version>/lib` with its jars.

usage: install.py FOLDER

A line of a list is `sha256  group:artifact:version[:classifier]`. Whatever is missing comes from Maven Central, by way of jgo: a
mirror is named in jgo's own settings, under `[repositories]` in ~/.config/jgo.conf. Every jar is compared with its list, also
one that was there already, and what is on no list is refused, since Java would load it too. A folder of another version, which
nothing loads, is left alone.

To change a version, let Maven list what `org.neo4j:neo4j` needs at runtime, and write the list from its jars.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import requests
from jgo.config import GlobalSettings
from jgo.maven import MavenContext

LISTS = Path(__file__).parent
AT_ONCE = 8


class Refused(Exception):
    """What must not be used, or cannot be had."""


@dataclass(frozen=True)
class Jar:
    list: Path
    sha256: str
    coordinate: str
    folder: Path

    @property
    def path(self) -> Path:
        _, artifact, version, *classifier = self.coordinate.split(":")
        return self.folder / ("-".join([artifact, version, *classifier]) + ".jar")

    def verify(self, path: Path) -> None:
        if (found := hashlib.sha256(path.read_bytes()).hexdigest()) != self.sha256:
            raise Refused(f"{path.name} ({self.coordinate}) has the SHA-256 {found}, but {self.list.name} says {self.sha256}")


def listed(folder: Path) -> Iterator[Jar]:
    for each in sorted(LISTS.glob("jars-*.txt")):
        version = each.stem.removeprefix("jars-")
        for line in each.read_text().splitlines():
            sha256, coordinate = line.split()
            yield Jar(each, sha256, coordinate, folder / version / "lib")


def missing(jars: list[Jar]) -> list[Jar]:
    """Compares what is there, and returns what is not."""
    for folder in {jar.folder for jar in jars}:
        folder.mkdir(parents=True, exist_ok=True)
        if foreign := {*folder.iterdir()} - {jar.path for jar in jars}:
            raise Refused(f"{', '.join(sorted(map(str, foreign)))}: on no list. Remove it.")
    for jar in jars:
        if jar.path.exists():
            try:
                jar.verify(jar.path)
            except Refused as refused:
                raise Refused(f"{refused}. Remove {jar.path} to have it downloaded again.") from refused
    return [jar for jar in jars if not jar.path.exists()]


def fetch(same: list[Jar], scratch: str) -> None:
    """Downloads one jar for all versions that have it."""
    jar = same[0]
    group, artifact, version, *classifier = jar.coordinate.split(":")
    mirrors = GlobalSettings.load().repositories or None
    context = MavenContext(repo_cache=Path(scratch), local_repos=[], remote_repos=mirrors, timeout=60)
    found = context.project(group, artifact).at_version(version).artifact(*classifier).resolve()
    for each in same:
        each.verify(found)
    found.chmod(0o644)
    for other in same[1:]:
        os.link(found, other.path)
    found.rename(jar.path)


def install(folder: Path) -> None:
    lacking: dict[str, list[Jar]] = {}
    for jar in missing([*listed(folder)]):
        lacking.setdefault(jar.coordinate, []).append(jar)
    if not lacking:
        return
    with tempfile.TemporaryDirectory(dir=folder, prefix="download-") as scratch, ThreadPoolExecutor(AT_ONCE) as pool:
        going = {pool.submit(fetch, same, scratch): name for name, same in lacking.items()}
        try:
            for number, done in enumerate(as_completed(going), start=1):
                done.result()
                print(f"{number} of {len(going)}: {going[done]}", flush=True)
        except (requests.RequestException, RuntimeError) as error:  # jgo's own word for what a registry does not have
            raise Refused(
                f"{going[done]} cannot be downloaded: {error}\nMaven Central must be reachable, or a mirror be named in "
                "~/.config/jgo.conf. What has been downloaded stays: try again."
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    os.umask(0o022)  # Neo4j runs as another user
    try:
        install(Path(sys.argv[1]))
    except Refused as refused:
        sys.exit(f"Neo4j: {refused}")
