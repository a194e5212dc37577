"""What the commands print: tables for people, JSON for programs, failures for both."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from nsqcore.cluster.upstream import UpstreamError

# Where there is no terminal to fit into, lines are not to be broken.
PIPE_WIDTH = 400


def console() -> Console:
    """Where tables go."""
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    return Console(width=width, highlight=False)


def table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, texts: int = 1
) -> Table:
    """A table; the first ``texts`` columns are text, the others numbers."""
    heading = Text(printable(title)) if title else None
    made = Table(title=heading, title_justify="left", header_style="bold", box=None)
    for position, name in enumerate(columns):
        made.add_column(
            name, justify="left" if position < texts else "right", no_wrap=True, overflow="ellipsis"
        )
    for row in rows:
        made.add_row(*(shown(value) for value in row))
    return made


def shown(value: object) -> Text:
    """``value`` as a table shows it."""
    if isinstance(value, bool):
        return Text("yes" if value else "")
    if isinstance(value, int):
        return Text(f"{value:,}")
    if isinstance(value, float):
        return Text(f"{value:,.1f}")
    return Text(printable(str(value)))


def printable(text: str) -> str:
    """``text`` without what would steer the terminal: much of it comes from any client."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def print_json(value: Any) -> None:
    """``value``, for programs."""
    json.dump(value, sys.stdout, indent=2)
    sys.stdout.write("\n")


def print_failures(failures: Iterable[UpstreamError]) -> int:
    """Name on stderr who did not answer; the exit status that this makes."""
    texts = [printable(str(failure)) for failure in failures]
    for text in dict.fromkeys(texts):
        print(f"nsqctl: {text}", file=sys.stderr)
    return 1 if texts else 0
