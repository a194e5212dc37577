"""What the commands print: tables for people, JSON for programs, failures for both."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from nsqcore.cluster.upstream import UpstreamError

# Where there is no terminal to fit into, lines are not to be broken.
PIPE_WIDTH = 400


def console() -> Console:
    """Where tables go."""
    return Console() if sys.stdout.isatty() else Console(width=PIPE_WIDTH)


def table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, texts: int = 1
) -> Table:
    """A table; the first ``texts`` columns are text, the others numbers."""
    made = Table(title=title or None, title_justify="left", header_style="bold", box=None)
    for position, name in enumerate(columns):
        made.add_column(
            name, justify="left" if position < texts else "right", no_wrap=True, overflow="ellipsis"
        )
    for row in rows:
        made.add_row(*(shown(value) for value in row))
    return made


def shown(value: object) -> str:
    """``value`` as a table shows it; markup in it is not obeyed."""
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.1f}"
    return str(value).replace("[", r"\[")


def print_json(value: Any) -> None:
    """``value``, for programs."""
    json.dump(value, sys.stdout, indent=2)
    sys.stdout.write("\n")


def print_failures(failures: Iterable[UpstreamError]) -> int:
    """Name on stderr who did not answer; the exit status that this makes."""
    status = 0
    for failure in failures:
        print(f"nsqctl: {failure}", file=sys.stderr)
        status = 1
    return status
