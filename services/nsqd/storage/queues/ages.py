"""How old records are: by the time of their publication, in ns of the wall clock."""

from itertools import takewhile


def published(record: bytes) -> int:
    """When the message was published."""
    return int.from_bytes(record[:8], "big", signed=True)


def count_older(records: list[bytes], wall: int) -> int:
    """How many of ``records``, counted from the first one, were published until ``wall``."""
    return sum(1 for _ in takewhile(lambda record: published(record) <= wall, records))


def earliest(*stamps: int | None) -> int | None:
    """The first of ``stamps``, if there are any."""
    return min((stamp for stamp in stamps if stamp is not None), default=None)
