"""docs/protocol.md, taken apart: what it says of commands, errors, states and endpoints."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/protocol.md").read_text()

_TOKEN = re.compile(r"`([^`]+)`")
_EXAMPLE = re.compile(r"^#### (\w+)[^\n]*\n(?:(?!^#).*\n)*?```python\n(.*)\n```", re.MULTILINE)


def section(title: str) -> str:
    """The page from the heading ``title`` to the next that is not below it."""
    head = re.search(rf"^(#+) {re.escape(title)}$", PAGE, re.MULTILINE)
    assert head is not None, f"docs/protocol.md has no section {title!r}"
    rest = PAGE[head.end() :]
    end = re.search(rf"^#{{1,{len(head[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def table(text: str, first: str) -> list[list[str]]:
    """The rows of the table in ``text`` whose first column is headed ``first``."""
    lines = text.splitlines()
    (start,) = (at for at, line in enumerate(lines) if line.startswith(f"| {first} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def names(cell: str) -> list[str]:
    """What stands in backquotes in ``cell``."""
    return _TOKEN.findall(cell)


def column(text: str, first: str) -> list[str]:
    """What stands in backquotes in the first column of a table."""
    return [name for row in table(text, first) for name in names(row[0])]


def examples(text: str) -> dict[str, bytes]:
    """The example of each command that has a heading in ``text``."""
    return {name: ast.literal_eval(code) for name, code in _EXAMPLE.findall(text)}
