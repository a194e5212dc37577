"""One HTTP request, complete with its body."""

from collections.abc import Mapping
from typing import Any

from nsqcore.access.roles import Grant
from nsqcore.classes import define
from nsqcore.http.query import QueryError, parse_query, unescape
from nsqcore.http.responses import HttpError
from nsqcore.net.effects import Peer

NO_PARAMS: Mapping[str, str] = {}


@define(eq=False, repr=False)
class Request:
    """What a handler is given. The query is decoded only when it is asked for."""

    method: str
    #: The path as it came; `path` is the readable one.
    target: bytes
    raw_query: bytes
    body: bytes
    peer: Peer
    #: Name and value as they came, in order.
    headers: list[tuple[bytes, bytes]]
    #: Whatever the session was made with: the daemon.
    context: Any = None
    #: The connection goes on after this request.
    keep_alive: bool = True
    http_1_0: bool = False
    #: The part of the path that matched the ``:name`` of the route.
    params: Mapping[str, str] = NO_PARAMS
    #: It is worth a line in the log: it may have changed something, and carried no messages.
    notable: bool = False
    #: Whose credential let it in; None where none was asked for.
    grant: Grant | None = None

    def __str__(self) -> str:
        query = b"?" + self.raw_query if self.raw_query else b""
        return f"{self.method} {(self.target + query).decode('latin-1')}"

    @property
    def path(self) -> str:
        """The decoded path, without scheme and host.

        Raises:
            QueryError: a percent escape is broken; no route is given such a request.
        """
        target = self.target
        if not target.startswith(b"/"):
            _, separator, rest = target.partition(b"://")
            if separator:
                target = b"/" + rest.partition(b"/")[2]
        return unescape(target)

    def args(self) -> dict[str, list[str]]:
        """The values of each query parameter, in order. Not to be changed.

        Raises:
            HttpError: 400 ``INVALID_REQUEST``, the query is undecodable.
        """
        try:
            return parse_query(self.raw_query)
        except QueryError as error:
            raise HttpError(400, "INVALID_REQUEST") from error

    def arg(self, name: str) -> str | None:
        """The first value of the query parameter ``name``; None if there is none.

        Raises:
            HttpError: 400 ``INVALID_REQUEST``, the query is undecodable.
        """
        values = self.args().get(name)
        return values[0] if values else None

    def header(self, name: str) -> str | None:
        """The value of the first header ``name``, in any case."""
        value = self.raw_header(name.lower().encode("latin-1"))
        return None if value is None else value.decode("latin-1")

    def raw_header(self, name: bytes) -> bytes | None:
        """The value, as it came, of the first header ``name``, which is in small letters."""
        length = len(name)
        for key, value in self.headers:
            if len(key) == length and key.lower() == name:
                return value
        return None
