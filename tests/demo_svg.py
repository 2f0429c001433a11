"""Makes docs/demo.svg of the output of the demo: `make demo | tee demo.txt; python tests/demo_svg.py demo.txt`.

The lines appear as fast as they did, ten times over; a viewer without animations shows them all.
"""

import re
import sys
from html import escape
from pathlib import Path

COLUMNS, SPEED = 96, 10
STEP, LEFT, TOP = 19, 20, 62
LINE = re.compile(r"^ *(\d+):(\d\d\.\d) ([✓✗… ]) (.*)$")
MEMBERS, INDENT = "ShowMembers:", " " * 11
STYLE = """
    text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, DejaVu Sans Mono, monospace; white-space: pre }
    text { fill: #d8dee6 }
    .dim { fill: #8795a3 } .good { fill: #56b87c } .bad { fill: #ff7b72 } .told { fill: #7cc5d9 } .bold { font-weight: bold }
    g { animation: show 1ms both } @keyframes show { from { opacity: 0 } to { opacity: 1 } }
    @media (prefers-reduced-motion: reduce) { g { animation: none } }"""


def span(text, kind=""):
    """Returns a piece of a line."""
    return f'<tspan class="{kind}">{escape(text)}</tspan>' if kind else f"<tspan>{escape(text)}</tspan>"


def lines(output):
    """Yields the lines to show, each with the second in which it appeared. Progress is left out, and all tables of members but
    the last one."""
    second, table, members = 0.0, False, False
    yield second, span("$ ", "dim") + span("make demo", "bold")
    shown = output[next(n for n, line in enumerate(output) if line.startswith("A cluster")) :]
    last = max((n for n, line in enumerate(shown) if MEMBERS in line), default=None)
    for n, line in enumerate(shown):
        found = LINE.match(line)
        if MEMBERS in line:
            members = n == last
            if not members:
                continue
        elif found:
            members = False
        if line.startswith(INDENT):
            if members:
                text = line[len(INDENT) - 2 :]
                yield second, span(text if len(text) <= COLUMNS else text[: COLUMNS - 1] + "…")
            continue
        if found:
            minutes, seconds, mark, text = found.groups()
            second = 60 * int(minutes) + float(seconds)
            if mark == "…":
                continue
            room = COLUMNS - 10
            text = text if len(text) <= room else text[: room - 1] + "…"
            clock = span(f"{int(minutes):3}:{seconds} ", "dim")
            kind = {"✓": "good", "✗": "bad"}.get(mark)
            took = re.fullmatch(r"(.*) (\([\d.]+ s\))", text)
            if kind and took:
                yield second, clock + span(mark + " ", kind) + span(took[1] + " ") + span(took[2], "dim")
            else:
                yield second, clock + (span(mark + " ", kind) + span(text) if kind else span("  ") + span(text, "told"))
        elif line.startswith("event "):
            table = True
            yield second, span(line, "bold")
        elif table and (row := re.match(r"^(.*?  )(yes|NO)( .*)$", line)):
            yield second, span(row[1]) + span(row[2], "good" if row[2] == "yes" else "bad") + span(row[3])
        elif not line.strip() or line.startswith("A cluster"):
            yield second, span(line, "bold") if line else ""


def draw(output):
    """Returns the SVG."""
    rows = list(lines(output))
    while not rows[-1][1]:
        rows.pop()
    width, height = LEFT * 2 + round(COLUMNS * 7.9), TOP + STEP * len(rows) + 4
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}">',
        "  <!-- Made by tests/demo_svg.py from the output of make demo. -->",
        "  <title>A recorded run of make demo</title>",
        f"  <style>{STYLE}\n  </style>",
        f'  <rect width="{width}" height="{height}" rx="8" fill="#0d1117"/>',
        *(
            f'  <circle cx="{20 + 18 * n}" cy="20" r="6" fill="{fill}"/>'
            for n, fill in enumerate(("#ff5f57", "#febc2e", "#28c840"))
        ),
    ]
    for n, (second, row) in enumerate(rows):
        if row:
            text = f'<text x="{LEFT}" y="{TOP + STEP * n - 8}" xml:space="preserve">{row}</text>'
            out.append(f'  <g style="animation-delay: {second / SPEED:.2f}s">{text}</g>')
    return "\n".join([*out, "</svg>", ""])


def main():
    """Reads the output from the file that is named, or from standard input."""
    output = Path(sys.argv[1]).read_text() if len(sys.argv) > 1 else sys.stdin.read()
    (Path(__file__).resolve().parents[1] / "docs" / "demo.svg").write_text(draw(output.splitlines()))


if __name__ == "__main__":
    main()
