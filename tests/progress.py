#!/usr/bin/env python3
"""Runs a command that takes long, and says how far it is: at once, and then every few seconds.

usage: progress.py LABEL COMMAND...

It prints whole lines, on a terminal too: so two of these can run side by side, and a log of CI shows what a person sees.
Cargo draws its progress bar on terminals only, unless it is told to draw it always: https://doc.rust-lang.org/cargo/reference/config.html#termprogresswhen
What the command itself says is shown when it fails.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time

EVERY_SECONDS = 5
WIDTH = 76
# Cargo's bar, such as `Building [===>   ] 187/412: aws-sdk-ecs, hyper`.
BAR = re.compile(r"^\s*\w+ \[[=> ]*\] (\d+)/(\d+)(?:: (.*))?")
# Steps that say nothing about a failure.
STEP = re.compile(
    r"^\s*(Adding|Blocking|Building|Checking|Compiling|Dirty|Downloaded|Downloading|Executable|Finished|"
    r"Fresh|Locking|Updating|Collecting|Using cached|Installing|Requirement already|Downloading) "
)


class Command:
    def __init__(self, words: list[str]) -> None:
        told = {"CARGO_TERM_PROGRESS_WHEN": "always", "CARGO_TERM_PROGRESS_WIDTH": "200"}
        self.said: list[str] = []
        self.now = ""
        self.process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=told | dict(os.environ)
        )
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self) -> None:
        rest = b""
        while chunk := os.read(self.process.stdout.fileno(), 65536):
            *lines, rest = re.split(rb"[\r\n]+", rest + chunk)
            for line in lines:
                self.hear(re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", line.decode(errors="replace")))
        self.hear(rest.decode(errors="replace"))

    def hear(self, line: str) -> None:
        bar = BAR.match(line)
        if bar:
            done, of, what = bar.groups()
            self.now = f"{done} of {of}" + (f": {what}" if what else "")
        elif line.strip():
            self.said.append(line)
            self.now = line.strip()


def main() -> int:
    label, *words = sys.argv[1:]
    began = time.monotonic()

    def tell(text: str) -> None:
        took = int(time.monotonic() - began)
        print(f"{label}  {took // 60}:{took % 60:02}  {text[:WIDTH]}", flush=True)

    tell(" ".join(words))
    command = Command(words)
    told = False
    try:
        while True:
            try:
                status = command.process.wait(EVERY_SECONDS)
                break
            except subprocess.TimeoutExpired:
                told = True
                tell(command.now or "…")
    except KeyboardInterrupt:  # the command has been interrupted as well
        return command.process.wait() or 130
    command.reader.join()
    if status:
        print("\n".join(line for line in command.said if not STEP.match(line)), file=sys.stderr)
        tell(f"failed with status {status}")
    elif told:
        tell("done")
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main())
