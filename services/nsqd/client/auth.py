"""Asks the auth servers what a client may do.

The servers are asked one after the other, from a random one on, until one gives
an answer that makes sense; a refusal of one does not stop another from agreeing.
"""

import json
import logging
import ssl
from collections.abc import Callable
from random import sample

import trio
from attrs import define, field, frozen

from nsqcore.net.effects import Wait
from nsqcore.wire.names import as_text
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
    _tls: ssl.SSLContext | None = field(default=None, init=False)

    def authorize(self, client: Client) -> Wait:
        """The effect that gets ``client`` its permissions, or the reason why not."""
        return Wait(lambda: self._authorize(client))

    async def _authorize(self, client: Client) -> None:
        client.permissions, client.auth_failure = None, None
        addresses = self.settings.addresses
        for address in sample(addresses, len(addresses)):
            url = address if "://" in address else f"http://{address}/auth"
            try:
                client.permissions = await self._ask(url, client)
            except (BadReply, OSError, trio.TooSlowError) as error:
                logger.error("client(%s): auth server %s - %s", client.name, address, error)
                client.auth_failure = error
            else:
                client.auth_failure = None
                return

    async def _ask(self, url: str, client: Client) -> Permissions:
        """The answer of one server. Raises BadReply, OSError, trio.TooSlowError."""
        import httpx  # takes 0.1 s: not for those who run without auth

        questions = {
            "remote_ip": client.host,
            "tls": "true" if client.tls else "false",
            "secret": as_text(client.secret or b""),
            "common_name": client.tls.common_name if client.tls else "",
        }
        timeout = httpx.Timeout(
            self.settings.request_timeout, connect=self.settings.connect_timeout
        )
        headers = {"Accept": "application/vnd.nsq; version=1.0"}
        arguments: dict[str, object]
        if self.settings.method == "post":
            body = json.dumps({key: [value] for key, value in questions.items()})
            headers["Content-Type"] = "application/json"
            arguments = {"content": body}
        else:
            arguments = {"params": questions}
        with trio.fail_after(self.settings.request_timeout):
            try:
                async with (
                    httpx.AsyncClient(
                        timeout=timeout, verify=self._verify(), trust_env=False
                    ) as http,
                    http.stream(
                        self.settings.method.upper(),
                        url,
                        headers=headers,
                        **arguments,  # type: ignore[arg-type]
                    ) as response,
                ):
                    reply = b""
                    async for chunk in response.aiter_bytes():
                        reply += chunk
                        if len(reply) > MAX_REPLY:
                            raise BadReply(f"an answer of over {MAX_REPLY} bytes")
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise BadReply(str(error) or type(error).__name__) from error
        if response.status_code != 200:
            raise BadReply(f"status {response.status_code}")
        return parse_permissions(reply, self.now())

    def _verify(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context(cafile=self.settings.root_ca_file or None)
        return self._tls
