"""What every request goes through: whether it may, its body, and the API's answers.

Requests that change something and come from a page of somebody else are refused before anything
looks at them.
"""

import json
import logging
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from quart import Request, Response, g

from nsqadmin.actions.perform import Origin
from nsqadmin.auth.origins import is_meant_for_us, same_origin
from nsqadmin.auth.peers import Peer
from nsqadmin.auth.principals import Principal
from nsqadmin.auth.refused import Refused
from nsqadmin.config.options import NsqadminOptions
from nsqcore.http.query import QueryError, parse_query
from nsqcore.json import JsonError, decode_folded

logger = logging.getLogger(__name__)

_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
# What a path may have without an escape (RFC 3986, 3.3), as the original writes it.
_PATH_SAFE = "/$&+,:;=@"
_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))


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


def raw_target(request: Request) -> str:
    """Path and query of a request as URLs have them: names in it keep their escapes."""
    path = quote(request.path, safe=_PATH_SAFE)
    query = request.query_string.decode("latin-1")
    return f"{path}?{query}" if query else path


def local_path(path: str, base: str) -> str:
    """``path`` if it is one of ours, else the first page."""
    home = base or "/"
    # Two slashes, or a backslash that browsers take for one, would be another host.
    if not path.startswith("/") or path.startswith("//") or "\\" in path or not path.isprintable():
        return home
    return path if path == base or path.startswith(base + "/") else home


def wants_page(request: Request) -> bool:
    """Whether a browser shows the answer to somebody, rather than a script reading it."""
    return "text/html" in request.headers.get("Accept", "")


def origin_of(request: Request) -> Origin:
    """What an action remembers of the request it came with."""
    principal: Principal = g.principal
    url = f"{principal.scheme}://{principal.host}{raw_target(request)}"
    return Origin(principal=principal, user_agent=request.headers.get("User-Agent", ""), url=url)


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
