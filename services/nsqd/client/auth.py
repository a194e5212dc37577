"""Asks the auth servers what a client may do.

The servers are asked one after the other, from a random one on, until one gives
an answer that makes sense; a refusal of one does not stop another from agreeing.
"""

import json
import logging
from collections.abc import Callable
from functools import partial
from random import sample
from typing import Any
from urllib.parse import urlencode

from attrs import define, field, frozen

from nsqcore.errors import reason
from nsqcore.redaction import redact
from nsqd.client.client import Client
from nsqd.client.permissions import BadReply, Permissions, parse_permissions

logger = logging.getLogger(__name__)

# An answer of thousands of authorizations fits; more is a mistake.
MAX_REPLY = 4 * 1024 * 1024


@frozen(kw_only=True)
class AuthSettings:
    """Where the auth servers are and how they are asked. Times are seconds."""

    addresses: tuple[str, ...]
    method: str = "get"
    connect_timeout: float = 2.0
    request_timeout: float = 5.0
    root_ca_file: str = ""


@define(eq=False)
class AuthServers:
    """The auth servers of one nsqd; ``now`` is the monotonic clock in ns."""

    settings: AuthSettings
    now: Callable[[], int]
    _make_http: Callable[[], Any] | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        if self.settings.addresses:
            self._make_http = _http(self.settings)

    async def authorize(self, client: Client) -> None:
        """Get ``client`` its permissions, or the reason why it has none."""
        client.permissions, client.auth_failure = None, ""
        addresses = self.settings.addresses
        for address in sample(addresses, len(addresses)):
            url = address if "://" in address else f"http://{address}/auth"
            try:
                client.permissions = await self._ask(url, client)
            except Exception as error:  # whatever it is, the client is told that it is refused
                client.auth_failure = reason(error)
            else:
                client.auth_failure = ""
                return
            logger.error(
                "client(%s): auth server %s - %s", client.name, redact(address), client.auth_failure
            )

    async def _ask(self, url: str, client: Client) -> Permissions:
        """The answer of one server. Raises RequestFailed, BadReply."""
        assert self._make_http is not None
        secret = client.secret or b""
        questions: dict[str, str | bytes] = {
            "remote_ip": client.host,
            "tls": "true" if client.tls else "false",
            "secret": secret,
            "common_name": client.tls.common_name if client.tls else "",
        }
        body, headers = None, {}
        if self.settings.method == "post":
            questions["secret"] = secret.decode(errors="replace")
            body = json.dumps({key: [value] for key, value in questions.items()}).encode()
            headers["Content-Type"] = "application/json"
        else:
            url += ("&" if "?" in url else "?") + urlencode(questions)
        async with self._make_http() as http:
            method = "GET" if body is None else "POST"
            answer = await http.request(method, url, headers=headers, body=body)
        if answer.status != 200:
            raise BadReply(f"status {answer.status}")
        return parse_permissions(answer.body, self.now())


def _http(settings: AuthSettings) -> Callable[[], Any]:
    """What makes an `HttpClient` for one question. Raises OSError."""
    # Takes 0.1 s: not for those who run without auth, and not once clients are there.
    from nsqcore.http.client import HttpClient
    from nsqcore.tls import client_tls

    return partial(
        HttpClient,
        connect_timeout=settings.connect_timeout,
        request_timeout=settings.request_timeout,
        max_answer=MAX_REPLY,
        tls=client_tls(authorities=settings.root_ca_file),
        follow_redirects=True,
    )
