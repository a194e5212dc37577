"""The page of who is logged in, for admins: since when, from where; and ending a session.

Sessions are kept by the server, so that one that was ended opens nothing from then on, nor goes on
with a stream.
"""

from quart import Response, g, redirect, request
from quart_trio import QuartTrio
from werkzeug.wrappers import Response as Redirect

from nsqadmin.auth.refused import Refused
from nsqadmin.core.admin import Admin
from nsqadmin.core.audit import DONE, REFUSED, audit
from nsqadmin.language.spoken import gettext as _
from nsqadmin.pages.frame.view import Page
from nsqadmin.web.forms import form_page, posted_form
from nsqadmin.web.identity import SESSION_COOKIE
from nsqadmin.web.pages import Pages, html
from nsqcore.units import SECOND

# Rows: more people at once are no team.
_MOST = 500
_LONGEST_ID = 32


def add_sessions(app: QuartTrio, admin: Admin, pages: Pages) -> None:
    """Route ``/sessions`` and what ends one."""
    base = admin.options.base_path.rstrip("/")

    @app.get(f"{base}/sessions")
    async def sessions_page() -> Response:
        _allow()
        now = admin.now()
        own = admin.sessions.find(request.cookies.get(SESSION_COOKIE, ""), now=now)
        found = admin.sessions.all(now=now)
        values = {
            "sessions": found[:_MOST],
            "total": len(found),
            "own": own.id if own else "",
            "left": {item.id: (item.expires - now) / SECOND for item in found[:_MOST]},
        }
        view = pages.view(g.principal, "/sessions", {})
        page = Page("sessions.html", _("Sessions"), "sessions", values, updates=False)
        response = html(pages.renderer.page(view, page))
        response.headers["Cache-Control"] = "no-store"
        return response

    @app.get(f"{base}/sessions/end")
    async def ask_end() -> Response:
        _allow()
        id = request.args.get("id", "")[:_LONGEST_ID]
        found = next((item for item in admin.sessions.all(now=admin.now()) if item.id == id), None)
        if found is None:
            raise Refused(404, _("There is no such session any more."))
        view = pages.view(g.principal, "/", {})

        values = {"session": found}
        page = Page("session_end.html", _("End a session of %(user)s", user=found.user), "", values)
        return form_page(admin, pages, view, page)

    @app.post(f"{base}/sessions/end")
    async def end_session() -> Redirect:
        form = await posted_form(admin)
        _allow()
        ended = admin.sessions.end(form.get("id", ""))
        if ended is not None:
            audit("end_session", DONE, g.principal, detail=f"of {ended.user} from {ended.address}")
        return redirect(f"{base}/sessions", 303)


def _allow() -> None:
    """Raises Refused."""
    if not g.principal.may("end_session"):
        audit("end_session", REFUSED, g.principal)
        raise Refused(403, "FORBIDDEN")
