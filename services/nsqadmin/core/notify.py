"""Notifications: a POST to ``--notification-http-endpoint`` for every admin action.

Actions are put into a bounded queue and never wait; one task sends them in order. An endpoint that
is down loses notifications, named in the log, and disturbs nothing else.
"""

import json
import logging
import socket
from typing import Any

import attrs
import trio

from nsqcore.classes import frozen
from nsqcore.http.client import HttpClient, RequestFailed
from nsqcore.redaction import redact

logger = logging.getLogger(__name__)

# A minute of one action per 100 ms: more than hands can do, small enough for an endpoint that is
# down.
_MAX_WAITING = 600
# Nobody looks at what an endpoint says.
_MAX_ANSWER = 1024 * 1024


@frozen(kw_only=True)
class AdminAction:
    """What was done, by whom. ``timestamp`` is in Unix seconds."""

    action: str
    topic: str
    channel: str = ""
    node: str = ""
    policy: str = ""
    timestamp: int
    user: str = ""
    remote_ip: str = ""
    user_agent: str = ""
    url: str = ""

    def to_json(self) -> dict[str, Any]:
        """The body of the notification; what does not apply is left out."""
        optional = ("channel", "node", "policy", "user")
        shown = attrs.asdict(self, filter=lambda a, v: bool(v) or a.name not in optional)
        return {**shown, "via": socket.gethostname()}


class Notifier:
    """Sends notifications from a task of its own."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._shown = redact(endpoint)
        self._send, self._receive = trio.open_memory_channel[AdminAction](_MAX_WAITING)

    def notify(self, action: AdminAction) -> None:
        """Have ``action`` sent, if there is an endpoint."""
        if not self._endpoint:
            return
        try:
            self._send.send_nowait(action)
        except trio.WouldBlock:
            logger.error("notify(%s): dropped %s: too many wait", self._shown, action.action)

    async def run(self, *, connect_timeout: float, request_timeout: float) -> None:
        """Send what is notified, until cancelled."""
        async with HttpClient(
            connect_timeout=connect_timeout, request_timeout=request_timeout, max_answer=_MAX_ANSWER
        ) as http:
            async for action in self._receive:
                await self._post(http, action)

    async def _post(self, http: HttpClient, action: AdminAction) -> None:
        logger.info("notify(%s): posting %s", self._shown, action.action)
        headers = {"Content-Type": "application/json"}
        body = json.dumps(action.to_json()).encode()
        try:
            answer = await http.request("POST", self._endpoint, headers=headers, body=body)
        except RequestFailed as error:
            logger.error("notify(%s): failed to post: %s", self._shown, error)
            return
        if answer.status >= 400:
            logger.error("notify(%s): answered %d", self._shown, answer.status)
