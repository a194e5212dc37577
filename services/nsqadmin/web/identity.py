"""Who sends a request: found once, and kept in Quart's ``g.principal``."""

from collections.abc import Callable

import attrs
from quart import Request

from nsqadmin.auth.accounts import Account
from nsqadmin.auth.peers import Peer, find_peer
from nsqadmin.auth.principals import Principal, basic_credentials, header_principal
from nsqadmin.core.admin import Admin
from nsqadmin.core.audit import FAILED, audit
from nsqcore.classes import define

SESSION_COOKIE, FORM_COOKIE = "nsqadmin_session", "nsqadmin_form"


@define(eq=False, repr=False)
class Identity:
    """Finds out who sends a request."""

    admin: Admin

    def peer(self, request: Request) -> Peer:
        """The other end of the request's connection."""
        client = client_of(request)
        return find_peer(client, request.scheme, request.headers, self.admin.options)

    async def principal(self, request: Request, peer: Peer) -> Principal:
        """The user behind a request.

        Raises:
            Refused: 400, a header that has one value has two; 429, 503, see `Logins.log_in`.
        """
        logins = self.admin.logins
        if not self.admin.asks_login:
            return header_principal(peer, request.headers, self.admin.options)
        nobody = Principal("", None, peer.address, peer.scheme, peer.host)
        token = request.cookies.get(SESSION_COOKIE, "")
        if principal := self.session_principal(token, nobody):
            return principal
        credentials = basic_credentials(request.headers.get("Authorization", ""))
        if credentials is None or logins is None:
            return nobody
        account = await logins.log_in(*credentials, peer.ip)
        if account is None:
            named = attrs.evolve(nobody, user=credentials[0])
            audit("login", FAILED, named, detail="wrong name or password")
            return nobody
        return _as(nobody, account)

    def session_principal(self, token: str, nobody: Principal) -> Principal | None:
        """The user of a session, with the role that the file gives now."""
        session = self.admin.sessions.find(token, now=self.admin.now())
        if session is not None and session.grants is not None:
            role = max(grant.role for grant in session.grants)
            return attrs.evolve(nobody, user=session.user, role=role, grants=session.grants)
        account = self.admin.accounts.get(session.user) if self.admin.accounts and session else None
        if account is None or session is None or account.hash != session.hash:
            return None
        return _as(nobody, account)

    def authorization_check(self, request: Request, principal: Principal) -> Callable[[], bool]:
        """A function that says whether ``principal`` may still see what was asked for."""
        if not self.admin.asks_login:
            return lambda: True
        accounts = self.admin.accounts
        token = request.cookies.get(SESSION_COOKIE, "")
        in_session = self.session_principal(token, principal) is not None
        account = accounts.get(principal.user) if accounts and not in_session else None

        def is_authorized() -> bool:
            if in_session:
                found = self.session_principal(token, principal)
                return found is not None and found.grants == principal.grants
            return accounts is not None and accounts.get(principal.user) == account

        return is_authorized


def _as(nobody: Principal, account: Account) -> Principal:
    return attrs.evolve(nobody, user=account.name, role=account.role, grants=account.grants)


def client_of(request: Request) -> tuple[str, int] | None:
    """Address and port of the connection a request came on."""
    client = request.scope.get("client")
    return (client[0], int(client[1] or 0)) if client and client[0] else None
