"""Long answers, made in slices, so that messages go on moving meanwhile.

An answer is an iterator of pieces. What is done within one slice is answered at once; the rest is
made by a task that steps aside after every slice. An empty piece is a chance to step aside.
"""

from collections.abc import Callable, Iterator

import trio

from nsqcore.http.responses import Response
from nsqcore.http.router import Answer

# ns. Well below what a client notices, and far more than a task switch costs.
SLICE = 5_000_000

Finish = Callable[[str], Response]


def answer_in_slices(pieces: Iterator[str], finish: Finish, now: Callable[[], int]) -> Answer:
    """What ``finish`` makes of all ``pieces`` together; ``now`` is a clock in ns."""
    done: list[str] = []
    if _work(pieces, done, now):
        return finish("".join(done))
    return _go_on(pieces, done, finish, now)


async def _go_on(
    pieces: Iterator[str], done: list[str], finish: Finish, now: Callable[[], int]
) -> Response:
    await trio.lowlevel.checkpoint()
    while not _work(pieces, done, now):
        await trio.lowlevel.checkpoint()
    return finish("".join(done))


def _work(pieces: Iterator[str], done: list[str], now: Callable[[], int]) -> bool:
    """Make pieces for the time of a slice; whether that was all."""
    end = now() + SLICE
    for piece in pieces:
        done.append(piece)
        if now() >= end:
            return False
    return True
