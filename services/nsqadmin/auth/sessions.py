"""The sessions of who has logged in, in memory.

A session is known by the hash of its token alone, so that a memory dump shows no usable cookie.
Restarting nsqadmin logs everybody out, and logging out ends a session for whoever has its cookie,
which a signed cookie alone could not do. All functions take ``now`` in nanoseconds of the monotonic
clock.
"""

import hashlib
import secrets
from collections import OrderedDict

from nsqadmin.auth.accounts import Account, RoleOnTopics
from nsqcore.classes import define, field, frozen
from nsqcore.units import SECOND

# People, not machines, log in here: this many at once is far beyond any team. The oldest give way.
MAX_SESSIONS = 10_000
_LONGEST_AGENT = 200


@frozen
class LoginSession:
    """A user who has logged in; over as soon as the password is another."""

    user: str
    expires: int
    hash: str = field(repr=False)
    #: A name that opens nothing, for people.
    id: str = ""
    opened: int = 0  # Unix time in ns
    address: str = ""
    user_agent: str = ""
    #: What somebody may do whom no account stands for: a provider has said who they are.
    grants: tuple[RoleOnTopics, ...] | None = None
    #: What a provider has said it with: it wants to see that when somebody logs out.
    id_token: str = field(default="", repr=False)


@define
class LoginSessions:
    """All sessions of this process."""

    lifetime: float  # seconds
    _sessions: OrderedDict[bytes, LoginSession] = field(factory=OrderedDict, repr=False)

    def open(
        self,
        account: Account,
        *,
        now: int,
        wall: int = 0,
        address: str = "",
        user_agent: str = "",
        grants: tuple[RoleOnTopics, ...] | None = None,
        id_token: str = "",
    ) -> str:
        """The token of a new session; ``wall`` is Unix time in nanoseconds."""
        token = secrets.token_urlsafe(32)
        self._sessions[_digest(token)] = LoginSession(
            user=account.name,
            expires=now + int(self.lifetime * SECOND),
            hash=account.hash,
            id=secrets.token_hex(8),
            opened=wall,
            address=address,
            user_agent=user_agent[:_LONGEST_AGENT],
            grants=grants,
            id_token=id_token,
        )
        while len(self._sessions) > MAX_SESSIONS:
            self._sessions.popitem(last=False)
        return token

    def find(self, token: str, *, now: int) -> LoginSession | None:
        """The session with this token, unless it has ended."""
        key = _digest(token)
        session = self._sessions.get(key)
        if session and session.expires <= now:
            del self._sessions[key]
            return None
        return session

    def all(self, *, now: int) -> list[LoginSession]:
        """Those that have not ended, the latest first."""
        return [found for found in reversed(self._sessions.values()) if found.expires > now]

    def end(self, id: str) -> LoginSession | None:
        """End the session with this id, whoever has its token; it, if there was one."""
        for key, session in self._sessions.items():
            if session.id == id:
                return self._sessions.pop(key)
        return None

    def close(self, token: str) -> LoginSession | None:
        """End the session with this token; it, if there was one."""
        return self._sessions.pop(_digest(token), None)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
