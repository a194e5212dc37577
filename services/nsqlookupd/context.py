"""What an HTTP request to nsqlookupd is about: the registry, the clocks, the daemon's state."""

from collections.abc import Callable

import attrs

from nsqcore.http.request import Request
from nsqlookupd.registry import Registry


@attrs.define(eq=False)
class Lookupd:
    """One nsqlookupd, as its HTTP API sees it.

    Clocks give nanoseconds, ``now`` monotonic and ``wall`` of the day; ``lag`` is by how many
    seconds the loop was late when last measured.
    """

    registry: Registry
    now: Callable[[], int]
    wall: Callable[[], int]
    lag: float = 0.0
    stopping: bool = False


def lookupd_of(request: Request) -> Lookupd:
    """The nsqlookupd that ``request`` was sent to."""
    context = request.context
    assert isinstance(context, Lookupd)
    return context
