"""Questions to many daemons, of which none holds up the others.

A look at the cluster waits a moment for the answers. A daemon that hangs takes longer, until its
timeout: the question to it goes on alone and is not asked again meanwhile; what comes of it shows
in a later look.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping

import trio

from nsqcore.classes import define, field

logger = logging.getLogger(__name__)

Question = Callable[[], Awaitable[None]]  # keeps what it hears by itself
# Seconds. Healthy daemons answer in milliseconds; changes are to show within two seconds.
PATIENCE = 1.0


@define(eq=False, repr=False)
class Polls:
    """Questions under way. Without a ``nursery`` for slow ones, all are waited for."""

    nursery: trio.Nursery | None = None
    _under_way: set[str] = field(factory=set)

    def has(self, key: str) -> bool:
        """Whether the question ``key`` is still without an answer."""
        return key in self._under_way

    async def ask(
        self, questions: Mapping[str, Question], *, doubtful: Collection[str] = ()
    ) -> None:
        """Ask all that are not under way, and wait for those answered within `PATIENCE`.

        Args:
            doubtful: questions asked in vain the last time, which nobody waits for.
        """
        if self.nursery is None:
            async with trio.open_nursery() as nursery:
                for question in questions.values():
                    nursery.start_soon(question)
            return
        begun = [key for key in questions if key not in self._under_way]
        waiting, answered = set(begun) - set(doubtful), trio.Event()

        async def one(key: str) -> None:
            try:
                await questions[key]()
            except Exception:  # nobody waits for it any more, and the next look asks again
                logger.exception("collector: a question failed: %s", key)
            finally:
                self._under_way.discard(key)
                waiting.discard(key)
                if not waiting:
                    answered.set()

        for key in begun:
            self._under_way.add(key)
            self.nursery.start_soon(one, key)
        if waiting:
            with trio.move_on_after(PATIENCE):
                await answered.wait()
