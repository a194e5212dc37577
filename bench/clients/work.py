"""What every client is given to do, and what it took."""

import time
from typing import NamedTuple

TOPIC, CHANNEL = "bench", "clients"
BODY = b"x" * 200
BATCH = 200
WORKERS = 32
IN_FLIGHT = 2500


class Stopwatch:
    """The seconds, and those of CPU in this process, since it was made."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._cpu = time.process_time()

    def read(self) -> "Taken":
        """What was taken until now."""
        return Taken(time.perf_counter() - self._began, time.process_time() - self._cpu)


class Taken(NamedTuple):
    """What some work took."""

    seconds: float
    cpu: float
