"""Enlarges the device under a full file system, and lets the instance's own unit grow it.

The command of neo4j-grow.service is run on a real XFS in a loop device, in a mount namespace of its own. The empty file system is
a fixture, since machines without XFS lack its tools; it was made by xfsprogs 6.1.0:

    truncate -s 32M blank.xfs; mkfs.xfs --unsupported blank.xfs; xz -9e blank.xfs

Needs root, a loop device, and a kernel that knows XFS.
"""

from __future__ import annotations

import lzma
import subprocess
import tempfile
from pathlib import Path

BLANK = Path(__file__).parents[1] / "fixtures" / "blank.xfs.xz"
MOUNT = """
mount --make-rprivate /
cd "$1"
mkdir volume
mount -t xfs -o loop,noatime,nouuid image volume
"""
PLAY = """
device=$(findmnt -no SOURCE volume)
size() { stat -f -c '%b' volume; }
dd if=/dev/zero of=volume/store bs=1M status=none 2> /dev/null || true
dd if=/dev/zero of=volume/rest bs=4k status=none 2> /dev/null || true
touch volume/another 2> /dev/null || echo "it is full"
full=$(size)
truncate -s 64M image
losetup --set-capacity "$device"
[ "$(size)" != "$full" ] || echo "it does not grow by itself"
"${@:2}" && echo "it is told to grow"
grown=$(size)
echo "it is $(((grown + full / 2) / full)) times as large"
touch volume/another && echo "it takes more"
"${@:2}" && [ "$(size)" = "$grown" ] && echo "it is told again, and nothing is to do"
umount volume
"${@:2}" || echo "it is refused where nothing is mounted"
"""
WANTED = [
    "it is full",
    "it does not grow by itself",
    "it is told to grow",
    "it is 2 times as large",
    "it takes more",
    "it is told again, and nothing is to do",
    "it is refused where nothing is mounted",
]


def on_a_disk(script: str, *command: str) -> subprocess.CompletedProcess:
    """Runs a script in a folder with the mounted file system; a command that names its place gets this one instead."""
    with tempfile.TemporaryDirectory(prefix="growth-") as scratch:
        Path(scratch, "image").write_bytes(lzma.decompress(BLANK.read_bytes()))
        command = tuple(word.replace("/srv/neo4j", f"{scratch}/volume") for word in command)
        return subprocess.run(
            ["unshare", "--mount", "/bin/bash", "-euc", MOUNT + script, "play", scratch, *command],
            capture_output=True,
            text=True,
            check=False,
        )


def wrong(unit: str) -> list[str]:
    """Returns what the unit does not do."""
    [command] = [line.removeprefix("ExecStart=").split() for line in unit.splitlines() if line.startswith("ExecStart=")]
    seen = on_a_disk(PLAY, *command)
    lines = seen.stdout.splitlines()
    return [] if lines == WANTED else [f"the enlarged disk: {lines}, not {WANTED}: {seen.stderr}"]


def impossible() -> str | None:
    """Why it cannot be played here."""
    tried = on_a_disk("umount volume")
    return None if tried.returncode == 0 else f"a disk that grows needs root, a loop device and XFS: {tried.stderr.strip()}"
