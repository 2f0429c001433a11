"""Draws the pictures of the documents from the parts and arrows below: `python docs/draw.py`.

`--check` only compares them with the committed ones. Nothing is drawn whose texts leave their boxes, whose boxes overlap,
or whose arrows do not lead from one box to another.
"""

import json
import sys
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path

STYLE = """
    .paper { fill: #f7f9fb } .box { fill: #ffffff; stroke: #33475b; stroke-width: 1.5 }
    .ours { fill: #e4f2e9; stroke: #2e7d4f; stroke-width: 2 } .disk { fill: #e9f0fa; stroke: #3b6ea5; stroke-width: 1.5 }
    .zone { fill: none; stroke: #8795a3; stroke-dasharray: 6 4 }
    .name { font-weight: bold; fill: #1c2b39 } .text { fill: #3d4f60; font-size: 12px }
    .label { fill: #33475b; font-size: 12px } .line { stroke: #33475b; stroke-width: 1.5; fill: none }
    .soft { stroke: #6b7b8a; stroke-width: 1.3; fill: none; stroke-dasharray: 4 3 }
    .bond { stroke: #3b6ea5; stroke-width: 2; fill: none } .tip { fill: #33475b }
    @media (prefers-color-scheme: dark) {
      .paper { fill: #0d1117 } .box { fill: #161b22; stroke: #9fb1c3 } .ours { fill: #12301f; stroke: #56b87c }
      .disk { fill: #122238; stroke: #7aa7dd } .zone { stroke: #6b7b8a } .name { fill: #f0f4f8 } .text { fill: #c3d0dc }
      .label { fill: #c3d0dc } .line { stroke: #9fb1c3 } .soft { stroke: #8795a3 }
      .bond { stroke: #7aa7dd } .tip { fill: #9fb1c3 }
    }"""
NAME, TEXT, LINE, PAD = 14, 12, 18, 12


@dataclass(frozen=True)
class Box:
    """A part. A zone is a frame around others."""

    x: int
    y: int
    w: int
    name: str
    lines: tuple[str, ...] = ()
    kind: str = "box"
    height: int = 0

    @property
    def h(self):
        """Returns the height, which follows from the lines unless it is given."""
        return self.height or 2 * PAD + NAME - 4 + LINE * len(self.lines)

    def overlaps(self, other):
        """Whether two boxes have a point in common."""
        return (
            self.x < other.x + other.w and other.x < self.x + self.w and self.y < other.y + other.h and other.y < self.y + self.h
        )

    def has_border(self, x, y):
        """Whether a point is on the border."""
        inside = self.x <= x <= self.x + self.w and self.y <= y <= self.y + self.h
        return inside and (x in (self.x, self.x + self.w) or y in (self.y, self.y + self.h))


@dataclass(frozen=True)
class Arrow:
    """A way through points, from the border of a box to that of another, with a label that begins at `at`."""

    points: tuple[tuple[int, int], ...]
    label: str = ""
    at: tuple[int, int] = (0, 0)
    kind: str = "line"


@dataclass(frozen=True)
class Picture:
    """One file."""

    file: str
    title: str
    width: int
    height: int
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]


def cores():
    """Yields the boxes of three cores: their volumes, and their instances."""
    for place, (x, others) in enumerate(((40, "cores 1, 4, 7"), (246, "cores 2, 5"), (452, "cores 3, 6")), 1):
        yield Box(x, 116, 192, f"data volume {place}", ("outlives its instances",), "disk")
        yield Box(x, 196, 192, f"core {place}", ("Auto Scaling group of 1", "ECS agent, Neo4j task", f"subnet {place}: {others}"))


CLUSTER = Picture(
    "cluster.svg",
    "What a cluster is made of",
    1042,
    992,
    (
        Box(
            20,
            50,
            640,
            "VPC, with three subnets in one to three zones",
            ("no SSH, no script on an instance, no permission in EC2",),
            "zone",
            420,
        ),
        *cores(),
        Box(40, 372, 192, "replicas", ("one group of 0 to 100,", "copies of the databases,", "made anew each time")),
        Box(246, 372, 192, "your clients", ("security group", "ClientsGroup")),
        Box(452, 372, 192, "neo4j-gateway", ("asks each member,", "decides nothing", "Lambda function in Rust"), "ours"),
        Box(
            740,
            50,
            282,
            "instance-drainer",
            (
                "gives a new instance its volume,",
                "admits it when its agent is there,",
                "releases empty and dead ones,",
                "deregisters stale registrations,",
                "reports which cores are whole,",
                "and which may be stopped",
                "Lambda function in Rust",
            ),
            "ours",
            180,
        ),
        Box(740, 266, 114, "state table", ("what lasts",)),
        Box(862, 266, 160, "CloudFormation", ("begins and ends",)),
        Box(
            740,
            370,
            282,
            "dns-replicator",
            ("publishes members that answer,", "never empties a name by mistake", "Lambda function in Rust"),
            "ours",
            90,
        ),
        Box(20, 512, 220, "ECS cluster", ("services core-N, replica:", "one task on each instance")),
        Box(340, 512, 300, "Cloud Map namespace", ("core.discovery.neo4j.service  SRV", "replica.discovery.neo4j.service  SRV")),
        Box(740, 512, 282, "private hosted zone", ("core.neo4j.service  A × n", "replica.neo4j.service  A × n")),
        Box(20, 634, 220, "Secrets Manager", ("four users, generated", "certificates, yours")),
        Box(340, 634, 300, "CloudWatch", ("logs of Neo4j and of the functions", "metrics, 62 alarms")),
        Box(740, 634, 282, "what wakes the functions", ("events, and a sweep each minute,", "through a queue for each")),
        Box(20, 752, 220, "bucket of the backups", ("chains, manifests, reports", "versioned, outlives the stack"), "disk"),
        Box(340, 752, 300, "backup jobs", ("AWS Batch: Spot, then on demand", "neo4j-admin: backup, inspect, check")),
        Box(
            740,
            752,
            282,
            "backup-scheduler",
            ("a job for each database and slot,", "judges each, never deletes", "Lambda function in Rust"),
            "ours",
        ),
        Box(20, 868, 220, "backup-pruner", ("deletes whole chains that", "no window holds", "Lambda function in Rust"), "ours"),
        Box(
            340,
            884,
            300,
            "alarm-router",
            ("tells of what is wrong: once, again", "while it stays, and when it is over", "Lambda function in Rust"),
            "ours",
        ),
        Box(740, 884, 282, "whoever is on call", ("two SNS topics, Slack, PagerDuty,", "a webhook, by severity and tier")),
    ),
    (
        *(Arrow(((x, 168), (x, 196)), kind="bond") for x in (136, 342, 548)),
        Arrow(((342, 372), (342, 284)), "Bolt 7687", (352, 332)),
        Arrow(((548, 372), (548, 284)), "HTTP(S)", (558, 332)),
        Arrow(((740, 222), (700, 222), (700, 390), (644, 390)), "asks", (706, 338)),
        Arrow(((740, 408), (644, 408)), "asks", (668, 424)),
        Arrow(((740, 142), (644, 142)), "attaches", (670, 134)),
        Arrow(((644, 208), (740, 208)), "waits", (666, 202)),
        Arrow(((800, 230), (800, 266)), "remembers", (808, 252), "soft"),
        Arrow(((947, 266), (947, 230)), "asks", (955, 252)),
        Arrow(((947, 318), (947, 370)), "asks", (955, 348)),
        Arrow(((130, 512), (130, 470)), "places tasks", (138, 495), "soft"),
        Arrow(((240, 547), (340, 547)), "registers", (256, 539)),
        Arrow(((490, 512), (490, 470)), "members find each other", (498, 495), "soft"),
        Arrow(((640, 547), (700, 547), (700, 436), (740, 436)), "read", (650, 539), "soft"),
        Arrow(((881, 460), (881, 512)), "writes", (889, 490)),
        Arrow(((130, 634), (130, 582)), "passwords for tasks", (138, 612), "soft"),
        Arrow(((740, 780), (640, 780)), "submits", (666, 772)),
        Arrow(((340, 770), (325, 770), (325, 470)), "from a healthy copy, 6362", (332, 735)),
        Arrow(((340, 800), (240, 800)), "files", (262, 792)),
        Arrow(((740, 826), (690, 826), (690, 846), (280, 846), (280, 812), (240, 812)), "reads and writes manifests", (400, 840)),
        Arrow(((130, 868), (130, 822)), "deletes by markers", (138, 850)),
        Arrow(((640, 680), (660, 680), (660, 906), (640, 906)), "alarms", (668, 730)),
        Arrow(((640, 928), (740, 928)), "tells", (674, 920)),
    ),
)

DNS = Picture(
    "architecture.svg",
    "How a member gets into DNS",
    1042,
    590,
    (
        Box(20, 50, 250, "VPC", (), "zone", 220),
        Box(40, 84, 210, "ECS services core-N", ("tasks in host networking",)),
        Box(40, 182, 210, "ECS service replica", ("may not exist",)),
        Box(400, 84, 300, "Cloud Map namespace", ("core.discovery.neo4j.service  SRV", "replica.discovery.neo4j.service  SRV")),
        Box(300, 244, 210, "neo4j-gateway", ("asks whether it answers",), "ours"),
        Box(20, 330, 210, "EventBridge rule", ("ECS task state changes",)),
        Box(20, 416, 210, "schedule", ("a sweep each minute",)),
        Box(280, 362, 170, "FIFO queue", ("one at a time",)),
        Box(
            500,
            326,
            220,
            "dns-replicator",
            (
                "observe: all pages, all tasks",
                "plan: pure, with reasons",
                "apply: a batch for each name",
                "Lambda function in Rust",
            ),
            "ours",
        ),
        Box(
            780,
            326,
            242,
            "private hosted zone",
            ("core.neo4j.service  A × n", "replica.neo4j.service  A × n", "discovery.core…  CNAME", "discovery.replica…  CNAME"),
        ),
        Box(280, 498, 170, "dead letters", ("two queues, alarms",)),
        Box(500, 498, 220, "CloudFormation", ("first and last reconciliation",)),
    ),
    (
        Arrow(((250, 110), (400, 110)), "ECS registers", (282, 102)),
        Arrow(((250, 208), (350, 208), (350, 136), (400, 136)), "ECS registers", (282, 226)),
        Arrow(((125, 270), (125, 330)), "events", (133, 304), "soft"),
        Arrow(((230, 356), (256, 356), (256, 380), (280, 380))),
        Arrow(((230, 442), (256, 442), (256, 396), (280, 396))),
        Arrow(((450, 388), (500, 388))),
        Arrow(((365, 414), (365, 498)), "lost messages", (373, 462), "soft"),
        Arrow(((530, 326), (530, 266), (510, 266)), "asks", (496, 314)),
        Arrow(((300, 266), (270, 266))),
        Arrow(((560, 326), (560, 154)), "reads who is registered, and healthy", (568, 240), "soft"),
        Arrow(((720, 379), (780, 379)), "batch", (731, 371)),
        Arrow(((610, 498), (610, 432)), "asks", (618, 470)),
        Arrow(((900, 326), (900, 119), (700, 119)), "CNAMEs lead to the SRV names", (716, 111), "soft"),
    ),
)

ALERT = Picture(
    "alarm-router.svg",
    "How an alert goes",
    1042,
    509,
    (
        Box(20, 50, 230, "alarms of CloudWatch", ("metric, anomaly, composite",)),
        Box(20, 190, 230, "EventBridge rules", ("tasks, Auto Scaling groups",)),
        Box(20, 262, 230, "topics of yours", ("alarms of other people",)),
        Box(20, 334, 230, "schedule", ("a sweep each minute",)),
        Box(310, 262, 150, "queue", ("not FIFO",)),
        Box(520, 50, 230, "state table", ("incidents, and the lease",)),
        Box(
            520,
            170,
            230,
            "alarm-router",
            ("reads it into one form,", "writes it down, claims it,", "tells where it is due,", "writes down who took it"),
            "ours",
            124,
        ),
        Box(820, 50, 202, "notify", ("SNS topic",)),
        Box(820, 122, 202, "slack", ("incoming webhook",)),
        Box(820, 194, 202, "pagerduty", ("Events API v2",)),
        Box(820, 266, 202, "webhook", ("signed JSON",)),
        Box(820, 338, 202, "page", ("SNS topic",)),
        Box(310, 438, 150, "lost", ("two queues",)),
        Box(520, 438, 230, "its own four alarms", ("go past the function",)),
    ),
    (
        Arrow(((250, 68), (490, 68), (490, 184), (520, 184)), "call it, on ALARM and OK", (266, 60)),
        Arrow(((520, 206), (470, 206), (470, 90), (250, 90)), "asks: still so? which tags?", (266, 110), "soft"),
        Arrow(((250, 216), (385, 216), (385, 262))),
        Arrow(((250, 288), (310, 288))),
        Arrow(((250, 360), (385, 360), (385, 314))),
        Arrow(((460, 284), (520, 284))),
        Arrow(((635, 170), (635, 102)), "remembers", (643, 140), "soft"),
        Arrow(((750, 190), (775, 190), (775, 76), (820, 76))),
        Arrow(((750, 205), (790, 205), (790, 148), (820, 148))),
        Arrow(((750, 220), (820, 220))),
        Arrow(((750, 250), (790, 250), (790, 292), (820, 292))),
        Arrow(((750, 270), (775, 270), (775, 364), (820, 364))),
        Arrow(((700, 294), (700, 400), (385, 400), (385, 438)), "cannot be read or written down", (395, 392), "soft"),
        Arrow(((460, 464), (520, 464)), kind="soft"),
        Arrow(((750, 464), (921, 464), (921, 390)), "what is not delivered, silence", (757, 484)),
    ),
)
GOLDEN = Path(__file__).resolve().parents[1] / "shared/core/src/alert/tests/snapshots"


def golden(destination):
    """Returns the message of the example `core_down`, as the tests have it."""
    text = (GOLDEN / f"cluster_core__alert__tests__render__{destination}_core_down.snap").read_text()
    return json.loads(text.split("\n---\n", 1)[1])


def wrap(text, room):
    """Returns a text in lines that fit, broken between words where it can be."""
    lines = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split():
            if line and width(f"{line} {word}", TEXT) > room:
                lines.append(line)
                line = ""
            line = f"{line} {word}".strip()
            while width(line, TEXT) > room:
                most = max(n for n in range(1, len(line)) if width(line[:n], TEXT) <= room)
                lines.append(line[:most])
                line = line[most:]
        lines.extend([line] if line else [])
    return tuple(lines)


def stack(x, w, parts):
    """Yields a box for each part of a message, one below the other: its name, and its texts."""
    y = 90
    for name, texts in parts:
        box = Box(x, y, w, name, tuple(line for text in texts for line in wrap(text, w - 2 * PAD)))
        yield box
        y += box.h + 10


def slack_parts():
    """Yields the blocks of a message of Slack by their types."""
    for block in golden("slack")["blocks"]:
        match block:
            case {"fields": fields}:
                yield "section: fields", [field["text"].replace("*", "").replace("&lt;", "<") for field in fields]
            case {"type": "rich_text", "elements": [{"elements": texts}]}:
                yield "rich_text: preformatted", [text["text"] for text in texts]
            case {"type": "context", "elements": texts}:
                yield "context", [text["text"] for text in texts]
            case {"type": kind, "text": {"text": text}} if text.startswith("<"):
                titles = [link.split("|")[1].rstrip(">") for link in text.split(" · ")]
                yield f"{kind}: links", [" · ".join(titles)]
            case {"type": kind, "text": {"text": text}}:
                yield kind, [text.replace("*", "")]


def pagerduty_parts():
    """Yields the parts of an event of PagerDuty."""
    event = golden("pagerduty")
    payload = event["payload"]
    details = payload["custom_details"]
    named = [f"{name}: {payload[name]}" for name in ("severity", "source", "component", "group", "class", "timestamp")]
    yield "summary", [payload["summary"]]
    yield "payload", named
    for name in ("what it means", "next step"):
        yield f"custom_details: {name}", [details[name]]
    measured = [f"{name}: {details[name]}" for name in ("since", "measured", "alarms when", "severity")]
    yield "custom_details", [*measured, "labels: " + ", ".join(f"{name}={value}" for name, value in details["labels"].items())]
    yield "links", [" · ".join(link["text"] for link in event["links"])]
    yield "event_action, dedup_key", [event["event_action"], event["dedup_key"]]


def messages():
    """Returns the picture of one alert at two destinations."""
    slack, pagerduty = (tuple(stack(*of)) for of in ((40, 470, slack_parts()), (560, 442, pagerduty_parts())))
    high = max(box.y + box.h for box in (*slack, *pagerduty)) - 50 + 20
    zones = Box(20, 50, 510, "slack", (), "zone", high), Box(540, 50, 482, "pagerduty", (), "zone", high)
    title = "What a message consists of, by the tests' golden files: its parts, not how Slack or PagerDuty show them"
    return Picture("messages.svg", title, 1042, high + 70, (*zones, *slack, *pagerduty), ())


def width(text, size, bold=False):
    """Returns at most how wide a text is, in the wide fonts that are named below."""
    per = {
        **dict.fromkeys("iljI.,:;'|! ()[]ft", 0.40),
        "r": 0.46,
        **dict.fromkeys("cskvxyz-", 0.60),
        **dict.fromkeys("mwMW×—", 0.98),
    }
    ems = (per.get(c, 0.78 if c.isupper() else 0.64) for c in text)
    return sum(ems) * size * (1.1 if bold else 1.0)


def verify(picture):
    """Yields what is wrong with the geometry of a picture."""
    boxes = [box for box in picture.boxes if box.kind != "zone"]
    for box in picture.boxes:
        if box.x < 0 or box.y < 40 or box.x + box.w > picture.width - 19 or box.y + box.h > picture.height - 19:
            yield f"{box.name}: leaves the paper"
        for text, size, bold in [(box.name, NAME, True), *((line, TEXT, False) for line in box.lines)]:
            if width(text, size, bold) > box.w - 2 * PAD:
                yield f"{box.name}: {text!r} is wider than its box"
        if 2 * PAD + NAME - 4 + LINE * len(box.lines) > box.h:
            yield f"{box.name}: its lines are higher than it"
    for n, box in enumerate(boxes):
        yield from (f"{box.name} overlaps {other.name}" for other in boxes[n + 1 :] if box.overlaps(other))
    labels = []
    for arrow in picture.arrows:
        ends = arrow.points[0], arrow.points[-1]
        for end in ends:
            if not any(box.has_border(*end) for box in picture.boxes):
                yield f"an arrow ends nowhere: {end}"
        for (x1, y1), (x2, y2) in pairwise(arrow.points):
            if x1 != x2 and y1 != y2:
                yield f"an arrow is not straight: {arrow.points}"
            way = Box(min(x1, x2), min(y1, y2), abs(x1 - x2), "an arrow", (), "box", abs(y1 - y2))
            crossed = (box for box in boxes if way.overlaps(box) or box.overlaps(way))
            yield from (f"the arrow {arrow.points} crosses {box.name}" for box in crossed)
        if arrow.label:
            x, y = arrow.at
            labels.append(Box(x, y - TEXT, round(width(arrow.label, TEXT)), arrow.label, (), "box", TEXT + 3))
    for n, label in enumerate(labels):
        yield from (
            f"the label {label.name!r} lies on {other.name}" for other in [*boxes, *labels[n + 1 :]] if label.overlaps(other)
        )
        for arrow in picture.arrows:
            for (x1, y1), (x2, y2) in pairwise(arrow.points):
                way = Box(min(x1, x2), min(y1, y2), abs(x1 - x2) + 1, "way", (), "box", abs(y1 - y2) + 1)
                if label.overlaps(way):
                    yield f"the label {label.name!r} lies on the arrow {arrow.points}"


def draw(picture):
    """Returns the SVG of a picture."""
    title = escape(picture.title)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {picture.width} {picture.height}"'
        f' font-family="Verdana, DejaVu Sans, sans-serif" font-size="{NAME}">',
        "  <!-- Drawn by docs/draw.py: change it there. -->",
        f"  <title>{title}</title>",
        f"  <style>{STYLE}\n  </style>",
        '  <defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path class="tip" d="M0 0 L8 4 L0 8 z"/></marker></defs>',
        f'  <rect class="paper" width="{picture.width}" height="{picture.height}" rx="8"/>',
        f'  <text class="name" x="20" y="30">{title}</text>',
    ]
    for box in picture.boxes:
        out.append(f'  <rect class="{box.kind}" x="{box.x}" y="{box.y}" width="{box.w}" height="{box.h}" rx="6"/>')
        for n, line in enumerate((box.name, *box.lines)):
            kind, y = "text" if n else "name", box.y + PAD + NAME - 4 + LINE * n
            out.append(f'  <text class="{kind}" x="{box.x + PAD}" y="{y}">{escape(line)}</text>')
    for arrow in picture.arrows:
        way = " L".join(f"{x} {y}" for x, y in arrow.points)
        tip = "" if arrow.kind == "bond" else ' marker-end="url(#tip)"'
        out.append(f'  <path class="{arrow.kind}" d="M{way}"{tip}/>')
        if arrow.label:
            out.append(f'  <text class="label" x="{arrow.at[0]}" y="{arrow.at[1]}">{escape(arrow.label)}</text>')
    return "\n".join([*out, "</svg>", ""])


def main():
    """Draws all pictures, or compares them with what is committed."""
    faults = []
    for picture in (CLUSTER, DNS, ALERT, messages()):
        path = Path(__file__).resolve().parent / picture.file
        faults += [f"{picture.file}: {fault}" for fault in verify(picture)]
        drawn = draw(picture)
        if "--check" not in sys.argv[1:]:
            path.write_text(drawn)
        elif not path.exists() or path.read_text() != drawn:
            faults.append(f"{picture.file} is not what docs/draw.py draws: run python docs/draw.py")
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
