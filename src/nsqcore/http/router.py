"""From method and path to the function that answers.

Routes are exact paths, looked up in a dictionary; a path may end in one ``:name`` that stands for
the rest of it. What matches no route is answered as the original does: OPTIONS with the methods of
the path, a redirect where only a trailing slash, the case or superfluous slashes are wrong, 405
with the methods, and 404.
"""

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from urllib.parse import quote

from nsqcore.access.roles import ADMIN, Rule
from nsqcore.classes import define, field, frozen
from nsqcore.http.guard import Ask, Guard
from nsqcore.http.later import Later
from nsqcore.http.query import QueryError
from nsqcore.http.request import Request
from nsqcore.http.responses import HTML, TEXT, HttpError, Response

# What a request may carry where its route says nothing else: every body of the API is far smaller.
MAX_BODY = 1024 * 1024


@frozen
class Asking:
    """A request of which ``ask`` finds out whether ``handler`` may answer it."""

    ask: Ask
    handler: "HandlerFunction"


Answer = Response | Later | Asking | Awaitable[Response]
HandlerFunction = Callable[[Request], Answer]

NOT_FOUND = HttpError(404, "NOT_FOUND").response()
NOT_ALLOWED = HttpError(405, "METHOD_NOT_ALLOWED")
BAD_REQUEST = Response(400, b"400 Bad Request", TEXT, versioned=False)


@frozen(eq=False)
class Route:
    """A function, and what may be sent to it."""

    handler: HandlerFunction
    #: The largest body, in bytes; a larger one is 413 with the message ``too_big``.
    max_body: int = MAX_BODY
    too_big: str = "BODY_TOO_BIG"
    #: Name of the variable last part of the path, or "".
    param: str = ""
    #: It carries messages, which are not worth a line each in the log.
    quiet: bool = False
    #: What it needs of who asks; None is what only an administrator may do.
    rule: Rule | None = None
    #: The refusal of a request, before its body is here; None where everybody may do everything.
    check: Callable[[Request], Response | Ask | None] | None = None


def _not_found(_request: Request) -> Response:
    return NOT_FOUND


def _guarded(
    handler: HandlerFunction, check: Callable[[Request], Response | Ask | None]
) -> HandlerFunction:
    """``handler`` for those whom ``check`` lets in."""

    def guarded(request: Request) -> Answer:
        verdict = check(request)
        if verdict is None:
            return handler(request)
        return verdict if isinstance(verdict, Response) else Asking(verdict, handler)

    return guarded


def constant_route(response: Response) -> Route:
    """A route that always answers ``response``."""
    return Route(lambda _request: response)


@define(eq=False, repr=False)
class Router:
    """The routes of one daemon's HTTP API.

    ``fallback`` answers what no route does. A router without routes whose fallback is 403 answers
    everything with it. ``guard`` looks at each request that a route is to answer.
    """

    fallback: HandlerFunction | Route = _not_found
    guard: Guard | None = None
    #: Path, as it comes in a request, to method to route.
    exact: dict[bytes, dict[str, Route]] = field(factory=dict, init=False)
    _prefixes: dict[str, dict[str, Route]] = field(factory=dict, init=False)
    _methods: set[str] = field(factory=set, init=False)

    def add(
        self,
        method: str,
        path: str,
        handler: HandlerFunction,
        *,
        max_body: int = MAX_BODY,
        too_big: str = "BODY_TOO_BIG",
        quiet: bool = False,
        rule: Rule | None = None,
    ) -> None:
        """Let ``handler`` answer ``method`` at ``path``; the last part may be ``:name``.

        ``rule`` is what it needs of who asks, where credentials are asked for.
        """
        prefix, colon, name = path.partition(":")
        check = None
        if self.guard is not None:
            check = partial(self.guard.check, ADMIN if rule is None else rule)
            handler = _guarded(handler, check)
        route = Route(handler, max_body, too_big, name, quiet, rule, check)
        self._methods.add(method)
        if colon:
            self._prefixes.setdefault(prefix, {})[method] = route
        else:
            self.exact.setdefault(path.encode(), {})[method] = route

    def routes(self) -> Iterator[tuple[str, str, Route]]:
        """Method, path and route of every endpoint."""
        for exact, methods in self.exact.items():
            yield from ((method, exact.decode(), route) for method, route in methods.items())
        for prefix, methods in self._prefixes.items():
            for method, route in methods.items():
                yield method, f"{prefix}:{route.param}", route

    def find(self, request: Request) -> Route:
        """The route that answers ``request``; always one, be it the one that answers 404."""
        routes = self.exact.get(request.target)
        route = routes.get(request.method) if routes is not None else None
        return self._search(request) if route is None else route

    def _search(self, request: Request) -> Route:
        """As `find`, for a request that no route matches as it stands."""
        method = request.method
        if request.target == b"*" and method == "OPTIONS":
            return constant_route(Response(versioned=False))
        try:
            path = request.path
        except QueryError:
            return constant_route(BAD_REQUEST)
        routes = self._routes_at(path)
        if method in routes:
            route = routes[method]
            if route.param:
                request.params = {route.param: path.rpartition("/")[2]}
            return route
        if method in self._methods and method != "CONNECT" and path != "/":
            better = self._corrected(method, path)
            if better is not None:
                return Route(_Redirect(better).answer)
        if routes:
            return self._other_methods(method, routes)
        fallback = self.fallback
        return fallback if isinstance(fallback, Route) else Route(fallback)

    def _other_methods(self, method: str, routes: dict[str, Route]) -> Route:
        """What a path answers to a method that has no route there."""
        allow = (("Allow", ", ".join(sorted({*routes, "OPTIONS"}))),)
        if method == "OPTIONS":
            return constant_route(Response(versioned=False, headers=allow))
        body = NOT_ALLOWED.response()
        return constant_route(Response(405, body.body, body.content_type, headers=allow))

    def _routes_at(self, path: str) -> dict[str, Route]:
        found = self.exact.get(path.encode("utf-8", "surrogateescape"))
        if found is None:
            prefix, slash, rest = path.rpartition("/")
            found = self._prefixes.get(prefix + slash) if rest else None
        return found or {}

    def _corrected(self, method: str, path: str) -> str | None:
        """The path that was probably meant: another trailing slash, case, or fewer slashes."""
        other = path[:-1] if path.endswith("/") else path + "/"
        if method in self._routes_at(other):
            return other
        clean = _clean(path).lower()
        for known, methods in self.exact.items():
            name = known.decode()
            if method in methods and name.lower().rstrip("/") == clean.rstrip("/"):
                return name
        return None


@frozen
class _Redirect:
    """Sends the client to ``path``, with the query it came with."""

    path: str

    def answer(self, request: Request) -> Response:
        location = quote(self.path, safe="/:@!$&'()*+,;=~-._", errors="surrogateescape")
        if request.raw_query:
            location += "?" + request.raw_query.decode("latin-1")
        headers = (("Location", location),)
        if request.method != "GET":
            return Response(307, versioned=False, headers=headers)
        href = location.replace("&", "&amp;").replace('"', "&#34;")
        body = f'<a href="{href}">Moved Permanently</a>.\n\n'.encode()
        return Response(301, body, HTML, versioned=False, headers=headers)


def _clean(path: str) -> str:
    """``path`` without empty and dot elements."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)
