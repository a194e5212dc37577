"""How pages are found and answered.

The same function makes the first answer, and through `nsqadmin.web.events` every live update.
"""

from collections.abc import Mapping
from typing import Any

import attrs
from quart import Response, g, request
from quart_trio import QuartTrio

from nsqadmin.admin import Admin
from nsqadmin.auth.principals import Principal
from nsqadmin.drawing.graphite import SPANS
from nsqadmin.pages.catalogue import PAGES, find_page
from nsqadmin.pages.render import Renderer
from nsqadmin.pages.view import NoSuchPage, Page, View
from nsqadmin.web.requests import wants_page

# Remembers the span of Graphite's pictures from page to page, as the original does.
GRAPH_COOKIE, _YEAR = "nsqadmin_graph", 365 * 86400


@attrs.define(eq=False)
class Pages:
    """Finds and draws pages."""

    admin: Admin
    renderer: Renderer = attrs.field(factory=Renderer)

    def view(
        self, principal: Principal, path: str, arguments: Mapping[str, str], *, graph_span: str = ""
    ) -> View:
        """The view of ``path`` (without the base path) at this moment.

        Of ``arguments``, the query of the URL, it has what the page understands.
        """
        snapshot = self.admin.collector.snapshot
        found = find_page(path)
        understood = found[0].arguments(arguments) if found else {}
        span = graph_span if graph_span in SPANS and self.admin.options.graphite_url else ""
        return View(self.admin, principal, snapshot, path, understood, span)

    def make(self, view: View) -> Page:
        """The page of a view.

        Raises:
            NoSuchPage: there is none.
        """
        found = find_page(view.path)
        if found is None:
            raise NoSuchPage("There is no such page.")
        page, names = found
        return page.make(view, **names)

    def error(self, view: View, status: int, title: str, text: str) -> Response:
        """A page that says what went wrong."""
        page = Page("message.html", title, "", {"text": text})
        return html(self.renderer.page(view, page), status)


def html(text: str, status: int = 200) -> Response:
    """An HTML document; its encoding is in its head, as in the original."""
    response = Response(text, status)
    response.headers["Content-Type"] = "text/html"
    return response


def add_pages(app: QuartTrio, admin: Admin, pages: Pages) -> None:
    """Route all pages below the base path."""
    base = admin.options.base_path.rstrip("/")

    async def show(**names: Any) -> Response:
        if not wants_page(request):
            return html(pages.renderer.plain("shell.html", **shell_values(admin)))
        await admin.collector.fresh()
        path = request.path[len(base) :] or "/"
        span = request.cookies.get(GRAPH_COOKIE, "")
        view = pages.view(g.principal, path, request.args.to_dict(), graph_span=span)
        try:
            page = pages.make(view)
        except NoSuchPage as error:
            return pages.error(view, 404, "Not found", str(error))
        response = html(pages.renderer.page(view, page))
        if view.arguments.get("t") in SPANS:
            base_path = admin.options.base_path
            response.set_cookie(
                GRAPH_COOKIE, view.arguments["t"], max_age=_YEAR, samesite="Lax", path=base_path
            )
        return response

    for index, page in enumerate(PAGES):
        whole = base if page.rule == "/" and base else base + page.rule
        app.add_url_rule(whole, f"page_{index}", show, methods=["GET"])


def shell_values(admin: Admin) -> dict[str, Any]:
    """What the page for scripts shows: where the API is, and the settings of Graphite.

    Where that is is nobody's business if it is proxied: its URL may carry a password.
    """
    options = admin.options
    return {
        "base": options.base_path.rstrip("/"),
        "graphite_url": "" if options.proxy_graphite else options.graphite_url,
        "statsd_prefix": options.statsd_prefix,
        "statsd_counter_format": options.statsd_counter_format,
        "statsd_gauge_format": options.statsd_gauge_format,
        "statsd_interval": int(options.statsd_interval),
    }
