"""Long answers, made in slices, so that messages go on moving meanwhile.

An answer is an iterator of pieces. Whoever makes one steps aside after every slice; an empty piece
is but a chance to do so.
"""

from collections.abc import Callable, Iterator

import trio

from nsqcore.http.responses import Response
from nsqcore.http.router import Answer

# ns. Well below what a client notices, and far more than a task switch costs.
SLICE = 5_000_000

Clock = Callable[[], int]


def answer_in_slices(
    pieces: Iterator[str], finish: Callable[[str], Response], now: Clock
) -> Answer:
    """What ``finish`` makes of all ``pieces``: at once if one slice is enough for them.

    ``now`` is a clock in ns.
    """
    done: list[str] = []
    if _work(pieces, done, now):
        return finish("".join(done))
    return _finish_later(pieces, done, finish, now)


async def _finish_later(
    pieces: Iterator[str], done: list[str], finish: Callable[[str], Response], now: Clock
) -> Response:
    return finish("".join(done) + await join_in_slices(pieces, now))


async def join_in_slices(pieces: Iterator[str], now: Clock) -> str:
    """All ``pieces`` in one; ``now`` is a clock in ns."""
    done: list[str] = []
    await trio.lowlevel.checkpoint()
    while not _work(pieces, done, now):
        await trio.lowlevel.checkpoint()
    return "".join(done)


def _work(pieces: Iterator[str], done: list[str], now: Clock) -> bool:
    """Make pieces for the time of a slice; whether that was all."""
    end = now() + SLICE
    for piece in pieces:
        done.append(piece)
        if now() >= end:
            return False
    return True
