"""Runs the command of a container's health check against a listener on Bolt's port.

Started by host.py in namespaces of its own (network, mounts), so that nobody else's port and files are met. The first
argument is the command as JSON, the second one a list of steps, the third one after how many seconds a command is ended.
Prints what came of each: [exit status or null, seconds].
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time

PORT, SIOCSIFFLAGS, IFF_UP = 7687, 0x8914, 1


def private() -> None:
    """Brings loopback up, and mounts a /tmp that nobody else sees."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"none", b"/tmp", b"tmpfs", 0, None):
        sys.exit(f"cannot mount a /tmp of its own: errno {ctypes.get_errno()}")
    with socket.socket() as asked:
        fcntl.ioctl(asked, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


class Listener:
    """Bolt's port: open, closed, silent (the kernel accepts, nobody answers), or full (the kernel no longer accepts)."""

    def __init__(self) -> None:
        self.held: list[socket.socket] = []

    def become(self, state: str) -> None:
        for each in self.held:
            each.close()
        self.held = []
        if state == "closed":
            return
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", PORT))
        listening.listen(0 if state == "full" else 128)
        self.held.append(listening)
        for _ in range(4 if state == "full" else 0):  # more than it holds: the rest stays in the middle of its handshake
            waiting = socket.socket()
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", PORT))
            self.held.append(waiting)


def run(command: list[str], patience: float) -> int | None:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        return process.wait(patience)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None


def main() -> None:
    command, steps, patience = map(json.loads, sys.argv[1:])
    private()
    listener, found = Listener(), []
    for step in steps:
        listener.become(step)
        began = time.monotonic()
        found.append([run(command, patience), time.monotonic() - began])
    print(json.dumps(found))


if __name__ == "__main__":
    main()
