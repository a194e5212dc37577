"""Connections to HTTP servers, kept for the next request and let go of in time.

Each server has a pool of its own: one for all looks at every connection for every request, which
with 80 daemons was most of the time that a round of questions took. A pool that nobody has used for
a few seconds is closed by a background task, whether or not another request comes: a server that
left holds no descriptor. The task ends when there is nothing left to close.
"""

import asyncio
import logging
import resource
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import httpx

from nsqcore.classes import define, field

logger = logging.getLogger(__name__)

# Seconds. Longer than the second between two looks of a page, shorter than what a daemon keeps an
# idle connection for.
IDLE = 5.0
# More to one server are closed after their request.
KEPT_PER_SERVER = 4
# A peer that does not take the end of TLS holds nobody up for longer.
CLOSE_TIMEOUT = 1.0


def descriptors_for_idle() -> int:
    """How many idle pools may be kept: a quarter of the descriptors, 256 at most."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 256 if soft == resource.RLIM_INFINITY else max(1, min(256, soft // 4))


@define(eq=False, repr=False)
class _Pool:
    client: httpx.AsyncClient
    requests: int = 0
    idle_since: float = 0.0


@define(eq=False, repr=False)
class Pools:
    """The pools of one client, by the scheme, host and port of the server, and the TLS used.

    With another TLS than before a server has another pool, and the old one becomes idle.
    """

    timeout: httpx.Timeout
    idle: float = IDLE
    follow_redirects: bool = False
    _pools: dict[tuple[str, ssl.SSLContext | None], _Pool] = field(factory=dict)
    _sweeping: bool = False
    _stop: Callable[[], object] | None = None

    def __len__(self) -> int:
        return len(self._pools)

    @asynccontextmanager
    async def use(
        self, origin: str, tls: ssl.SSLContext | None
    ) -> AsyncIterator[httpx.AsyncClient]:
        """A client for one request to ``origin``; it may not be kept."""
        pool = self._pools.get((origin, tls))
        if pool is None:
            pool = self._pools[origin, tls] = _Pool(self._make(tls))
        pool.requests += 1
        try:
            yield pool.client
        finally:
            pool.requests -= 1
            pool.idle_since = anyio.current_time()
            if not self._sweeping:
                self._sweeping = True
                self._stop = _spawn(self._sweep)
            await self._shrink()

    def _make(self, tls: ssl.SSLContext | None) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            verify=tls or False,
            trust_env=False,
            timeout=self.timeout,
            follow_redirects=self.follow_redirects,
            limits=httpx.Limits(
                max_connections=None,
                max_keepalive_connections=KEPT_PER_SERVER,
                keepalive_expiry=self.idle,
            ),
        )

    async def close(self) -> None:
        """Close all connections; takes a second at most, also when cancelled."""
        pools, self._pools = list(self._pools.values()), {}
        if self._stop is not None:
            self._stop()
        await _close(pools)

    async def _shrink(self) -> None:
        """Close the pools idle for longest while there are too many."""
        surplus = len(self._pools) - descriptors_for_idle()
        if surplus > 0:
            idle = [
                (pool.idle_since, key) for key, pool in self._pools.items() if not pool.requests
            ]
            await _close([self._pools.pop(key) for _, key in sorted(idle)[:surplus]])

    async def _sweep(self) -> None:
        """Close what is idle for too long, until nothing is left."""
        try:
            while self._pools:
                oldest = anyio.current_time() - self.idle
                idle = [
                    key
                    for key, pool in self._pools.items()
                    if not pool.requests and pool.idle_since <= oldest
                ]
                await _close([self._pools.pop(key) for key in idle])
                since = [pool.idle_since for pool in self._pools.values() if not pool.requests]
                due = min(since, default=anyio.current_time()) + self.idle
                await anyio.sleep_until(max(due, anyio.current_time() + self.idle / 10))
        finally:
            self._sweeping = False


async def _close(pools: list[_Pool]) -> None:
    for pool in pools:
        with anyio.move_on_after(CLOSE_TIMEOUT, shield=True):
            try:
                await pool.client.aclose()
            except Exception as error:  # a connection that breaks while it is closed is closed
                logger.debug("http: closing a connection: %s", error)


def _spawn(run: Callable[[], Awaitable[None]]) -> Callable[[], object]:
    """Start ``run`` beside everything else, to end with the loop; returns how to stop it.

    No task group may own it: the client is opened in one task and closed in another.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        import trio  # a program of asyncio has no need of it, and may not have it

        scope = trio.CancelScope()

        async def scoped() -> None:
            with scope:
                await run()

        trio.lowlevel.spawn_system_task(scoped, name="nsqcore.http.pools")
        return scope.cancel

    async def awaited() -> None:
        await run()

    return loop.create_task(awaited()).cancel
