"""Tasks that come by the thousand take turns, so that the loop has time for others in between.

trio runs all tasks that are ready before it looks at anything else: a thousand that each need a
millisecond hold everybody up for a second.
"""

import trio

from nsqcore.classes import define, field


@define(eq=False, repr=False)
class Turns:
    """Lets ``step`` tasks go on in one round of the loop, in the order in which they came."""

    step: int
    _places: trio.CapacityLimiter = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._places = trio.CapacityLimiter(self.step)

    async def take(self) -> None:
        """Return when it is this task's turn."""
        async with self._places:
            await trio.lowlevel.checkpoint()


@define(eq=False, repr=False)
class Places:
    """Lets ``count`` tasks be in its block at once; the others wait, in the order in which they
    came."""

    count: int
    _places: trio.CapacityLimiter = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._places = trio.CapacityLimiter(self.count)

    async def __aenter__(self) -> None:
        await self._places.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._places.release()


_slices: trio.lowlevel.RunVar[Turns | None] = trio.lowlevel.RunVar("slices", None)


async def next_slice() -> None:
    """Return when a task that works for long in slices may do its next one.

    All such tasks share the loop's time with everything else, however many they are: there is one
    slice in a round of the loop.
    """
    turns = _slices.get()
    if turns is None:
        _slices.set(turns := Turns(1))
    await turns.take()
