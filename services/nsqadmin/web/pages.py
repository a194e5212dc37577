"""How pages are found and answered, and in which language.

The same function makes the first answer, and through `nsqadmin.web.events` every live update.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from quart import Request, Response, g, redirect, request
from quart_trio import QuartTrio
from werkzeug.wrappers import Response as Redirect

from nsqadmin.auth.principals import Principal
from nsqadmin.core.admin import Admin
from nsqadmin.drawing.graphite import SPANS
from nsqadmin.language.catalogue import Language, languages
from nsqadmin.language.spoken import gettext as _
from nsqadmin.language.spoken import spoken
from nsqadmin.language.wanted import wanted
from nsqadmin.pages.catalogue import PAGES, find_page
from nsqadmin.pages.frame.render import Renderer
from nsqadmin.pages.frame.view import NoSuchPage, Page, View
from nsqadmin.web.requests import local_path, wants_page
from nsqcore.classes import define, field

# Remembers the span of Graphite's pictures from page to page, as the original does.
GRAPH_COOKIE, _YEAR = "nsqadmin_graph", 365 * 86400
# Remembers the language that was chosen; until then the browser's ``Accept-Language`` decides.
LANGUAGE_COOKIE = "nsqadmin_language"


@define(eq=False, repr=False)
class Pages:
    """Finds and draws pages."""

    admin: Admin
    renderer: Renderer = field(factory=Renderer)

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
            raise NoSuchPage(_("There is no such page."))
        page, names = found
        return page.make(view, **names)

    def error(self, view: View, status: int, title: str, text: str) -> Response:
        """A page that says what went wrong."""
        page = Page("message.html", title, "", {"text": text})
        return html(self.renderer.page(view, page), status)


def html(text: str, status: int = 200) -> Response:
    """An HTML document; its encoding is in its head, as in the original."""
    # a daemon may tell halves of characters in JSON, which no encoding has
    response = Response(text.encode("utf-8", "replace"), status)
    response.headers["Content-Type"] = "text/html"
    response.headers["Content-Language"] = spoken().tag
    response.headers["Vary"] = "Accept-Language, Cookie"
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
            return pages.error(view, 404, _("Not found"), str(error))
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


def language_of(request: Request) -> Language:
    """The language to answer ``request`` in.

    A stream of updates says that of its page, which stays as it is where another tab chooses.
    """
    known = languages()
    said = request.args.get("language", "")
    chosen = said if said in known else request.cookies.get(LANGUAGE_COOKIE, "")
    return known[wanted(chosen, request.headers.get("Accept-Language", ""), known)]


def add_language(app: QuartTrio, admin: Admin) -> None:
    """Route ``/language``, which remembers what was chosen and leads back to where one was."""
    base = admin.options.base_path.rstrip("/")

    @app.post(f"{base}/language")
    async def choose_language() -> Response | Redirect:
        form = await request.form
        response = redirect(_came_from(base), 303)
        if form.get("language", "") in languages():
            response.set_cookie(
                LANGUAGE_COOKIE, form["language"], max_age=_YEAR, samesite="Lax", httponly=True,
                path=admin.options.base_path,
            )  # fmt: skip
        return response


def _came_from(base: str) -> str:
    """The page that the form was on; the first one where a browser does not say it."""
    try:
        parts = urlsplit(request.headers.get("Referer", ""))
    except ValueError:  # brackets that are no address
        return local_path("", base)
    return local_path(f"{parts.path}?{parts.query}" if parts.query else parts.path, base)
