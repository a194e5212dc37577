"""Checking passwords without being held up by those who guess them.

A check takes 64 MB and half a second of one core, so few run at once and few wait. A network has
`PER_NETWORK` of them under way at most, failures are counted per network and per account
(`nsqadmin.auth.throttle`), and whoever logged in before, from the same network, has a place of
their own: a flood of guesses delays nobody who is known. Equal requests share one check.
"""

import hashlib
import json
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable

import trio

from nsqadmin.auth.accounts import Account, Accounts
from nsqadmin.auth.refused import Refused
from nsqadmin.auth.throttle import MAX_ACCOUNT_FAILURES, LoginThrottle, network_of
from nsqcore.classes import define, field
from nsqcore.units import SECOND

logger = logging.getLogger(__name__)

# Two at once leave room for pages, on two cores.
CHECKS = 2
# Further ones that may wait: four seconds' worth.
WAITING = 8
PER_NETWORK = 2
# Scripts send their password with every request: each is checked once a minute.
_REMEMBERED, _REMEMBER = 1000, 60 * SECOND
_MAX_KNOWN = 1000
_LOGGED_NAME = 64


@define(eq=False, repr=False)
class Logins:
    """The passwords of ``accounts``. ``now`` is the monotonic clock in nanoseconds."""

    accounts: Accounts
    now: Callable[[], int]
    networks: LoginThrottle = field(factory=LoginThrottle)
    names: LoginThrottle = field(factory=lambda: LoginThrottle(MAX_ACCOUNT_FAILURES))
    _checks: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(CHECKS))
    _known_checks: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(1))
    _under_way: Counter[str] = field(factory=Counter)  # checks by network
    _shared: dict[bytes, trio.Event] = field(factory=dict, repr=False)
    _checked: dict[bytes, int] = field(factory=dict, repr=False)
    #: Name and network of successful logins, the latest last.
    _known: OrderedDict[tuple[str, str], None] = field(factory=OrderedDict, repr=False)

    async def log_in(self, name: str, password: str, address: str) -> Account | None:
        """The account whose name and password these are.

        Args:
            address: IP address of the client.

        Raises:
            Refused: 429, too many wrong passwords came from there or for this account; 503, too
                many passwords wait to be checked.
        """
        network = network_of(address)
        known = (name, network) in self._known
        # Before anything is looked up: what is remembered must not tell right from wrong guesses.
        self._refuse_guessers(name, network, known=known)
        account = self.accounts.get(name)
        key = _key(name, password, account)
        if account and self._checked.get(key, 0) > self.now():
            return account
        shared = self._shared.get(key)
        if shared is not None:
            await shared.wait()
            self._refuse_guessers(name, network, known=known)
            return account if self._checked.get(key, 0) > self.now() else None
        self._refuse_crowds(network, known=known)
        shared = self._shared[key] = trio.Event()
        self._under_way[network] += 1
        try:
            async with self._known_checks if known else self._checks:
                self._refuse_guessers(name, network, known=known)  # others have failed meanwhile
                account = await trio.to_thread.run_sync(self.accounts.verify, name, password)
            self._conclude(name, network, key, right=account is not None)
        finally:
            self._under_way -= Counter([network])
            del self._shared[key]
            shared.set()
        return account

    def _conclude(self, name: str, network: str, key: bytes, *, right: bool) -> None:
        if not right:
            self.networks.failed(network, now=self.now())
            self.names.failed(name, now=self.now())
            logger.warning("user(%s): wrong password from %s", name[:_LOGGED_NAME], network)
            return
        if len(self._checked) >= _REMEMBERED:
            self._checked.clear()
        self._checked[key] = self.now() + _REMEMBER
        self._known[name, network] = None
        self._known.move_to_end((name, network))
        while len(self._known) > _MAX_KNOWN:
            self._known.popitem(last=False)

    def _refuse_guessers(self, name: str, network: str, *, known: bool) -> None:
        now = self.now()
        wait = self.networks.locked_for(network, now=now)
        if not known:
            wait = max(wait, self.names.locked_for(name, now=now))
        if wait:
            raise Refused(429, "TOO_MANY_ATTEMPTS", retry_after=-(-wait // SECOND))

    def _refuse_crowds(self, network: str, *, known: bool) -> None:
        if self._under_way[network] >= PER_NETWORK:
            raise Refused(429, "TOO_MANY_ATTEMPTS", retry_after=1)
        limiter = self._known_checks if known else self._checks
        if limiter.statistics().tasks_waiting >= WAITING:
            raise Refused(503, "TOO_MANY_ATTEMPTS", retry_after=WAITING // CHECKS)


def _key(name: str, password: str, account: Account | None) -> bytes:
    """What stands for a name with a password, as long as the account's hash is the same."""
    text = json.dumps([name, password, account.hash if account else ""])
    return hashlib.sha256(text.encode()).digest()
