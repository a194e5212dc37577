"""Notifications: a POST to ``--notification-http-endpoint`` for every admin action.

Actions are put into a bounded queue and never wait; one task sends them in order. An endpoint that
is down loses notifications, named in the log, and disturbs nothing else.
"""

import logging
import socket
from typing import Any

import attrs
import httpx
import trio

logger = logging.getLogger(__name__)

# A minute of one action per 100 ms: more than hands can do, small enough for an endpoint that is
# down.
_MAX_WAITING = 600


@attrs.frozen(kw_only=True)
class AdminAction:
    """What was done, by whom. ``timestamp`` is in Unix seconds."""

    action: str
    topic: str
    channel: str = ""
    node: str = ""
    timestamp: int
    user: str = ""
    remote_ip: str = ""
    user_agent: str = ""
    url: str = ""

    def to_json(self) -> dict[str, Any]:
        """The body of the notification; what does not apply is left out."""
        optional = ("channel", "node", "user")
        shown = attrs.asdict(self, filter=lambda a, v: bool(v) or a.name not in optional)
        return {**shown, "via": socket.gethostname()}


class Notifier:
    """Sends notifications from a task of its own."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._send, self._receive = trio.open_memory_channel[AdminAction](_MAX_WAITING)

    def notify(self, action: AdminAction) -> None:
        """Have ``action`` sent, if there is an endpoint."""
        if not self._endpoint:
            return
        try:
            self._send.send_nowait(action)
        except trio.WouldBlock:
            logger.error("notify(%s): dropped %s: too many wait", self._endpoint, action.action)

    async def run(self, *, connect_timeout: float, request_timeout: float) -> None:
        """Send what is notified, until cancelled."""
        timeout = httpx.Timeout(request_timeout, connect=connect_timeout)
        async with httpx.AsyncClient(timeout=timeout, trust_env=False) as client:
            async for action in self._receive:
                await self._post(client, action)

    async def _post(self, client: httpx.AsyncClient, action: AdminAction) -> None:
        logger.info("notify(%s): posting %s", self._endpoint, action.action)
        try:
            response = await client.post(self._endpoint, json=action.to_json())
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            logger.error("notify(%s): failed to post: %s", self._endpoint, error)
            return
        if response.status_code >= 400:
            logger.error("notify(%s): answered %d", self._endpoint, response.status_code)
