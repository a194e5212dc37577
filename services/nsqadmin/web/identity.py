"""Who sends a request: found once, and kept in Quart's ``g.principal``."""

from collections.abc import Callable

import attrs
from quart import Request

from nsqadmin.admin import Admin
from nsqadmin.auth.peers import Peer, find_peer
from nsqadmin.auth.principals import Principal, basic_credentials, header_principal

SESSION_COOKIE, FORM_COOKIE = "nsqadmin_session", "nsqadmin_form"


@attrs.define(eq=False)
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
        if logins is None:
            return header_principal(peer, request.headers, self.admin.options)
        nobody = Principal("", None, peer.address, peer.scheme, peer.host)
        token = request.cookies.get(SESSION_COOKIE, "")
        if principal := self.session_principal(token, nobody):
            return principal
        credentials = basic_credentials(request.headers.get("Authorization", ""))
        if credentials is None:
            return nobody
        account = await logins.log_in(*credentials, peer.ip)
        if account is None:
            return nobody
        return attrs.evolve(nobody, user=account.name, role=account.role)

    def session_principal(self, token: str, nobody: Principal) -> Principal | None:
        """The user of a session, with the role that the file gives now."""
        session = self.admin.sessions.find(token, now=self.admin.now())
        account = self.admin.accounts.get(session.user) if self.admin.accounts and session else None
        if account is None or session is None or account.hash != session.hash:
            return None
        return attrs.evolve(nobody, user=account.name, role=account.role)

    def authorization_check(self, request: Request, principal: Principal) -> Callable[[], bool]:
        """A function that says whether ``principal`` may still see what was asked for."""
        accounts = self.admin.accounts
        if accounts is None:
            return lambda: True
        token = request.cookies.get(SESSION_COOKIE, "")
        in_session = self.session_principal(token, principal) is not None
        account = accounts.get(principal.user)

        def is_authorized() -> bool:
            if in_session and self.session_principal(token, principal) is None:
                return False
            return accounts.get(principal.user) == account

        return is_authorized


def client_of(request: Request) -> tuple[str, int] | None:
    """Address and port of the connection a request came on."""
    client = request.scope.get("client")
    return (client[0], int(client[1] or 0)) if client and client[0] else None
