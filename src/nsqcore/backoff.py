"""Pauses between attempts: they double with each failure, up to a limit.

Pure: no clock and no sleep. The caller counts its failures and waits.
"""

import random

from nsqcore.classes import frozen

# 2**64 times any pause is longer than any limit, and still fits a float.
_MAX_DOUBLINGS = 64


@frozen
class Backoff:
    """Pauses in seconds: ``first`` after one failure, doubled with each, at most ``longest``.

    A pause is drawn from the last ``jitter`` share of that (0.5: between half of it and all of
    it), so that many who lost the same server do not all return at the same moment.
    """

    first: float
    longest: float
    jitter: float = 0.0

    def pause(self, failures: int) -> float:
        """Seconds to wait after so many ``failures`` in a row; any number of them is allowed."""
        doublings = min(max(failures - 1, 0), _MAX_DOUBLINGS)
        longest = min(self.first * 2.0**doublings, self.longest)
        return longest * random.uniform(1 - self.jitter, 1) if self.jitter else longest
