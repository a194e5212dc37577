"""Logins: sessions in memory, tokens against forged forms, and a brake on guessing.

A session is known by the hash of its token alone, so that a memory dump shows no usable cookie.
Restarting nsqadmin logs everybody out. All functions take ``now`` in nanoseconds of the monotonic
clock.
"""

import hashlib
import hmac
import secrets
from collections import OrderedDict

import attrs

from nsqadmin.auth.accounts import Account
from nsqcore.units import SECOND

# People, not machines, log in here: this many at once is far beyond any team. The oldest give way.
MAX_SESSIONS = 10_000
# Ten wrong passwords in five minutes from one address: no typist, but a proxy's users may share
# one.
MAX_FAILURES, FAILURE_WINDOW = 10, 300 * SECOND


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
    _failures: OrderedDict[str, list[int]] = attrs.field(factory=OrderedDict, repr=False)
    _secret: bytes = attrs.field(factory=lambda: secrets.token_bytes(32), repr=False)

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

    def form_token(self, seed: str) -> str:
        """What a form has to carry for a browser whose cookie holds ``seed``."""
        return hmac.new(self._secret, seed.encode(), hashlib.sha256).hexdigest()

    def form_token_fits(self, seed: str, token: str) -> bool:
        """Whether ``token`` came out of `form_token` for ``seed``."""
        return bool(seed) and hmac.compare_digest(self.form_token(seed).encode(), token.encode())

    def failed(self, address: str, *, now: int) -> None:
        """Remember a wrong password from ``address``."""
        self._failures.setdefault(address, []).append(now)
        self._failures.move_to_end(address)
        while len(self._failures) > MAX_SESSIONS:
            self._failures.popitem(last=False)

    def is_locked(self, address: str, *, now: int) -> bool:
        """Whether ``address`` has guessed too often of late."""
        recent = [at for at in self._failures.get(address, ()) if at > now - FAILURE_WINDOW]
        if recent:
            self._failures[address] = recent
        else:
            self._failures.pop(address, None)
        return len(recent) >= MAX_FAILURES


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
