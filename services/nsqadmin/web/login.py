"""Logging in and out, where there is an ``--auth-file``.

The form is protected like those of actions. Where it leads back to is a path of ours, never another
site.
"""

import logging

from quart import Response, g, redirect, request
from quart_trio import QuartTrio
from werkzeug.wrappers import Response as Redirect

from nsqadmin.admin import Admin
from nsqadmin.auth.logins import Logins
from nsqadmin.drawing.formats import seconds
from nsqadmin.errors import Refused
from nsqadmin.web.forms import token_fits, with_token
from nsqadmin.web.identity import SESSION_COOKIE
from nsqadmin.web.pages import Pages, html

logger = logging.getLogger(__name__)

_TOO_MANY = "Too many wrong passwords. Try again in {}."


def add_login(app: QuartTrio, admin: Admin, pages: Pages, logins: Logins) -> None:
    """Route ``/login`` and ``/logout``."""
    base = admin.options.base_path.rstrip("/")

    @app.get(f"{base}/login")
    async def login() -> Response | Redirect:
        if g.principal.role is not None:
            return redirect(local_path(request.args.get("next", ""), base), 303)
        return _form(admin, pages, request.args.get("next", ""))

    @app.post(f"{base}/login")
    async def log_in() -> Response | Redirect:
        form = await request.form
        following = form.get("next", "")
        if not token_fits(admin, form.get("token", "")):
            return _form(admin, pages, following, "The form was too old. Try again.")
        try:
            account = await logins.log_in(form.get("user", ""), form.get("password", ""), g.peer.ip)
        except Refused as error:
            wait = seconds(error.retry_after)
            refusal = _form(admin, pages, following, _TOO_MANY.format(wait), error.status)
            refusal.headers["Retry-After"] = str(error.retry_after)
            return refusal
        if account is None:
            return _form(admin, pages, following, "Wrong name or password.", 403)
        logger.info("user(%s): logged in from %s", account.name, g.principal.address)
        token = admin.sessions.open(account, now=admin.now())
        response = redirect(local_path(following, base), 303)
        response.set_cookie(
            SESSION_COOKIE, token, httponly=True, samesite="Lax", path=admin.options.base_path,
            secure=g.principal.scheme == "https", max_age=int(admin.options.session_lifetime),
        )  # fmt: skip
        return response

    @app.post(f"{base}/logout")
    async def log_out() -> Redirect:
        admin.sessions.close(request.cookies.get(SESSION_COOKIE, ""))
        logger.info("user(%s): logged out from %s", g.principal.user, g.principal.address)
        response = redirect(f"{base}/login", 303)
        response.delete_cookie(SESSION_COOKIE, path=admin.options.base_path)
        return response


def local_path(path: str, base: str) -> str:
    """``path`` if it is one of ours, else the first page."""
    home = base or "/"
    # Two slashes, or a backslash that browsers take for one, would be another host.
    if not path.startswith("/") or path.startswith("//") or "\\" in path or not path.isprintable():
        return home
    return path if path == base or path.startswith(base + "/") else home


def _form(
    admin: Admin, pages: Pages, following: str, error: str = "", status: int = 200
) -> Response:
    def render(token: str) -> Response:
        values = {"token": token, "next": following, "error": error}
        base = admin.options.base_path.rstrip("/")
        return html(pages.renderer.plain("login.html", base=base, **values), status)

    return with_token(admin, render)
