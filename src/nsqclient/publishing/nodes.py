"""The nsqds that nsqlookupds name, for a producer: found, and dropped when they have gone.

An nsqd is one of the producer's as long as an nsqlookupd names it. A connection that
works is not cut because the name went missing, as all do when an nsqlookupd is started
again: that nsqd is used only if no other can be, and not dialled again once the
connection has ended.
"""

import math
from collections.abc import Callable

import anyio

from nsqclient.core.background import Background
from nsqclient.core.errors import HttpError
from nsqclient.http.lookupd import LookupdHttp
from nsqclient.http.polling import LookupdSettings, Polling, tcp_addresses
from nsqclient.publishing.endpoint import Endpoint
from nsqcore.classes import define, field

# Between two questions out of turn, asked because an nsqd was lost or a publish has nowhere to go.
ASK_INTERVAL = 2.0


@define(eq=False, repr=False)
class Nodes:
    """Keeps ``endpoints`` to what the nsqlookupds name, and to the ``fixed`` addresses.

    ``make`` makes the endpoint of an address, ``changed`` is called when something has changed.

    Attributes:
        failure: why no nsqd will ever be found: what was asked is no nsqlookupd.
    """

    endpoints: list[Endpoint]
    fixed: frozenset[str]
    make: Callable[[str], Endpoint]
    changed: Callable[[], None]
    failure: HttpError | None = None
    _polling: Polling[str] = field(init=False)
    _tasks: Background = field(init=False)
    _asked: float = -math.inf

    def start(self, lookupds: list[str], settings: LookupdSettings, tasks: Background) -> None:
        """Begin to ask."""
        failed = None if self.fixed else self._fail
        self._tasks = tasks
        self._polling = Polling(lookupds, settings, _ask, self._named, failed, self.changed)
        for address in lookupds:
            tasks.start(self._polling.poll, address)

    def ask(self) -> dict[str, int]:
        """Ask at once, unless that was done a moment ago; returns what `is_heard` takes."""
        now = anyio.current_time()
        if now - self._asked < ASK_INTERVAL:
            return {name: count for name, count in self._polling.heard.items() if not count}
        self._asked = now
        self._polling.ask_all()
        return dict(self._polling.heard)

    def is_heard(self, since: dict[str, int]) -> bool:
        """Whether every nsqlookupd has answered, or failed, that was asked by `ask`."""
        return all(self._polling.heard[name] > count for name, count in since.items())

    @property
    def has_asked_all(self) -> bool:
        """Whether every nsqlookupd has answered or failed, once at least."""
        return all(self._polling.heard.values())

    def reasons(self) -> list[str]:
        """Why there is no nsqd, as far as the nsqlookupds are to blame."""
        errors = list(self._polling.errors.values())
        return errors or ([] if self.endpoints else ["nsqlookupd names none"])

    def _fail(self, error: HttpError) -> None:
        self.failure = error

    def _named(self, names: set[str]) -> None:
        if names:
            self.failure = None
        known = {endpoint.address: endpoint for endpoint in self.endpoints}
        for address in sorted(names - known.keys()):
            endpoint = self.make(address)
            endpoint.lost = self._lost
            self.endpoints.append(endpoint)
            self._tasks.start(self._keep, endpoint)
        gone = known.keys() - names - self.fixed
        for address, endpoint in known.items():
            endpoint.want(address not in gone)
        self._polling.miss(set(gone))
        self.changed()

    def _lost(self) -> None:
        self.ask()

    async def _keep(self, endpoint: Endpoint) -> None:
        try:
            await endpoint.run()
        finally:
            self.endpoints.remove(endpoint)
            self.changed()


async def _ask(api: LookupdHttp) -> set[str]:
    return tcp_addresses(await api.nodes())
