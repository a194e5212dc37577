"""Long answers, made in slices, so that messages go on moving meanwhile.

An answer is an iterator of pieces. Whoever makes one steps aside after every slice; an empty piece
is but a chance to do so. However many are made at a time, others wait for one slice.
"""

from collections.abc import Callable, Iterator

from nsqcore.app.turns import next_slice
from nsqcore.http.responses import Response
from nsqcore.http.router import Answer

# ns. Well below what a client notices, and far more than a task switch costs.
SLICE = 5_000_000
# The share of a slice that is spent on an answer at once, while others who have sent something
# wait: hundreds of requests may have come before theirs.
AT_ONCE = 1 / 4

Clock = Callable[[], int]


def answer_in_slices(
    pieces: Iterator[str], finish: Callable[[str], Response], now: Clock, length: int = SLICE
) -> Answer:
    """What ``finish`` makes of all ``pieces``: at once if a fraction of a slice is enough for them.

    ``now`` is a clock in ns, ``length`` that of a slice.
    """
    done: list[str] = []
    if _work(pieces, done, now, round(length * AT_ONCE)):
        return finish("".join(done))
    return _finish_later(pieces, done, finish, now, length)


async def _finish_later(
    pieces: Iterator[str],
    done: list[str],
    finish: Callable[[str], Response],
    now: Clock,
    length: int,
) -> Response:
    return finish("".join(done) + await join_in_slices(pieces, now, length))


async def join_in_slices(pieces: Iterator[str], now: Clock, length: int = SLICE) -> str:
    """All ``pieces`` in one; ``now`` is a clock in ns, ``length`` that of a slice."""
    done: list[str] = []
    await next_slice()
    while not _work(pieces, done, now, length):
        await next_slice()
    return "".join(done)


def _work(pieces: Iterator[str], done: list[str], now: Clock, length: int) -> bool:
    """Make pieces for the time of a slice; whether that was all."""
    end = now() + length
    for piece in pieces:
        done.append(piece)
        if now() >= end:
            return False
    return True
