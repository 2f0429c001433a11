"""Checks that every internal link and anchor of the documents resolves, and that every page is linked from another."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"(?<!\\)\[(?:[^\[\]`]|`[^`]*`|!\[[^\]]*\]\([^)]*\))*\]\(([^()\s]+)\)")
FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)


def documents():
    """Returns the pages that people read."""
    top = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")]
    return [*top, *sorted((ROOT / "docs").rglob("*.md"))]


def anchors(text):
    """Returns the anchors that GitHub gives the headings of a page."""
    found = set()
    for heading in re.findall(r"^#+ +(.*)$", FENCE.sub("", text), re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        numbered = (f"{slug}-{n}" for n in range(1, 100))
        found.add(slug if slug not in found else next(name for name in numbered if name not in found))
    return found


def prose(text):
    """Returns the text without blocks and spans of code."""
    return re.sub(r"`[^`\n]*`", "``", FENCE.sub("", text))


def broken(page, text, pages):
    """Yields what is wrong with the links of one page, and the pages that it leads to."""
    for target in LINK.findall(prose(text)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        to = (page.parent / path).resolve() if path else page
        if not to.exists():
            yield f"{target}: there is no such file", None
        elif anchor and to not in pages:
            yield f"{target}: an anchor into what is no page", None
        elif anchor and anchor not in anchors(pages[to]):
            yield f"{target}: no heading has this anchor", None
        else:
            yield None, to


def main():
    """Prints each fault, and fails when there is one."""
    pages = {page: page.read_text() for page in documents()}
    faults, linked, count = [], {ROOT / "README.md"}, 0
    for page, text in pages.items():
        for fault, to in broken(page, text, pages):
            count += 1
            if fault:
                faults.append(f"{page.relative_to(ROOT)}: {fault}")
            elif to != page:
                linked.add(to)
    faults += [f"{page.relative_to(ROOT)}: no other page leads here" for page in pages if page not in linked]
    for fault in faults:
        print(fault, file=sys.stderr)
    if count < 100:
        faults.append(f"only {count} links found")
    print(f"links: {count} on {len(pages)} pages, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
