"""How far the event loop of a daemon is behind."""

import trio

from nsqcore.classes import define

# Seconds between two measurements.
INTERVAL = 0.5

# Seconds. Heartbeats, timeouts and probes are counted in seconds: later than this, peers notice.
MAX_LAG = 1.0


@define(eq=False, repr=False)
class LoopLag:
    """The delay of a timer, in seconds, when it was last measured."""

    seconds: float = 0.0

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due = trio.current_time() + INTERVAL
            await trio.sleep_until(due)
            self.seconds = trio.current_time() - due

    def trouble(self) -> str:
        """What is wrong with the loop; empty if nothing is."""
        return "" if self.seconds <= MAX_LAG else f"event loop is {self.seconds:.1f} s behind"
