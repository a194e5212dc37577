"""The sessions of who has logged in, in memory.

A session is known by the hash of its token alone, so that a memory dump shows no usable cookie.
Restarting nsqadmin logs everybody out, and logging out ends a session for whoever has its cookie,
which a signed cookie alone could not do. All functions take ``now`` in nanoseconds of the monotonic
clock.
"""

import hashlib
import secrets
from collections import OrderedDict

import attrs

from nsqadmin.auth.accounts import Account
from nsqcore.units import SECOND

# People, not machines, log in here: this many at once is far beyond any team. The oldest give way.
MAX_SESSIONS = 10_000


@attrs.frozen
class Session:
    """A user who has logged in; over as soon as the password is another."""

    user: str
    expires: int
    hash: str = attrs.field(repr=False)


@attrs.define
class Sessions:
    """All sessions of this process."""

    lifetime: float  # seconds
    _sessions: OrderedDict[bytes, Session] = attrs.field(factory=OrderedDict, repr=False)

    def open(self, account: Account, *, now: int) -> str:
        """The token of a new session."""
        token = secrets.token_urlsafe(32)
        expires = now + int(self.lifetime * SECOND)
        self._sessions[_digest(token)] = Session(account.name, expires, account.hash)
        while len(self._sessions) > MAX_SESSIONS:
            self._sessions.popitem(last=False)
        return token

    def find(self, token: str, *, now: int) -> Session | None:
        """The session with this token, unless it has ended."""
        key = _digest(token)
        session = self._sessions.get(key)
        if session and session.expires <= now:
            del self._sessions[key]
            return None
        return session

    def close(self, token: str) -> None:
        """End a session."""
        self._sessions.pop(_digest(token), None)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
