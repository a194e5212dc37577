"""The web application: all routes, and what happens before and after each request.

Before: who sends it, and whether it comes from another site. After: security headers and
compression. Errors are JSON for scripts and pages for browsers; an error nobody expected is logged
with its traceback and told as INTERNAL_ERROR.
"""

import logging
from urllib.parse import quote

from quart import Response, g, redirect, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as Redirect

from nsqadmin.api.cluster import make_api
from nsqadmin.api.config import make_config_api
from nsqadmin.api.graphite import add_graphite
from nsqadmin.api.operations import OPEN, add_operations
from nsqadmin.auth.peers import check_headers
from nsqadmin.auth.principals import Principal
from nsqadmin.auth.refused import Refused
from nsqadmin.core.admin import Admin
from nsqadmin.language.spoken import N_, speak
from nsqadmin.language.spoken import gettext as _
from nsqadmin.web.browse.acting import add_acting
from nsqadmin.web.browse.messages import add_messages
from nsqadmin.web.browse.redriving import add_redriving
from nsqadmin.web.browse.reloads import led_to
from nsqadmin.web.browse.tailing import add_tailing
from nsqadmin.web.events import add_events
from nsqadmin.web.forms import add_forms
from nsqadmin.web.headers import add_security, compress, content_policy
from nsqadmin.web.identity import Identity
from nsqadmin.web.login import add_login
from nsqadmin.web.oidc import add_oidc
from nsqadmin.web.pages import Pages, add_language, add_pages, language_of
from nsqadmin.web.policies import add_policies
from nsqadmin.web.requests import check_origin, check_target, raw_target, respond, wants_page
from nsqadmin.web.sessions import add_sessions
from nsqadmin.web.static import add_static

logger = logging.getLogger(__name__)

# As in the original for /config; forms and actions are far smaller.
MAX_BODY = 1024 * 1024
# Open without a login: how supervisors look after us, and what the login page is made of.
_OPEN = ("/ping", "/static/", "/fonts/", "/login", "/language", *OPEN)
_TITLES = {
    403: N_("Not allowed"),
    404: N_("Not found"),
    502: N_("The cluster does not answer"),
}
_OTHER_TITLE = N_("This did not work")
# What the API's words mean, for people.
_WORDS = {
    "FORBIDDEN": N_("You may not do this, or the form was not sent from a page of this nsqadmin."),
    "NOT_FOUND": N_("There is no such page."),
    "INTERNAL_ERROR": N_("Something went wrong inside nsqadmin. Its log says more."),
}


def make_app(admin: Admin) -> QuartTrio:
    """The application of ``admin``."""
    app = QuartTrio("nsqadmin", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.url_map.strict_slashes = True
    app.url_map.merge_slashes = False
    pages, identity = Pages(admin), Identity(admin)
    base = admin.options.base_path.rstrip("/")

    @app.get(f"{base}/ping")
    async def ping() -> Response:
        return Response("OK", content_type="text/plain; charset=utf-8")

    app.register_blueprint(make_api(admin), url_prefix=f"{base}/api")
    app.register_blueprint(make_config_api(admin), url_prefix=f"{base}/config")
    add_operations(app, admin)
    add_graphite(app, admin)
    add_static(app, admin)
    add_language(app, admin)
    add_events(app, admin, pages, identity)
    add_forms(app, admin, pages)
    add_messages(app, admin, pages)
    add_acting(app, admin, pages)
    add_redriving(app, admin, pages)
    add_tailing(app, admin, pages, identity)
    add_policies(app, admin, pages)
    if admin.asks_login:
        add_login(app, admin, pages, admin.logins)
        add_sessions(app, admin, pages)
    if admin.oidc is not None:
        add_oidc(app, admin, pages, admin.oidc)
    add_pages(app, admin, pages)
    _add_frame(app, admin, identity)
    _add_errors(app, admin, pages)
    return app


def _add_frame(app: QuartTrio, admin: Admin, identity: Identity) -> None:
    base = admin.options.base_path.rstrip("/")

    def policy() -> str:
        return content_policy(admin.options, admin.oidc.end_origin if admin.oidc else "")

    @app.before_request
    async def enter() -> Response | Redirect | None:
        speak(language_of(request))
        check_headers(request.headers, admin.options)
        g.peer = identity.peer(request)
        nobody = Principal("", None, g.peer.address, g.peer.scheme, g.peer.host)
        g.principal = nobody
        check_target(request, g.peer, admin.options)
        check_origin(request, g.peer)
        path = request.path[len(base) :] if request.path.startswith(base) else request.path
        is_open = path.startswith(_OPEN)
        if is_open and path != "/login":
            return _elsewhere(base, path)
        g.principal = await identity.principal(request, g.peer)
        if g.principal.role is not None:
            return _elsewhere(base, path)
        if is_open:
            return None
        if wants_page(request):
            if request.method not in ("GET", "HEAD"):  # a form, which nobody can be led back to
                return redirect(f"{base}/login", 303)
            asked = quote(raw_target(request), safe="")
            return redirect(f"{base}/login?next={asked}", 303)
        response = respond("UNAUTHORIZED", 401)
        response.headers["WWW-Authenticate"] = 'Basic realm="nsqadmin"'
        return response

    @app.after_request
    async def leave(response: Response) -> Response:
        add_security(
            response, policy(), secure=g.get("principal") and g.principal.scheme == "https"
        )
        await compress(request, response)
        logger.debug(
            "http(%s): %d %s %s", g.principal.address if "principal" in g else "-",
            response.status_code, request.method, request.path,
        )  # fmt: skip
        return response


def _elsewhere(base: str, path: str) -> Redirect | None:
    """Lead a person who asks for the address of a form to a page."""
    if request.method not in ("GET", "HEAD") or not wants_page(request):
        return None
    instead = led_to(path, request.args)
    return None if instead is None else redirect(f"{base}{instead}" or "/", 303)


def _add_errors(app: QuartTrio, admin: Admin, pages: Pages) -> None:
    base = admin.options.base_path.rstrip("/")

    def tell(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
        is_api = request.path.startswith((f"{base}/api/", f"{base}/config/"))
        if is_api or not wants_page(request) or "principal" not in g or g.principal.role is None:
            response = respond(message, status)
        else:
            view = pages.view(g.principal, "/", {})
            title = _(_TITLES.get(status, _OTHER_TITLE))
            text = _(_WORDS[message]) if message in _WORDS else message
            response = pages.error(view, status, title, text)
        response.headers.update(headers or {})
        return response

    @app.errorhandler(Refused)
    async def refused(error: Refused) -> Response:
        headers = {"Retry-After": str(error.retry_after)} if error.retry_after else None
        return tell(error.status, str(error), headers)

    @app.errorhandler(HTTPException)
    async def http_error(error: HTTPException) -> Response | Redirect:
        status = error.code or 500
        if status == 404 and (meant := _without_slash(app)):
            return redirect(meant, 301 if request.method in ("GET", "HEAD") else 307)
        named = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED", 413: "INVALID_VALUE"}
        message = named.get(status) or (error.name or "INTERNAL_ERROR").upper().replace(" ", "_")
        allowed = getattr(error, "valid_methods", None) if status == 405 else None
        return tell(status, message, {"Allow": ", ".join(sorted(allowed))} if allowed else None)

    @app.errorhandler(Exception)
    async def crashed(error: Exception) -> Response:
        logger.error("http: %s %s crashed", request.method, request.path, exc_info=error)
        return tell(500, "INTERNAL_ERROR")


def _without_slash(app: QuartTrio) -> str:
    """The URL that was meant by one with a slash too many at its end; empty if there is none."""
    path = request.path.rstrip("/")
    try:
        app.url_map.bind("").match(path, method=request.method)
    except HTTPException:
        return ""
    query = request.query_string.decode("latin-1")
    return quote(path, safe="/$&+,:;=@") + (f"?{query}" if query else "")
