"""Reads the list of what only an account can show: the tables of docs/real-account.md whose first column is an id."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "real-account.md"
COLUMNS = ["id", "check", "how", "expected"]
# A table may have it, too.
LAST = "otherwise"


@dataclass(frozen=True)
class Fact:
    """A row of the list."""

    id: str
    section: str
    check: str
    how: str
    expected: str
    otherwise: str = ""


def cells(line: str) -> list[str]:
    """Splits a row of a table; `\\|` is no border."""
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def plain(text: str) -> str:
    """Returns a text without its links."""
    return re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", text)


def facts(text: str | None = None) -> list[Fact]:
    """Returns the list in its order. A row without an id has an empty one."""
    found, section, inside, has_id = [], "", False, True
    for line in (PAGE.read_text() if text is None else text).splitlines():
        if line.startswith("#"):
            section = line.lstrip("#").strip()
        if not line.startswith("|"):
            inside = False
        elif [cell for cell in cells(line) if cell != LAST] in (COLUMNS, COLUMNS[1:]):
            inside, has_id = True, cells(line)[0] == COLUMNS[0]
        elif inside and not line.startswith("|---"):
            row = cells(line)
            row = row if has_id else ["", *row]
            found.append(Fact(row[0].strip("`"), section, *map(plain, row[1:])))
    return found
