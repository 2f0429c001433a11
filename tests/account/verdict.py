"""What came of looking at a fact."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from stack import Stack


class Verdict(enum.Enum):
    EXPECTED = "as expected"
    DEVIATES = "not as expected"
    UNSEEN = "cannot be seen"


@dataclass(frozen=True)
class Seen:
    verdict: Verdict
    saw: str
    means: str = ""
    next: str = ""


def expected(saw: str, means: str) -> Seen:
    return Seen(Verdict.EXPECTED, saw, means)


def deviates(saw: str, means: str, then: str) -> Seen:
    return Seen(Verdict.DEVIATES, saw, means, then)


def unseen(why: str, then: str = "") -> Seen:
    return Seen(Verdict.UNSEEN, why, next=then)


# What looks at a fact, by its id.
LOOKS: dict[str, Callable[[Stack], Seen]] = {}


def look(fact: str) -> Callable[[Callable[[Stack], Seen]], Callable[[Stack], Seen]]:
    """Registers what looks at a fact."""

    def register(looks: Callable[[Stack], Seen]) -> Callable[[Stack], Seen]:
        LOOKS[fact] = looks
        return looks

    return register
