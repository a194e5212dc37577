"""Asks the auth servers what a client may do.

The servers are asked one after the other, from a random one on, until one gives
an answer that makes sense; a refusal of one does not stop another from agreeing.
"""

import json
import logging
import math
import ssl
from collections.abc import AsyncIterator, Callable
from random import sample
from urllib.parse import urlencode

import trio
from attrs import define, field, frozen

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

    def __attrs_post_init__(self) -> None:
        if self.settings.addresses:
            # takes 0.1 s: not for those who run without auth, and not once clients are there
            import httpx  # noqa: F401

            self._tls = _tls(self.settings.root_ca_file)

    async def authorize(self, client: Client) -> None:
        """Get ``client`` its permissions, or the reason why it has none."""
        client.permissions, client.auth_failure = None, ""
        addresses = self.settings.addresses
        for address in sample(addresses, len(addresses)):
            url = address if "://" in address else f"http://{address}/auth"
            try:
                client.permissions = await self._ask(url, client)
            except (BadReply, OSError) as error:
                logger.error("client(%s): auth server %s - %s", client.name, address, error)
                client.auth_failure = str(error) or type(error).__name__
            else:
                client.auth_failure = ""
                return

    async def _ask(self, url: str, client: Client) -> Permissions:
        """The answer of one server. Raises BadReply, OSError."""
        settings = self.settings
        secret = client.secret or b""
        questions: dict[str, str | bytes] = {
            "remote_ip": client.host,
            "tls": "true" if client.tls else "false",
            "secret": secret,
            "common_name": client.tls.common_name if client.tls else "",
        }
        content = None
        if settings.method == "post":
            questions["secret"] = secret.decode(errors="replace")
            content = json.dumps({key: [value] for key, value in questions.items()}).encode()
        else:
            url += ("&" if "?" in url else "?") + urlencode(questions)
        try:
            with trio.fail_after(settings.request_timeout or math.inf):
                status, reply = await self._request(url, content)
        except trio.TooSlowError as error:
            raise BadReply(f"no answer within {settings.request_timeout:g} s") from error
        if status != 200:
            raise BadReply(f"status {status}")
        return parse_permissions(reply, self.now())

    async def _request(self, url: str, content: bytes | None) -> tuple[int, bytes]:
        """Status and body of the answer; ``content`` is posted. Raises BadReply, OSError."""
        import httpx

        assert self._tls is not None
        timeout = httpx.Timeout(None, connect=self.settings.connect_timeout or None)
        # what is not compressed cannot unpack to more than was asked for
        headers = {"Accept": "application/vnd.nsq; version=1.0", "Accept-Encoding": "identity"}
        if content is not None:
            headers["Content-Type"] = "application/json"
        try:
            async with (
                httpx.AsyncClient(
                    timeout=timeout, verify=self._tls, trust_env=False, follow_redirects=True
                ) as http,
                http.stream(
                    "GET" if content is None else "POST", url, headers=headers, content=content
                ) as response,
            ):
                return response.status_code, await _read(response.aiter_raw())
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise BadReply(_reason(error)) from error


def _reason(error: BaseException) -> str:
    """What ``error`` says, or what its causes say: httpx often leaves it to them."""
    cause: BaseException | None = error
    while cause is not None and not str(cause):
        cause = cause.__cause__ or cause.__context__
    return str(cause or type(error).__name__)


def _tls(root_ca_file: str) -> ssl.SSLContext:
    """Whom to trust of the auth servers. Raises OSError."""
    try:
        return ssl.create_default_context(cafile=root_ca_file or None)
    except OSError as error:
        raise OSError(
            f"failed to read the certificate authority {root_ca_file}: {error}"
        ) from error


async def _read(chunks: AsyncIterator[bytes]) -> bytes:
    """All of ``chunks``. Raises BadReply if they are too much."""
    reply = bytearray()
    # httpx cleans up behind a cancelled read, not behind one that just goes no further
    with trio.CancelScope() as enough:
        async for chunk in chunks:
            reply += chunk
            if len(reply) > MAX_REPLY:
                enough.cancel()
    if len(reply) > MAX_REPLY:
        raise BadReply(f"an answer of over {MAX_REPLY} bytes")
    return bytes(reply)
