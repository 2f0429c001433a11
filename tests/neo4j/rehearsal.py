"""Rehearses what install.py refuses: on a scratch folder, with a list of one jar, and a mirror on loopback that has it or not.

usage: rehearsal.py
"""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import io
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import install

JAR = b"not much of a jar"
COORDINATE = "org.example:thing:1.0"
PLACE = "/org/example/thing/1.0/thing-1.0.jar"


@contextlib.contextmanager
def mirror(*, serves: bytes | None) -> Iterator[None]:
    """Lets jgo's own settings name a mirror that serves these bytes as the jar, or one that nobody answers for."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            there = serves is not None and self.path == PLACE
            self.send_response(200 if there else 404)
            self.end_headers()
            self.wfile.write(serves if there and serves else b"")

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    settings = Path(os.environ["HOME"]) / ".config" / "jgo.conf"
    settings.parent.mkdir(exist_ok=True)
    settings.write_text(f"[repositories]\nmirror = http://127.0.0.1:{server.server_port}\n")
    if serves is None:
        server.server_close()
        yield
        return
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def refusal(call: Callable[[], None]) -> str:
    try:
        call()
    except install.Refused as refused:
        return str(refused)
    return "nothing"


def found(scratch: Path) -> Iterator[str]:
    lists, folder = scratch / "lists", scratch / "neo4j"
    jar = folder / "1.0" / "lib" / "thing-1.0.jar"
    lists.mkdir()
    folder.mkdir()
    install.LISTS = lists
    (lists / "jars-1.0.txt").write_text(f"{hashlib.sha256(JAR).hexdigest()}  {COORDINATE}\n")

    def refuses(what: str, *words: str) -> Iterator[str]:
        said = refusal(lambda: install.install(folder))
        if lacking := [word for word in words if word not in said]:
            yield f"{what}: what is refused is {said!r}, without {lacking}"

    with mirror(serves=None):
        yield from refuses("no network", COORDINATE, "cannot be downloaded", "jgo.conf")
    with mirror(serves=b"another jar"):
        yield from refuses("another jar at the mirror", COORDINATE, "jars-1.0.txt says")
    if jar.exists():
        yield "what was refused lies there"
    with mirror(serves=JAR):
        install.install(folder)
    if not jar.exists() or jar.read_bytes() != JAR:
        yield "a jar that is as listed is not installed"
    jar.write_bytes(b"changed")
    yield from refuses("a changed jar", COORDINATE, f"Remove {jar}")
    jar.write_bytes(JAR)
    (jar.parent / "foreign.jar").touch()
    yield from refuses("a foreign jar", "foreign.jar", "on no list")


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["HOME"] = scratch
        with contextlib.redirect_stdout(io.StringIO()):  # how far an installation is
            findings = [*found(Path(scratch))]
    print(f"five installations rehearsed, {len(findings)} findings")
    sys.exit("\n".join(findings) if findings else 0)


if __name__ == "__main__":
    main()
