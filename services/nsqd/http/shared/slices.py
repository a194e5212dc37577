"""Long answers, made in slices, so that messages go on moving meanwhile.

An answer is an iterator of pieces. Whoever makes one steps aside after every slice; an empty piece
is but a chance to do so. However many are made at a time, others wait for one slice.
"""

from collections.abc import Callable, Iterator

from nsqcore.app.turns import next_slice
from nsqcore.classes import define, field
from nsqcore.http.responses import Response
from nsqcore.http.router import Answer

# ns. Well below what a client notices, and far more than a task switch costs.
SLICE = 5_000_000
# The share of the loop's time that goes to answers at once, while others who have sent something
# wait: hundreds of requests may have come before theirs.
AT_ONCE = 1 / 4

Clock = Callable[[], int]


@define(eq=False, repr=False)
class AtOnce:
    """How long, in ns, requests may work on their answers at once: together, a share of the time.

    ``now`` is a clock in ns. A burst of requests begins with a share of one slice.
    """

    now: Clock
    _saved: int = field(default=round(SLICE * AT_ONCE), init=False)
    _seen: int = field(default=0, init=False)

    def left(self) -> int:
        """How long the next one may work."""
        now = self.now()
        passed, self._seen = now - self._seen, now
        self._saved = min(self._saved + round(passed * AT_ONCE), round(SLICE * AT_ONCE))
        return self._saved

    def spend(self) -> None:
        """Note that one has worked since `left` was asked."""
        now = self.now()
        self._saved -= now - self._seen
        self._seen = now


def answer_in_slices(
    pieces: Iterator[str],
    finish: Callable[[str], Response],
    at_once: AtOnce,
    length: int = SLICE,
) -> Answer:
    """What ``finish`` makes of all ``pieces``: at once if there is time for it, else in slices.

    ``length`` is that of a slice, of which at most a share is spent at once.
    """
    done: list[str] = []
    left = min(at_once.left(), round(length * AT_ONCE))
    if left > 0:
        complete = _work(pieces, done, at_once.now, left)
        at_once.spend()
        if complete:
            return finish("".join(done))
    return _finish_later(pieces, done, finish, at_once.now, length)


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
