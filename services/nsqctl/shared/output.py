"""What the commands print: tables for people, JSON for programs, failures for both."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from nsqcore.cluster.upstream import UpstreamError

# Room for every column and for names of full length: 64 characters of topic, and of channel.
WIDE = 400


class _Console(Console):
    """A console that leaves it to the program what becomes of it when its reader goes."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console() -> Console:
    """Where text goes: as wide as the terminal."""
    return _Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)


def wide_console() -> Console:
    """Where lists go: a terminal that is narrower folds the lines, so that names can be copied."""
    return _Console(width=WIDE, highlight=False)


def table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, texts: int = 1
) -> Table:
    """A table; the first ``texts`` columns are text, the others numbers.

    Where it is too wide, texts are cut, numbers are not.
    """
    heading = Text(printable(title)) if title else None
    made = Table(title=heading, title_justify="left", header_style="bold", box=None)
    for position, name in enumerate(columns):
        if position < texts:
            made.add_column(Text(name, no_wrap=True, overflow="ellipsis"))
        else:
            made.add_column(name, justify="right", no_wrap=True, overflow="ellipsis")
    for row in rows:
        made.add_row(*map(cell, row))
    return made


def cell(value: object) -> Text:
    """``value`` as a table shows it, on one line."""
    return Text(shown(value), no_wrap=True, overflow="ellipsis")


def shown(value: object) -> str:
    """``value`` as people read it."""
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.1f}"
    return printable(str(value))


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
