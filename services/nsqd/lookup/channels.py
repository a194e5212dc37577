"""Asks nsqlookupd over HTTP which channels a topic has.

The HTTP client takes a tenth of a second to import: this module is to be imported in a thread, and
only where there is somebody to ask.
"""

import ssl
from collections.abc import Callable

from nsqcore.classes import frozen
from nsqcore.cluster.lookupd import lookupd_channels
from nsqcore.cluster.upstream import AllFailed, Upstream


@frozen
class ChannelsClient:
    """A connection pool to any number of nsqlookupd."""

    _upstream: Upstream
    _tls: Callable[[], ssl.SSLContext | None]

    async def ask(self, topic: str, lookupds: list[str]) -> tuple[list[str], list[str]]:
        """The channels of ``topic`` that any of ``lookupds`` knows, and who failed how."""
        self._upstream.http.tls = self._tls()
        try:
            answer = await lookupd_channels(self._upstream, lookupds, topic)
        except AllFailed as error:
            return [], [str(failure) for failure in error.failures]
        return answer.value, [str(failure) for failure in answer.failures]

    async def close(self) -> None:
        """Close its connections."""
        await self._upstream.aclose()


def open_client(
    connect_timeout: float,
    request_timeout: float,
    token: Callable[[], str] | None = None,
    tls: Callable[[], ssl.SSLContext | None] = lambda: None,
) -> ChannelsClient:
    """A client with these timeouts, in seconds, a token to show, and the TLS of the moment."""
    upstream = Upstream(
        connect_timeout=connect_timeout, request_timeout=request_timeout, token=token
    )
    return ChannelsClient(upstream, tls)
