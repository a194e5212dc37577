"""Logins by one provider: begun, finished, and what they come to here."""

from collections.abc import Mapping, Sequence

from nsqadmin.auth.accounts import RoleOnTopics
from nsqadmin.auth.oidc.flows import Flows
from nsqadmin.auth.oidc.provider import OidcError, Provider
from nsqadmin.auth.oidc.roles import grants_of
from nsqadmin.auth.throttle import network_of
from nsqcore.classes import define, field, frozen

CALLBACK = "/login/oidc/callback"
_LONGEST_NAME = 128


@frozen
class Identified:
    """Who somebody is, what they may do, and where they wanted to go."""

    user: str
    subject: str
    grants: tuple[RoleOnTopics, ...]
    following: str
    id_token: str = field(repr=False)


@define(eq=False, repr=False)
class OidcLogin:
    """The logins of this process by ``provider``."""

    provider: Provider
    roles: Sequence[tuple[str, RoleOnTopics]]
    user_claim: str
    groups_claim: str
    redirect_url: str = ""
    #: Whether logging out here logs out at the provider, too.
    ends_logins: bool = True
    flows: Flows = field(factory=Flows)

    @property
    def issuer(self) -> str:
        """The provider's name."""
        return self.provider.issuer

    async def begin(
        self, browser: str, back: str, following: str, *, now: int, address: str = ""
    ) -> str:
        """Where to send ``browser``, which comes back to ``back``. Raises OidcError."""
        target, network = self.redirect_url or back, network_of(address)
        state, flow = self.flows.open(browser, target, following, now=now, network=network)
        return await self.provider.begin(flow, state)

    async def finish(self, browser: str, answer: Mapping[str, str], *, now: int) -> Identified:
        """Who is back in ``browser``, with the provider's ``answer``, the query of its URL.

        Raises:
            OidcError: nobody who has logged in there for us, in this browser, just now.
        """
        flow = self.flows.take(answer.get("state", ""), browser, now=now)
        if answer.get("iss", self.issuer) != self.issuer:
            raise OidcError("the answer is of another issuer")
        if "error" in answer:
            raise OidcError(f"the provider says {answer['error']}")
        redeemed = await self.provider.redeem(flow, answer.get("code", ""))
        claims = redeemed.claims
        named = claims.get(self.user_claim)
        user = named if isinstance(named, str) and named.isprintable() and named else claims["sub"]
        grants = grants_of(claims, self.groups_claim, self.roles)
        return Identified(
            user[:_LONGEST_NAME], claims["sub"], grants, flow.following, redeemed.token
        )

    async def end(self, id_token: str, back: str) -> str:
        """Where to send a browser to log out at the provider, which leads it ``back``.

        Empty where the provider knows of no logging out, or is to be left alone.

        Raises:
            OidcError: the provider cannot be asked.
        """
        if not self.ends_logins:
            return ""
        known = self.redirect_url.removesuffix(CALLBACK)
        return await self.provider.end(
            id_token, f"{known}/login" if known != self.redirect_url else back
        )

    @property
    def end_origin(self) -> str:
        """The site that a browser is sent to when somebody logs out; empty for none."""
        return self.provider.end_origin if self.ends_logins else ""
