"""Search, order and paging of a table, from the query of a URL.

The server does all three, so that a page of 50 rows costs the same among 50 and among 50,000. A
page may have several tables: each has a prefix for its parameters (``c.sort``, ``k.page``). What is
not understood is taken as not said.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from nsqcore.classes import frozen

T = TypeVar("T")
Column = Callable[[Any], Any]
SIZES = (25, 50, 100, 250)
_DEFAULT_SIZE = 50
_MAX_QUERY = 200


@frozen
class Listing(Generic[T]):
    """The rows of one page of a table, and how one gets to the others."""

    rows: Sequence[T]
    total: int  # rows that fit the search
    all: int  # rows without search
    page: int
    pages: int
    size: int
    sort: str
    descending: bool
    query: str
    prefix: str = ""

    @property
    def first(self) -> int:
        """The number of the first row shown, from 1."""
        return (self.page - 1) * self.size + 1 if self.total else 0

    @property
    def last(self) -> int:
        """The number of the last row shown."""
        return min(self.page * self.size, self.total)

    def parameter(self, name: str) -> str:
        """What ``name`` is called in the URL for this table."""
        return f"{self.prefix}{name}"

    def sort_by(self, column: str) -> str:
        """The value of ``sort`` that a click on ``column`` asks for."""
        if column == self.sort:
            return column if self.descending else f"-{column}"
        return column if column in ("name", "host") else f"-{column}"

    def direction(self, column: str) -> str:
        """The ``aria-sort`` of a column."""
        if column != self.sort:
            return "none"
        return "descending" if self.descending else "ascending"


@frozen(eq=False, kw_only=True)
class Table(Generic[T]):
    """A table of a page, before anybody has said what of it is wanted.

    Args:
        columns: what to order by, for each name that ``sort`` may have.
        text: where the words of ``q`` are looked for; all of them must be there.
        default: the order without ``sort``; ``-`` in front means the largest first.
    """

    columns: Mapping[str, Column]
    text: Callable[[T], str]
    default: str = "name"
    prefix: str = ""

    def arguments(self, given: Mapping[str, str]) -> dict[str, str]:
        """What of the parameters of a URL concerns this table and is understood.

        Two URLs for which this is equal show the same.
        """
        sort = self._sort(given)
        size = _size(given.get(f"{self.prefix}per", ""))
        page = _number(given.get(f"{self.prefix}page", ""), 1)
        found = {
            "q": _query(given.get(f"{self.prefix}q", "")),
            "sort": "" if sort == self.default else sort,
            "per": "" if size == _DEFAULT_SIZE else str(size),
            "page": str(page) if page > 1 else "",
        }
        return {f"{self.prefix}{name}": value for name, value in found.items() if value}

    def listing(self, rows: Sequence[T], arguments: Mapping[str, str]) -> Listing[T]:
        """The page of ``rows`` that ``arguments`` ask for."""
        query = _query(arguments.get(f"{self.prefix}q", ""))
        words = query.lower().split()
        found = [row for row in rows if _fits(self.text(row), words)] if words else list(rows)
        asked = self._sort(arguments)
        sort, descending = asked.removeprefix("-"), asked.startswith("-")
        # Equal rows stay in the order they came in, whichever way the others are turned.
        found.sort(key=self.columns[sort], reverse=descending)
        size = _size(arguments.get(f"{self.prefix}per", ""))
        pages = max(1, -(-len(found) // size))
        page = min(max(1, _number(arguments.get(f"{self.prefix}page", ""), 1)), pages)
        return Listing(
            rows=found[(page - 1) * size : page * size],
            total=len(found),
            all=len(rows),
            page=page,
            pages=pages,
            size=size,
            sort=sort,
            descending=descending,
            query=query,
            prefix=self.prefix,
        )

    def _sort(self, arguments: Mapping[str, str]) -> str:
        asked = arguments.get(f"{self.prefix}sort", "")
        return asked if asked.removeprefix("-") in self.columns else self.default


def _query(value: str) -> str:
    return " ".join(value[:_MAX_QUERY].split())


def _size(value: str) -> int:
    size = _number(value, _DEFAULT_SIZE)
    return size if size in SIZES else _DEFAULT_SIZE


def _fits(text: str, words: Sequence[str]) -> bool:
    lowered = text.lower()
    return all(word in lowered for word in words)


def _number(value: str, default: int) -> int:
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 7 else default
