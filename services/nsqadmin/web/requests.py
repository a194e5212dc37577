"""What every request goes through: who sends it, whether it may, and how errors and bodies are
told.

The viewer of a request is found here once and kept in Quart's ``g``. Requests that change something
and come from a page of somebody else are refused before anything looks at them.
"""

import hashlib
import json
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import attrs
import trio
from quart import Request, Response, g

from nsqadmin.actions.perform import Origin
from nsqadmin.admin import Admin
from nsqadmin.auth.access import (
    Peer,
    Viewer,
    basic_credentials,
    find_peer,
    header_viewer,
    is_meant_for_us,
    same_origin,
)
from nsqadmin.auth.accounts import Account
from nsqadmin.errors import Refused
from nsqadmin.options import NsqadminOptions
from nsqcore.http.query import QueryError, parse_query
from nsqcore.json import JsonError, decode_folded

logger = logging.getLogger(__name__)

SESSION_COOKIE, FORM_COOKIE = "nsqadmin_session", "nsqadmin_form"
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
# Checking a password takes 64 MB and half a second of one core: two at once leave room for
# pages.
_PASSWORD_CHECKS = 2
# Scripts send their password with every request: each is checked once a minute.
_REMEMBERED, _REMEMBER = 1000, 60_000_000_000


@attrs.define(eq=False)
class Identity:
    """Finds out who sends a request."""

    admin: Admin
    _limiter: trio.CapacityLimiter = attrs.field(
        factory=lambda: trio.CapacityLimiter(_PASSWORD_CHECKS)
    )
    _checked: dict[bytes, int] = attrs.field(factory=dict, repr=False)

    def peer(self, request: Request) -> Peer:
        """The other end of the request's connection."""
        client = client_of(request)
        return find_peer(client, request.scheme, request.headers, self.admin.options)

    async def viewer(self, request: Request, peer: Peer) -> Viewer:
        """The user behind a request.

        Raises:
            Refused: too many wrong passwords came from there.
        """
        if self.admin.accounts is None:
            return header_viewer(peer, request.headers, self.admin.options)
        nobody = Viewer("", None, peer.address, peer.scheme, peer.host)
        token = request.cookies.get(SESSION_COOKIE, "")
        if viewer := self.session_viewer(token, nobody):
            return viewer
        credentials = basic_credentials(request.headers.get("Authorization", ""))
        if credentials is None:
            return nobody
        account = await self.log_in(*credentials, peer)
        if account is None:
            return nobody
        return attrs.evolve(nobody, user=account.name, role=account.role)

    def session_viewer(self, token: str, nobody: Viewer) -> Viewer | None:
        """The user of a session, with the role that the file gives now."""
        session = self.admin.sessions.find(token, now=self.admin.now())
        account = self.admin.accounts.get(session.user) if self.admin.accounts and session else None
        if account is None or session is None or account.hash != session.hash:
            return None
        return attrs.evolve(nobody, user=account.name, role=account.role)

    def witness(self, request: Request, viewer: Viewer) -> Callable[[], bool]:
        """Tells, as often as it is called, whether ``viewer`` may still see what was asked for."""
        accounts = self.admin.accounts
        if accounts is None:
            return lambda: True
        token = request.cookies.get(SESSION_COOKIE, "")
        in_session = self.session_viewer(token, viewer) is not None
        account = accounts.get(viewer.user)

        def still() -> bool:
            if in_session and self.session_viewer(token, viewer) is None:
                return False
            return accounts.get(viewer.user) == account

        return still

    async def log_in(self, name: str, password: str, peer: Peer) -> Account | None:
        """The account whose password this is.

        Raises:
            Refused: too many wrong passwords came from there.
        """
        accounts = self.admin.accounts
        if accounts is None:
            return None
        now = self.admin.now()
        self._refuse_guessers(peer)
        account = accounts.get(name)
        key = hashlib.sha256(
            json.dumps([name, password, account.hash if account else ""]).encode()
        ).digest()
        if account and self._checked.get(key, 0) > now:
            return account
        async with self._limiter:
            self._refuse_guessers(peer)  # the guesses that this one waited for count
            account = await trio.to_thread.run_sync(accounts.verify, name, password)
            if account is None:
                self.admin.sessions.failed(peer.ip, now=now)
                logger.warning("user(%s): wrong password from %s", name[:64], peer.address)
                return None
        if len(self._checked) >= _REMEMBERED:
            self._checked.clear()
        self._checked[key] = now + _REMEMBER
        return account

    def _refuse_guessers(self, peer: Peer) -> None:
        if self.admin.sessions.is_locked(peer.ip, now=self.admin.now()):
            raise Refused(429, "TOO_MANY_ATTEMPTS")


def client_of(request: Request) -> tuple[str, int] | None:
    """Address and port of the connection a request came on."""
    client = request.scope.get("client")
    return (client[0], int(client[1] or 0)) if client and client[0] else None


def check_origin(request: Request, peer: Peer) -> None:
    """Refuse changes that another site has a browser ask for.

    Raises:
        Refused: 403.
    """
    if request.method in _SAFE or same_origin(request.headers, peer):
        return
    logger.warning(
        "http(%s): refused %s %s from another site: %s", peer.address, request.method,
        request.path, request.headers.get("Origin", "-"),
    )  # fmt: skip
    raise Refused(403, "FORBIDDEN")


def check_target(request: Request, peer: Peer, options: NsqadminOptions) -> None:
    """Refuse a request whose path cannot be decoded, or that is for somebody else.

    Raises:
        Refused: 400 or 403.
    """
    if _BROKEN_ESCAPE.search(request.scope.get("raw_path") or b""):
        raise Refused(400, "INVALID_REQUEST")
    if not is_meant_for_us(peer, options):
        logger.warning(
            "http(%s): refused %s %s for %r, which is no --allowed-host", peer.address,
            request.method, request.path, peer.host,
        )  # fmt: skip
        raise Refused(403, "FORBIDDEN")


def check_query(request: Request) -> None:
    """Refuse a query that cannot be decoded, where the original does.

    Raises:
        Refused: 400.
    """
    try:
        parse_query(request.query_string)
    except QueryError as error:
        raise Refused(400, "INVALID_REQUEST") from error


def wants_page(request: Request) -> bool:
    """Whether a browser shows the answer to somebody, rather than a script reading it."""
    return "text/html" in request.headers.get("Accept", "")


def origin_of(request: Request) -> Origin:
    """What an action remembers of the request it came with."""
    viewer: Viewer = g.viewer
    query = request.query_string.decode("latin-1")
    path = quote(request.path, safe="/$&+,:;=@")
    url = f"{viewer.scheme}://{viewer.host}{path}" + (f"?{query}" if query else "")
    return Origin(viewer=viewer, user_agent=request.headers.get("User-Agent", ""), url=url)


def respond(data: Any, status: int = 200) -> Response:
    """An answer of the API: JSON, or the text itself."""
    if isinstance(data, str) and status == 200:
        response = Response(data, status, content_type="text/plain; charset=utf-8")
    else:
        body = data if status == 200 else {"message": data}
        text = json.dumps(body, separators=(",", ":"))
        response = Response(text, status, content_type="application/json; charset=utf-8")
    response.headers["X-NSQ-Content-Type"] = "nsq; version=1.0"
    return response


async def body_of(request: Request) -> bytes:
    """The body of a request; its size is limited by the app."""
    data = await request.get_data(as_text=False)
    return data.encode() if isinstance(data, str) else data


async def json_object(request: Request) -> Mapping[str, Any]:
    """The JSON object in a request's body, its keys in lower case.

    Raises:
        Refused: 400, it is none.
    """
    body = await body_of(request)
    try:
        # What stands behind the first value does not matter to the original either.
        value = decode_folded(body, first=True)
    except JsonError as error:
        raise Refused(400, f"invalid JSON: {error}") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refused(400, "invalid JSON: expected an object")
    return value


def text_field(body: Mapping[str, Any], name: str) -> str:
    """A text of the body; empty if it is not there.

    Raises:
        Refused: 400, it is something else.
    """
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Refused(400, f"invalid JSON: {name} must be a string")
    return value
