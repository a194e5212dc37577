"""Bearer tokens that this nsqd's auth servers, or its ACL file, know as secrets of clients.

What may be published may be posted to /pub and /mpub; what may be subscribed to may be looked at.
Nothing else can be granted there. An answer is kept for as long as it says.
"""

from collections.abc import Awaitable, Callable

import trio

from nsqcore import addresses
from nsqcore.access.roles import Role
from nsqcore.access.tokens import hash_token
from nsqcore.classes import Factory, define, frozen
from nsqcore.http.request import Request
from nsqcore.http.responses import HttpError
from nsqcore.names import is_valid_name
from nsqcore.units import SECOND
from nsqd.client.auth import AuthQuestion, AuthRefused
from nsqd.client.authorities import Authorities
from nsqd.client.permissions import PUBLISH, SUBSCRIBE, Permissions

# Questions under way, and answers kept.
MAX_QUESTIONS = 16
MAX_KEPT = 1000
# For how long a refusal is kept, in ns: who tries again and again asks no server each time.
REFUSED_FOR = SECOND

_PERMISSIONS = {Role.PUBLISH: PUBLISH, Role.READ: SUBSCRIBE}


@frozen
class PermissionsGrant:
    """What ``permissions`` allow over HTTP."""

    name: str
    permissions: Permissions

    def missing(self, role: Role, topic: str | None, channel: str) -> str:
        """As `nsqcore.access.roles.Grant.missing`."""
        permission = _PERMISSIONS.get(role)
        held = any(permission in each.allowed for each in self.permissions.authorizations)
        if permission is None or not held:
            return f"role {role.value}"
        if topic == "":
            return ""
        if topic is None or not is_valid_name(topic):
            return "all topics"
        if role is Role.PUBLISH:
            channel = ""
        if channel and not is_valid_name(channel):
            return "the channel"
        if self.permissions.allow(topic, channel, permission):
            return ""
        return f"topic {topic}" + (f", channel {channel}" if channel else "")


@define(eq=False, repr=False)
class HttpTokens:
    """What ``authorities`` say of tokens; ``now`` is the monotonic clock in ns."""

    authorities: Authorities
    now: Callable[[], int]
    _kept: dict[str, tuple[int, PermissionsGrant | None]] = Factory(dict)
    _questions: trio.CapacityLimiter | None = None

    def find(
        self, token: bytes, request: Request
    ) -> PermissionsGrant | Callable[[], Awaitable[PermissionsGrant | None]] | None:
        """Whose ``token`` is; what asks for it where that is not known at once."""
        if not self.authorities.are_there:
            return None
        peer = request.peer
        names = peer.names()
        question = AuthQuestion(
            token,
            "" if peer.is_unix else addresses.host_of(peer.address),
            peer.address,
            peer.encrypted,
            next((name.removeprefix("cn:") for name in names if name.startswith("cn:")), ""),
            names,
        )
        known = self.authorities.known(question)
        if known is not None:
            return _grant(known)
        if not self.authorities.servers.settings.addresses:
            return None
        # after a SIGHUP they are asked anew
        parts = self.authorities.reloads, hash_token(token), question.host, question.tls
        key = f"{parts} {question.common_name}"
        kept = self._kept.get(key)
        if kept is not None and kept[0] > self.now():
            return kept[1]
        return lambda: self._ask(key, question)

    async def _ask(self, key: str, question: AuthQuestion) -> PermissionsGrant | None:
        if self._questions is None:
            self._questions = trio.CapacityLimiter(MAX_QUESTIONS)
        async with self._questions:
            try:
                permissions = await self.authorities.servers.permissions(question)
            except AuthRefused as error:
                answered = error.answered
            else:
                grant = _grant(permissions)
                self._keep(key, permissions.expires, grant)
                return grant
        if not answered:
            raise HttpError(503, "AUTH_UNAVAILABLE", detail="no auth server answers")
        self._keep(key, self.now() + REFUSED_FOR, None)
        return None

    def _keep(self, key: str, until: int, grant: PermissionsGrant | None) -> None:
        if len(self._kept) >= MAX_KEPT:
            now = self.now()
            self._kept = {k: v for k, v in self._kept.items() if v[0] > now and v[1] is not None}
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
        self._kept[key] = (until, grant)


def _grant(permissions: Permissions) -> PermissionsGrant:
    return PermissionsGrant(permissions.identity or "a client of the auth server", permissions)
