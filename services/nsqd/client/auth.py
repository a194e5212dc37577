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

from nsqcore import patterns
from nsqcore.app import threads
from nsqcore.app.turns import Places, Turns
from nsqcore.classes import define, field, frozen
from nsqcore.errors import NsqError, reason
from nsqcore.late import load
from nsqcore.redaction import redact
from nsqd.client.permissions import BadPermissions, Permissions, parse_permissions

logger = logging.getLogger(__name__)

# An answer of thousands of authorizations fits; more is a mistake.
MAX_REPLY = 4 * 1024 * 1024
# Above this many bytes it is read in a thread: patterns by the hundred take tens of milliseconds.
SMALL_REPLY = 8 * 1024
# Questions that begin in one round of the loop. Each takes a millisecond, and clients may come back
# by the thousand: without this all begin at once, and later give up at once.
BEGIN_STEP = 4
# Answers that are read on in one round: those of a server that was busy come all at once.
ANSWER_STEP = 16
# Questions that wait for their answers: the first bytes of all may come in one round.
AT_ONCE = 256


@frozen(kw_only=True)
class AuthSettings:
    """Where the auth servers are and how they are asked. Times are seconds."""

    addresses: tuple[str, ...]
    method: str = "get"
    connect_timeout: float = 2.0
    request_timeout: float = 5.0
    root_ca_file: str = ""
    acl_file: str = ""


@frozen
class AuthQuestion:
    """Who wants to know what they may do. ``address`` has a port and is for the log."""

    secret: bytes = field(repr=False)
    host: str
    address: str
    tls: bool = False
    #: Of the certificate; ``verified_names``, with their kind, are none if it was not verified.
    common_name: str = ""
    verified_names: tuple[str, ...] = ()


class AuthRefused(NsqError):
    """No auth server allows anything. ``answered``: one of them said so."""

    def __init__(self, text: str, *, answered: bool = False) -> None:
        super().__init__(text)
        self.answered = answered


@define(eq=False, repr=False)
class AuthServers:
    """The auth servers of one nsqd; ``now`` is the monotonic clock in ns."""

    settings: AuthSettings
    now: Callable[[], int]
    _make_http: Callable[[], Any] | None = field(default=None, init=False)
    _begin: Turns = field(factory=lambda: Turns(BEGIN_STEP), init=False)
    _answered: Turns = field(factory=lambda: Turns(ANSWER_STEP), init=False)
    _places: Places = field(factory=lambda: Places(AT_ONCE), init=False)

    def __attrs_post_init__(self) -> None:
        if self.settings.addresses:
            patterns.load_engine()
            self._make_http = _http(self.settings)

    def reload(self) -> None:
        """Read the file of their authorities again; keeps those in use if it cannot."""
        if self._make_http is None or not self.settings.root_ca_file:
            return
        try:
            self._make_http = _http(self.settings)
        except OSError as error:
            logger.error("AUTH: keeping the authorities in use - %s", error)

    async def prepare(self) -> None:
        """Have here what the first question would load, before there are clients to wait for it."""
        if self.settings.addresses:
            await load("nsqcore.http.client:warm_up")()

    async def permissions(self, question: AuthQuestion) -> Permissions:
        """What the servers allow. Raises AuthRefused."""
        addresses, failure, answered = self.settings.addresses, "", False
        for address in sample(addresses, len(addresses)):
            url = address if "://" in address else f"http://{address}/auth"
            url = url.replace("://:", "://localhost:", 1)  # as it is dialled without a host
            try:
                async with self._places:
                    await self._begin.take()
                    return await self._ask(url, question)
            except Exception as error:  # whatever it is, the client is told that it is refused
                failure = reason(error)
                answered = answered or isinstance(error, BadPermissions)
            logger.error(
                "client(%s): auth server %s - %s", question.address, redact(address), failure
            )
        raise AuthRefused(failure, answered=answered)

    async def _ask(self, url: str, question: AuthQuestion) -> Permissions:
        """The answer of one server. Raises RequestFailed, BadPermissions."""
        assert self._make_http is not None
        secret = question.secret
        questions: dict[str, str | bytes] = {
            "remote_ip": question.host,
            "tls": "true" if question.tls else "false",
            "secret": secret,
            "common_name": question.common_name,
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
            answer = await http.request(
                method, url, headers=headers, body=body, answered=self._answered.take
            )
        if answer.status != 200:
            raise BadPermissions(f"status {answer.status}")
        if len(answer.body) <= SMALL_REPLY:
            return parse_permissions(answer.body, self.now())
        return await threads.run_sync(parse_permissions, answer.body, self.now())


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
