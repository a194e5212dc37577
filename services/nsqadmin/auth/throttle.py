"""A brake on guessing passwords. Pure: ``now`` is the monotonic clock in nanoseconds."""

import ipaddress
from collections import OrderedDict

from nsqcore.classes import define, field
from nsqcore.units import SECOND

# Ten wrong passwords in five minutes from one network: no typist, but a proxy's users may share
# one.
MAX_FAILURES, WINDOW = 10, 300 * SECOND
# For one account, from all networks together. Whoever has logged in to it before, from the same
# network, is not locked out by it.
MAX_ACCOUNT_FAILURES = 50
# Networks and names that are remembered; those that failed longest ago give way.
_MAX_KEYS = 10_000
# An IPv6 user has a whole /64 to send from (RFC 6177).
_IPV6_PREFIX = 64


def network_of(address: str) -> str:
    """What an address is counted under: itself, or the /64 of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, _IPV6_PREFIX), strict=False))
    return str(parsed)


@define(eq=False, repr=False)
class LoginThrottle:
    """Failures by key, in a sliding window."""

    limit: int = MAX_FAILURES
    window: int = WINDOW  # ns
    _failures: OrderedDict[str, list[int]] = field(factory=OrderedDict, repr=False)

    def failed(self, key: str, *, now: int) -> None:
        """Remember a failure."""
        failures = self._failures.setdefault(key, [])
        failures.append(now)
        del failures[: -self.limit]
        self._failures.move_to_end(key)
        while len(self._failures) > _MAX_KEYS:
            self._failures.popitem(last=False)

    def locked_for(self, key: str, *, now: int) -> int:
        """Nanoseconds until ``key`` may try again; 0 if it may now."""
        recent = [at for at in self._failures.get(key, ()) if at > now - self.window]
        if not recent:
            self._failures.pop(key, None)
        return recent[0] + self.window - now if len(recent) >= self.limit else 0
