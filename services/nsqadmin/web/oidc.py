"""Logging in by an OpenID Connect provider: to it, and back with a code.

Where it leads back to is ``--oidc-redirect-url``, or what this request's host says. Both steps are
links, so that the cookie which binds them to one browser is ``SameSite=Lax``.
"""

import logging
import secrets

import attrs
from quart import Response, g, redirect, request
from quart_trio import QuartTrio
from werkzeug.wrappers import Response as Redirect

from nsqadmin.auth.accounts import Account
from nsqadmin.auth.oidc.login import CALLBACK, OidcLogin
from nsqadmin.auth.oidc.provider import OidcError
from nsqadmin.core.admin import Admin
from nsqadmin.core.audit import DONE, FAILED, audit
from nsqadmin.language.spoken import gettext as _
from nsqadmin.web.login import enter_session, login_form
from nsqadmin.web.pages import Pages
from nsqadmin.web.requests import local_path
from nsqcore.redaction import redact

logger = logging.getLogger(__name__)

BROWSER_COOKIE = "nsqadmin_oidc"
_LONGEST = 300


def add_oidc(app: QuartTrio, admin: Admin, pages: Pages, oidc: OidcLogin) -> None:
    """Route ``/login/oidc`` and ``/login/oidc/callback``."""
    base = admin.options.base_path.rstrip("/")

    def refuse(following: str, reason: str, user: str = "") -> Response:
        shown = redact(reason)[:_LONGEST]
        logger.warning("oidc(%s): refused a login from %s: %s", oidc.issuer, g.peer.address, shown)
        audit("login", FAILED, attrs.evolve(g.principal, user=user), detail=f"OpenID: {shown}")
        return login_form(admin, pages, following, _("Not logged in: %(why)s.", why=shown), 403)

    @app.get(f"{base}/login/oidc")
    async def begin_oidc() -> Response | Redirect:
        following = request.args.get("next", "")
        browser = request.cookies.get(BROWSER_COOKIE, "") or secrets.token_urlsafe(24)
        back = f"{g.peer.scheme}://{g.peer.host}{base}{CALLBACK}"
        try:
            url = await oidc.begin(browser, back, following, now=admin.now(), address=g.peer.ip)
        except OidcError as error:
            return refuse(following, str(error))
        response = redirect(url, 303)
        response.headers["Cache-Control"] = "no-store"
        response.set_cookie(
            BROWSER_COOKIE, browser, httponly=True, samesite="Lax", path=f"{base}/login",
            secure=g.peer.scheme == "https",
        )  # fmt: skip
        return response

    @app.get(f"{base}{CALLBACK}")
    async def end_oidc() -> Response | Redirect:
        browser = request.cookies.get(BROWSER_COOKIE, "")
        try:
            found = await oidc.finish(browser, request.args, now=admin.now())
        except OidcError as error:
            return refuse("", str(error))
        if not found.grants:
            return refuse("", f"{found.user} is in no group that has a role here", found.user)
        role = max(grant.role for grant in found.grants)
        logger.info("user(%s): logged in by OpenID from %s", found.user, g.peer.address)
        principal = attrs.evolve(g.principal, user=found.user, role=role)
        audit("login", DONE, principal, detail=f"OpenID, subject {found.subject}")
        account = Account(found.user, role, "")
        response = redirect(local_path(found.following, base), 303)
        enter_session(admin, account, response, grants=found.grants, id_token=found.id_token)
        return response
