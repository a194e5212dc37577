"""Logging in and out, where there is an ``--auth-file`` or a provider of logins.

The form is protected like those of actions. Where it leads back to is a path of ours, never another
site.
"""

import logging
from collections.abc import Mapping

import attrs
from quart import Response, g, redirect, request
from quart_trio import QuartTrio
from werkzeug.wrappers import Response as Redirect

from nsqadmin.auth.accounts import Account, RoleOnTopics
from nsqadmin.auth.logins import Logins
from nsqadmin.auth.oidc.login import OidcLogin
from nsqadmin.auth.oidc.provider import OidcError
from nsqadmin.auth.principals import Principal
from nsqadmin.auth.refused import Refused
from nsqadmin.auth.sessions import LoginSession
from nsqadmin.core.admin import Admin
from nsqadmin.core.audit import DONE, FAILED, REFUSED, audit
from nsqadmin.drawing.formats import seconds
from nsqadmin.language.spoken import N_
from nsqadmin.language.spoken import gettext as _
from nsqadmin.web.forms import token_fits, with_token
from nsqadmin.web.identity import SESSION_COOKIE
from nsqadmin.web.pages import Pages, html
from nsqadmin.web.requests import local_path
from nsqcore.redaction import redact

logger = logging.getLogger(__name__)

_TOO_MANY = N_("Too many wrong passwords. Try again in %(time)s.")


def add_login(app: QuartTrio, admin: Admin, pages: Pages, logins: Logins | None) -> None:
    """Route ``/login`` and ``/logout``."""
    base = admin.options.base_path.rstrip("/")

    @app.get(f"{base}/login")
    async def login() -> Response | Redirect:
        if g.principal.role is not None:
            return redirect(local_path(request.args.get("next", ""), base), 303)
        return login_form(admin, pages, request.args.get("next", ""))

    @app.post(f"{base}/login")
    async def log_in() -> Response | Redirect:
        if logins is None:
            raise Refused(404, "NOT_FOUND")
        form = await request.form
        following = form.get("next", "")
        if not token_fits(admin, form.get("token", "")):
            return login_form(admin, pages, following, _("The form was too old. Try again."))
        try:
            account = await logins.log_in(form.get("user", ""), form.get("password", ""), g.peer.ip)
        except Refused as error:
            audit("login", REFUSED, _named(g.principal, form), detail=str(error))
            wait = seconds(error.retry_after)
            refusal = login_form(admin, pages, following, _(_TOO_MANY, time=wait), error.status)
            refusal.headers["Retry-After"] = str(error.retry_after)
            return refusal
        if account is None:
            audit("login", FAILED, _named(g.principal, form), detail="wrong name or password")
            return login_form(admin, pages, following, _("Wrong name or password."), 403)
        logger.info("user(%s): logged in from %s", account.name, g.principal.address)
        audit("login", DONE, attrs.evolve(g.principal, user=account.name, role=account.role))
        response = redirect(local_path(following, base), 303)
        enter_session(admin, account, response)
        return response

    @app.post(f"{base}/logout")
    async def log_out() -> Redirect:
        audit("logout", DONE, g.principal)
        ended = admin.sessions.close(request.cookies.get(SESSION_COOKIE, ""))
        logger.info("user(%s): logged out from %s", g.principal.user, g.principal.address)
        response = redirect(await _out_of(admin.oidc, ended, base) or f"{base}/login", 303)
        response.headers["Cache-Control"] = "no-store"
        response.delete_cookie(SESSION_COOKIE, path=admin.options.base_path)
        return response


async def _out_of(oidc: OidcLogin | None, ended: LoginSession | None, base: str) -> str:
    """Where the provider that ``ended`` was opened by has its own session ended; may be empty."""
    if oidc is None or ended is None or not ended.id_token:
        return ""
    try:
        return await oidc.end(ended.id_token, f"{g.peer.scheme}://{g.peer.host}{base}/login")
    except OidcError as error:
        shown = redact(str(error))
        logger.warning("oidc(%s): %s is logged out here only: %s", oidc.issuer, ended.user, shown)
        return ""


def enter_session(
    admin: Admin,
    account: Account,
    response: Redirect,
    *,
    grants: tuple[RoleOnTopics, ...] | None = None,
    id_token: str = "",
) -> None:
    """Open a session of ``account`` for the browser that gets ``response``."""
    token = admin.sessions.open(
        account,
        now=admin.now(),
        wall=admin.wall(),
        address=g.principal.address,
        user_agent=request.headers.get("User-Agent", ""),
        grants=grants,
        id_token=id_token,
    )
    response.set_cookie(
        SESSION_COOKIE, token, httponly=True, samesite="Lax", path=admin.options.base_path,
        secure=g.principal.scheme == "https", max_age=int(admin.options.session_lifetime),
    )  # fmt: skip


def _named(principal: Principal, form: Mapping[str, str]) -> Principal:
    """Who somebody says to be."""
    return attrs.evolve(principal, user=form.get("user", ""))


def login_form(
    admin: Admin, pages: Pages, following: str, error: str = "", status: int = 200
) -> Response:
    """The page to log in on."""

    def render(token: str) -> Response:
        values = {
            "token": token,
            "next": following,
            "error": error,
            "passwords": admin.logins is not None,
            "oidc": admin.oidc is not None,
        }
        base = admin.options.base_path.rstrip("/")
        return html(pages.renderer.plain("login.html", base=base, **values), status)

    return with_token(admin, render)
