#!/usr/bin/env python3
"""Walks the list of what only an account can show (docs/real-account.md) on a deployed stack.

    make account-check STACK=neo4j [REGION=eu-west-1] [ALLOW=plans]

It reads with the rights of whoever calls it, and refuses to make any call that could change something. ALLOW=plans also asks
instance-drainer for its plan, which invokes a function without changing anything. For each fact it prints what it saw, what that
means, and what to do where it is not as expected. It ends with 0 when everything that could be seen is as expected, with 1 when
something is not, and with 2 when there is no such stack or nobody who may look at it. make itself ends with 2 in both cases.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import textwrap

import looks  # noqa: F401 - registers what looks
from botocore.exceptions import BotoCoreError, ClientError
from document import Fact, facts
from stack import ALLOWED, Account, Forbidden, NoStack, Stack
from verdict import LOOKS, Seen, Verdict, unseen

# What the API does not show on a stack that lives, by what it takes to see it.
BY_HAND = {
    "it changes the stack, so use a test stack": """
        revision-alone what-updates stack-tags kept-revision task-keeps-revision
        subnet-rules tasks-never-start rolled-back-snapshots restored-snapshots foreign-file-system file-system-grows
        sidecar-returns reboot reboot-time ec2-patience abandoned-launch retention retained-leaves retained-deletion dead-instance
        silent-instance dead-while-retained ec2-terminates pending-key silent-deletion launching-deletion deletion-protection
        termination-protection another-zone heartbeats spot-interruption shutdown-inside purchase-change volumes-in-use
        snapshots stop-then-start draining slow-stop prompt-stop connectivity stopping-lists dies-disconnected
        forced-deregistration empty-deregistration foreign-daemon two-registrations service-deletion registry-lag late-names
        enterprise-settings entry-point cluster-certificates one-name
        later-settings same-server volume-rollback template-rollback pass-role
        interfaces-go interfaces-unseen own-code-denied pem-parameter full-subnet
        server-id away-hosting away-databases monitor-shards
        spot-events spot-ending warmed-completion warmed-listed standby-hooks retained-serves unhealthy-hook drain-rights
        hung-member full-start disk-pace replica-reports held-back
        missing-range muted-and-over suppressor-ends
        router-hears tags-lag async-order async-lost lost-calls topic-message pagerduty-takes slack-takes deleted-alarms or-rules
        console-hosts""",
    "it takes a look on an instance": """
        device-name agent-waits blank-volume mounted slice one-address container-label metadata no-password-left""",
    "it takes a client in the VPC": "srv-answers negative-answers",
    "it takes backups, so use a test stack": """
        job-rights lock-uploads job-listed job-logs spot-exit spot-queue inspect-table check-s3
        overlap older-members conditional-writes lock-heads scheduled-time compute-updates stack-ends job-metadata scratch""",
}
SIGNS = {Verdict.EXPECTED: "✓", Verdict.DEVIATES: "✗", Verdict.UNSEEN: "?"}


def disagreements(listed: list[Fact]) -> list[str]:
    """Where the list and this program do not have the same facts."""
    by_hand = [id for ids in BY_HAND.values() for id in ids.split()]
    known, ids = [*LOOKS, *by_hand], [fact.id for fact in listed]
    return (
        [f"docs/real-account.md: «{fact.check}» has no id" for fact in listed if not fact.id]
        + [f"docs/real-account.md: two facts have the id {id}" for id in sorted(set(ids)) if id and ids.count(id) > 1]
        + [
            f"tests/account: {id} is looked at and listed as «by hand», or listed twice"
            for id in sorted({*known})
            if known.count(id) > 1
        ]
        + [f"tests/account: nothing looks at {id}, and BY_HAND does not name it" for id in ids if id and id not in known]
        + [f"docs/real-account.md: no fact has the id {id}" for id in known if id not in ids]
    )


def what_it_takes(fact: Fact) -> str:
    return next(takes for takes, ids in BY_HAND.items() if fact.id in ids.split())


def look_at(fact: Fact, stack: Stack) -> Seen:
    """Returns what came of a look. A call that the caller may not make, or that fails, hides only this fact."""
    try:
        return LOOKS[fact.id](stack)
    except ClientError as error:
        code, operation = error.response["Error"].get("Code", ""), error.operation_name
        if "AccessDenied" in code or "Unauthorized" in code:
            return unseen(f"you may not call {operation} ({code})", "Ask for the permission; ReadOnlyAccess has it.")
        return unseen(f"{operation} failed: {error}", f"By hand: {fact.how}")
    except (BotoCoreError, Forbidden) as error:
        return unseen(str(error), f"By hand: {fact.how}")


def shown(sign: str, fact: Fact, *parts: tuple[str, str]) -> str:
    """Returns a fact as a paragraph of the report."""
    width = min(max(shutil.get_terminal_size((110, 24)).columns, 60), 130)
    lines = [f"  {sign} {fact.id:<24} {fact.check}"]
    for word, text in parts:
        lines += textwrap.wrap(
            text,
            width,
            initial_indent=f"      {word + ':':<11}",
            subsequent_indent=" " * 17,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        usage="make account-check STACK=… [REGION=…] [ALLOW=plans]\n       check.py STACK [--region …] [--allow …], or --list",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("stack", nargs="?", help="name of the deployed stack")
    parser.add_argument("--region", help="its region; otherwise that of your shell or profile")
    parser.add_argument("--allow", action="append", default=[], choices=sorted(ALLOWED), help="what is allowed beside reading")
    parser.add_argument(
        "--list", action="store_true", help="only list the facts, and say where the list and the program disagree"
    )
    given = parser.parse_args()
    if not given.stack and not given.list:
        parser.error("STACK is missing: make account-check STACK=neo4j")
    return given


def walk(stack: Stack, listed: list[Fact]) -> int:
    """Looks at what can be seen, then lists the rest. Returns with what the program ends."""
    seen: dict[Verdict, list[str]] = {verdict: [] for verdict in Verdict}
    to_see, section, terminal = [fact for fact in listed if fact.id in LOOKS], "", sys.stdout.isatty()
    for number, fact in enumerate(to_see, 1):
        if fact.section != section:
            section = fact.section
            print(f"\n{section}")
        print(f"  … {number} of {len(to_see)}: {fact.id}\r" if terminal else "", end="", flush=True)
        found = look_at(fact, stack)
        seen[found.verdict].append(fact.id)
        otherwise = fact.otherwise if found.verdict is Verdict.DEVIATES else ""
        parts = (("saw", found.saw), ("means", found.means), ("next", found.next), ("otherwise", otherwise))
        parts = [(word, text) for word, text in parts if text]
        print(("\033[K" if terminal else "") + shown(SIGNS[found.verdict], fact, *parts), flush=True)
    for takes, ids in BY_HAND.items():
        print(f"\nBy hand: {takes}")
        for fact in (fact for fact in listed if fact.id in ids.split()):
            parts = (("how", fact.how), ("expected", fact.expected), ("otherwise", fact.otherwise))
            print(shown("·", fact, *(part for part in parts if part[1])))
    by_hand = len(listed) - len(to_see)
    print("\n" + ", ".join(f"{len(ids)} {verdict.value}" for verdict, ids in seen.items()) + f", {by_hand} by hand")
    if wrong := seen[Verdict.DEVIATES]:
        print(f"not as expected: {', '.join(wrong)}")
    return 1 if wrong else 0


def main() -> int:
    given, listed = arguments(), facts()
    if wrong := disagreements(listed):
        print("the list and the program disagree:", *wrong, sep="\n", file=sys.stderr)
        return 2
    if given.list:
        for fact in listed:
            print(f"{fact.id:<24} {'looked at' if fact.id in LOOKS else what_it_takes(fact)}")
        return 0
    try:
        account = Account(given.region, set(given.allow))
        stack = Stack(account, given.stack)
        where = f"{given.stack} in {account.session.region_name}, {stack.status}"
        print(f"{where}: {len(listed)} facts, of which {len(LOOKS)} are looked at")
        return walk(stack, listed)
    except (NoStack, BotoCoreError, ClientError) as error:
        print(f"{error}\nNo stack was looked at: check STACK, the credentials of your shell, and its region.", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
