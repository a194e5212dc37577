"""Message ids: 64 bits as 16 hex digits, unique per nsqd and rising.

From the top: a clock of 2**20 ns ticks (about a millisecond), ten bits of node
id, twelve bits of sequence, the layout that operators of NSQ know how to read.
When a tick's 4096 numbers are used up the next tick is borrowed, so a burst
never waits; the clock catches up.
"""

from nsqcore.classes import define, field
from nsqcore.wire.hot import hex_ids

TICK_BITS = 20
NODE_SHIFT = 12
SEQUENCES = 1 << NODE_SHIFT


@define(eq=False, repr=False)
class MessageIds:
    """Hands out ids of one nsqd; ``node_id`` is 0..1023.

    They are newer than ``after`` (wall-clock ns), whatever the clock says.
    """

    node_id: int
    after: int = 0
    _node: int = field(init=False)
    _tick: int = field(init=False)
    _sequence: int = field(default=SEQUENCES, init=False)

    def __attrs_post_init__(self) -> None:
        self._node = self.node_id << NODE_SHIFT
        self._tick = self.after >> TICK_BITS

    def take(self, count: int, timestamp: int) -> bytes:
        """``count`` new ids, 16 bytes each, as one string; ``timestamp`` is wall-clock ns."""
        tick = timestamp >> TICK_BITS
        if tick > self._tick:
            self._tick, self._sequence = tick, 0
        sequence = self._sequence
        if sequence + count <= SEQUENCES:
            self._sequence = sequence + count
            ids: bytes = hex_ids(self._tick << 22 | self._node | sequence, count)
            return ids
        runs = []
        while count:
            if self._sequence == SEQUENCES:
                self._tick, self._sequence = self._tick + 1, 0
            run = min(count, SEQUENCES - self._sequence)
            runs.append(self.take(run, timestamp))
            count -= run
        return b"".join(runs)
