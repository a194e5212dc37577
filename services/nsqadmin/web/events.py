"""Live updates: one stream of server-sent events per open page, all fed by the one collector.

A stream sends the parts of its page that changed since the last snapshot (event ``parts``), or the
whole of ``main`` if more than that changed (``page``), or just the time (``tick``). It asks no
daemon anything. Pages that look the same to everybody who may do the same are drawn once per
snapshot and language, however many watch them.
"""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from urllib.parse import parse_qsl, unquote, urlsplit

import trio
from quart import Response, g, request
from quart_trio import QuartTrio

from nsqadmin.auth.principals import Principal
from nsqadmin.collect.snapshot import Snapshot
from nsqadmin.core.admin import Admin
from nsqadmin.language.catalogue import ENGLISH, Language
from nsqadmin.language.spoken import speaking, spoken
from nsqadmin.pages.frame.render import Split, split
from nsqadmin.pages.frame.view import NoSuchPage
from nsqadmin.web.identity import Identity
from nsqadmin.web.pages import GRAPH_COOKIE, Pages
from nsqcore.classes import define, field

# Browsers open six connections to a host, and people a few dozen tabs: above this somebody counts
# wrong.
MAX_STREAMS = 500
# A proxy that drops silent connections does so after a minute at the earliest.
_QUIET = 15.0
_MAX_PARAMETERS = 50
# Seconds of drawing at a stretch: some pages of a large cluster.
_BURST = 0.25


@define(eq=False, repr=False)
class EventStreams:
    """All open streams of this process."""

    admin: Admin
    pages: Pages
    burst: float = _BURST
    count: int = 0
    _drawn: dict[tuple[object, ...], tuple[str, Split]] = field(factory=dict)
    _drawn_of: int = -1
    _spent: float = 0.0  # seconds of drawing for this snapshot
    _turn: trio.Lock = field(factory=trio.Lock)

    def draw(
        self, principal: Principal, path: str, arguments: Mapping[str, str], graph_span: str = ""
    ) -> tuple[str, Split]:
        """A page's ``main`` at this moment, in the language of this moment, whole and in parts.

        Raises:
            NoSuchPage: what it shows is gone.
        """
        version = self.admin.collector.snapshot.version
        if version != self._drawn_of:
            self._drawn.clear()
            self._drawn_of, self._spent = version, 0.0
        view = self.pages.view(principal, path, arguments, graph_span=graph_span)
        key = (
            spoken().tag,
            path,
            tuple(sorted(view.arguments.items())),
            principal.role,
            principal.grants,
            view.graph_span,
        )
        if key not in self._drawn:
            began = trio.current_time()
            whole = self.pages.renderer.main(view, self.pages.make(view))
            self._drawn[key] = (whole, split(whole))
            self._spent += trio.current_time() - began
        return self._drawn[key]

    async def events(
        self,
        principal: Principal,
        path: str,
        arguments: Mapping[str, str],
        is_authorized: Callable[[], bool],
        *,
        graph_span: str = "",
        language: Language = ENGLISH,
    ) -> AsyncIterator[str]:
        """The events of one page, as long as ``is_authorized`` says that it may be seen."""
        collector = self.admin.collector
        self.count += 1
        collector.watchers += 1
        try:
            yield "retry: 2000\n\n"
            before: Split | None = None
            version = -1
            while is_authorized():
                snapshot: Snapshot | None = None
                with trio.move_on_after(_QUIET):
                    snapshot = await collector.changed(version)
                if snapshot is None:
                    yield ": still here\n\n"
                    continue
                version = snapshot.version
                try:
                    async with self._turn:
                        before_drawing = self._spent
                        with speaking(language):
                            whole, now = self.draw(principal, path, arguments, graph_span)
                        if self._spent > self.burst:
                            # Whoever watches many different things leaves half the time to others.
                            await trio.sleep(self._spent - before_drawing)
                except NoSuchPage:
                    yield event("gone", {})
                    return
                yield difference(before, now, whole, snapshot.taken)
                before = now
        finally:
            self.count -= 1
            collector.watchers -= 1


def difference(before: Split | None, now: Split, whole: str, taken: int) -> str:
    """The event that takes a browser from one drawing of a page to the next."""
    at = taken // 1_000_000
    if before is None or before.skeleton != now.skeleton:
        return event("page", {"at": at, "html": whole})
    changed = {key: part for key, part in now.parts.items() if before.parts.get(key) != part}
    return event("parts", {"at": at, "parts": changed}) if changed else event("tick", {"at": at})


def event(name: str, data: object) -> str:
    """One server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"


def read_view(url: str, base: str) -> tuple[str, dict[str, str]]:
    """Path (without ``base``) and parameters of the page that a stream is to keep up to date."""
    try:
        parts = urlsplit(url)
        arguments = dict(parse_qsl(parts.query, max_num_fields=_MAX_PARAMETERS))
    except ValueError:  # brackets that are no address; too many parameters
        return "/", {}
    path = unquote(parts.path)
    return (path[len(base) :] if path.startswith(base) else path) or "/", arguments


def add_events(app: QuartTrio, admin: Admin, pages: Pages, identity: Identity) -> None:
    """Route ``/events?view=/topics/...``."""
    base = admin.options.base_path.rstrip("/")
    streams = EventStreams(admin, pages)

    @app.get(f"{base}/events")
    async def events() -> Response:
        if streams.count >= MAX_STREAMS:
            return Response("too many streams", 503, {"Retry-After": "30"})
        path, arguments = read_view(request.args.get("view", "/"), base)
        principal: Principal = g.principal
        is_authorized = identity.authorization_check(request, principal)
        span = request.cookies.get(GRAPH_COOKIE, "")
        stream = streams.events(
            principal, path, arguments, is_authorized, graph_span=span, language=spoken()
        )
        response = Response(stream, 200, content_type="text/event-stream; charset=utf-8")
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Accel-Buffering"] = "no"  # nginx would hold events back
        response.timeout = None
        return response
