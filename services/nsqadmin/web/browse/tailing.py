"""The live tail: a page that shows what comes into a topic, as a stream of server-sent events.

Looking changes nothing (`nsqadmin.collect.tail`); it stops when the page is left.
"""

from collections.abc import AsyncIterator, Callable

import trio
from quart import Response, g, request
from quart_trio import QuartTrio

from nsqadmin.actions.messages import nodes_of
from nsqadmin.collect.tail import Tail
from nsqadmin.core.admin import Admin
from nsqadmin.drawing.bodies import snippet
from nsqadmin.language.spoken import gettext as _
from nsqadmin.pages.frame.view import Page, View
from nsqadmin.web.browse.place import Place, allow_reading
from nsqadmin.web.events import event
from nsqadmin.web.identity import Identity
from nsqadmin.web.pages import Pages, html
from nsqcore.classes import define
from nsqcore.cluster.upstream import AllFailed
from nsqcore.readers import count, text

# Seconds between two looks.
PAUSE = 1.0
# Each costs every nsqd of the topic some requests a second.
MAX_TAILS = 20


@define(eq=False, repr=False)
class Tails:
    """All open tails of this process."""

    pages: Pages
    count: int = 0

    async def events(
        self, tail: Tail, view: View, is_authorized: Callable[[], bool]
    ) -> AsyncIterator[str]:
        """The events of one: rows for the table, or what went wrong."""
        self.count += 1
        try:
            yield "retry: 2000\n\n"
            while is_authorized():
                try:
                    found = await tail.look()
                    yield event("rows", {"html": self._rows(view, tail, found)})
                except AllFailed as error:
                    yield event("trouble", {"text": str(error)})
                await trio.sleep(PAUSE)
        finally:
            self.count -= 1

    def _rows(self, view: View, tail: Tail, found: list[dict[str, object]]) -> str:
        rows = [
            {
                "id": text(message, "id"),
                "node": text(message, "node"),
                "size": count(message, "size"),
                "timestamp": count(message, "timestamp"),
                "snippet": snippet(text(message, "body"), text(message, "encoding")),
            }
            for message in reversed(found)
        ]
        place = Place(tail.topic, tail.channel)
        return self.pages.renderer.plain("tailrows.html", rows=rows, place=place, view=view)


def add_tailing(app: QuartTrio, admin: Admin, pages: Pages, identity: Identity) -> None:
    """Route ``/messages/tail`` and its stream."""
    base = admin.options.base_path.rstrip("/")
    tails = Tails(pages)

    @app.get(f"{base}/messages/tail")
    async def tail_page() -> Response:
        place = Place.of(request.args)
        allow_reading(g.principal, place)
        nodes = await nodes_of(admin, place.topic)
        view = pages.view(g.principal, "/", {})
        found = admin.collector.snapshot.topics.get(place.topic)
        values = {
            "place": place,
            "nodes": nodes,
            "logged": bool(found and found.durability and not place.channel),
            "stream": view.url("/messages/tail/events", **place.params),
        }
        page = Page("tail.html", _("Live tail of %(name)s", name=place.name), "", values)
        return html(pages.renderer.page(view, page))

    @app.get(f"{base}/messages/tail/events")
    async def tail_events() -> Response:
        place = Place.of(request.args)
        allow_reading(g.principal, place)
        nodes = await nodes_of(admin, place.topic)
        if tails.count >= MAX_TAILS:
            return Response("too many streams", 503, {"Retry-After": "30"})
        tail = Tail(
            admin.upstream, place.topic, place.channel, nodes, lambda: admin.collector.snapshot
        )
        view = pages.view(g.principal, "/", {})
        authorized = identity.authorization_check(request, g.principal)
        response = Response(
            tails.events(tail, view, authorized), 200,
            content_type="text/event-stream; charset=utf-8",
        )  # fmt: skip
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Accel-Buffering"] = "no"  # nginx would hold events back
        response.timeout = None
        return response
