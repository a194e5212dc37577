"""Logins under way, each for one browser and one use.

``state`` names one, and a cookie says whose browser it was begun in: an answer that was made in
another browser, or comes a second time, is refused (RFC 6749, 10.12).
"""

import hmac
import secrets
from collections import OrderedDict

from nsqadmin.auth.oidc.provider import Flow, OidcError
from nsqcore.classes import define, field, frozen
from nsqcore.units import SECOND

# Whoever takes longer to prove themselves at the provider begins anew.
LIFETIME = 600 * SECOND
MAX_FLOWS = 2000  # the oldest give way
# Of one network, whose own oldest give way: it cannot push out everybody else's.
PER_NETWORK = 200


@frozen
class _Entry:
    flow: Flow
    browser: str
    expires: int
    network: str


@define(eq=False, repr=False)
class Flows:
    """All of this process. ``now`` is the monotonic clock in nanoseconds."""

    _entries: OrderedDict[str, _Entry] = field(factory=OrderedDict, repr=False)

    def open(
        self, browser: str, redirect_uri: str, following: str, *, now: int, network: str = ""
    ) -> tuple[str, Flow]:
        """A new login of ``browser``, which is in ``network``: its state and itself."""
        state = secrets.token_urlsafe(32)
        flow = Flow(secrets.token_urlsafe(32), secrets.token_urlsafe(48), redirect_uri, following)
        theirs = [key for key, entry in self._entries.items() if entry.network == network]
        if len(theirs) >= PER_NETWORK:
            del self._entries[theirs[0]]
        self._entries[state] = _Entry(flow, browser, now + LIFETIME, network)
        while len(self._entries) > MAX_FLOWS:
            self._entries.popitem(last=False)
        return state, flow

    def take(self, state: str, browser: str, *, now: int) -> Flow:
        """The login that ``state`` names; there is none after that.

        Raises:
            OidcError: it is unknown, over, or was begun in another browser.
        """
        entry = self._entries.pop(state, None)
        if entry is None or entry.expires <= now:
            raise OidcError("this login is over, or was never begun here")
        if not browser or not hmac.compare_digest(entry.browser.encode(), browser.encode()):
            raise OidcError("this login was begun in another browser")
        return entry.flow
