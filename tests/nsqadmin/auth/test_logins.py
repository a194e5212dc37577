"""A flood of guesses is refused at once, and delays nobody who is known."""

import threading

import pytest
import trio

from nsqadmin.auth.accounts import Account, Accounts, Role
from nsqadmin.auth.logins import CHECKS, PER_NETWORK, WAITING, Logins
from nsqadmin.auth.refused import Refused
from nsqadmin.auth.throttle import MAX_ACCOUNT_FAILURES, MAX_FAILURES

HASH = "scrypt:2:1:1$salt$" + "0" * 128


class SlowAccounts(Accounts):
    """Accounts whose passwords take as long to check as the test wants."""

    def __init__(self, gate=None):
        super().__init__("users")
        self.gate = gate or threading.Event()
        self.checked = []

    def load(self):
        """There is no file."""

    def get(self, name):
        return Account(name, Role.ADMIN, HASH) if name in ("ann", "bob") else None

    def verify(self, name, password):
        self.checked.append((name, password))
        self.gate.wait(60)
        return self.get(name) if password == "right" else None


@pytest.fixture
def open_gate():
    gate = threading.Event()
    gate.set()
    return gate


def make_logins(accounts):
    now = [0]
    logins = Logins(accounts, lambda: now[0])
    return logins, now


async def attempt(logins, outcomes, name, password, address):
    try:
        found = await logins.log_in(name, password, address)
        outcomes.append("in" if found else "out")
    except Refused as error:
        outcomes.append(error.status)


async def test_a_hundred_guesses_at_once_are_refused_and_do_not_queue():
    accounts = SlowAccounts()
    logins, _ = make_logins(accounts)
    outcomes = []
    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(attempt, logins, outcomes, "ann", f"guess-{number}", "10.0.0.9")
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert outcomes.count(429) == 100 - PER_NETWORK
        accounts.gate.set()
    assert outcomes.count("out") == PER_NETWORK


async def test_guesses_from_everywhere_wait_in_a_short_queue():
    accounts = SlowAccounts()
    logins, _ = make_logins(accounts)
    outcomes = []
    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(attempt, logins, outcomes, f"n{number}", "x", f"10.0.1.{number}")
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert outcomes.count(503) == 100 - CHECKS - WAITING
        accounts.gate.set()


async def test_who_has_logged_in_before_is_not_held_up_by_guesses(open_gate):
    accounts = SlowAccounts(open_gate)
    logins, now = make_logins(accounts)
    assert await logins.log_in("ann", "right", "10.0.0.1")
    now[0] += 61 * 10**9  # it has to be checked again
    accounts.gate = threading.Event()
    outcomes, mine = [], []
    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(attempt, logins, outcomes, "ann", "x" * number, f"10.0.1.{number}")
        await trio.testing.wait_all_tasks_blocked(0.05)
        nursery.start_soon(attempt, logins, mine, "ann", "right", "10.0.0.1")
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert ("ann", "right") in accounts.checked[1:]
        accounts.gate.set()
    assert mine == ["in"]


async def test_an_ipv6_network_counts_as_one_guesser(open_gate):
    logins, _ = make_logins(SlowAccounts(open_gate))
    outcomes = []
    for number in range(MAX_FAILURES + 1):
        await attempt(logins, outcomes, "ann", f"g{number}", f"2001:db8:0:1::{number:x}")
    await attempt(logins, outcomes, "ann", "right", "2001:db8:0:2::1")
    assert outcomes == ["out"] * MAX_FAILURES + [429, "in"]


async def test_an_account_is_guessed_at_from_many_networks_only_so_often(open_gate):
    logins, now = make_logins(SlowAccounts(open_gate))
    assert await logins.log_in("ann", "right", "10.0.0.1")
    now[0] += 61 * 10**9
    outcomes = []
    for number in range(MAX_ACCOUNT_FAILURES + 5):
        await attempt(logins, outcomes, "ann", f"g{number}", f"10.0.1.{number}")
    assert outcomes == ["out"] * MAX_ACCOUNT_FAILURES + [429] * 5
    outcomes.clear()
    await attempt(logins, outcomes, "ann", "right", "10.0.0.1")  # where Ann has been before
    await attempt(logins, outcomes, "ann", "right", "10.0.0.2")
    await attempt(logins, outcomes, "bob", "right", "10.0.0.2")
    assert outcomes == ["in", 429, "in"]


async def test_equal_requests_share_one_check(open_gate):
    accounts = SlowAccounts(open_gate)
    logins, _ = make_logins(accounts)
    outcomes = []
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(attempt, logins, outcomes, "ann", "right", "10.0.0.1")
    assert outcomes == ["in"] * 20
    assert len(accounts.checked) == 1
