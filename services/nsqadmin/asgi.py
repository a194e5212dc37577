"""Quart on trio.

Quart's own connection class needs asyncio; quart-trio's (0.12) cancels its nursery from inside the
response, while Hypercorn (0.18) is still closing or recycling the connection: `Connection: close`
then never closes and the keep-alive timer is never restarted. Here only the body reader is
cancelled, after the response is out. A response without an end (server-sent events, marked by
``timeout = None``) stops when its client is gone. Remove when quart-trio does the same;
tests/nsqadmin/test_asgi.py fails without this class.
"""

from typing import Any

import trio
from quart import Response
from quart.asgi import ASGIHTTPConnection
from quart_trio import QuartTrio
from quart_trio.asgi import TrioASGIHTTPConnection


class AdminConnection(TrioASGIHTTPConnection):
    """One request and its response."""

    _endless = False

    async def __call__(self, receive: Any, send: Any) -> None:
        """Read the body and answer; return when the answer is out."""
        request = self._create_request_from_scope(send)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read, request, receive, nursery.cancel_scope)
            response = await self.app.handle_request(request)
            self._endless = isinstance(response, Response) and response.timeout is None
            await self._send_response(send, response)
            nursery.cancel_scope.cancel()

    async def _read(self, request: Any, receive: Any, scope: trio.CancelScope) -> None:
        await ASGIHTTPConnection.handle_messages(self, request, receive)
        if self._endless:
            scope.cancel()  # nobody listens any more


class AdminApp(QuartTrio):
    """A Quart app whose connections end as they should."""

    asgi_http_class = AdminConnection
