"""The brake on guessing passwords."""

import pytest

from nsqadmin.auth.throttle import MAX_FAILURES, WINDOW, LoginThrottle, network_of
from nsqcore.units import SECOND


def test_who_guesses_too_often_has_to_wait():
    throttle = LoginThrottle()
    for _ in range(MAX_FAILURES):
        assert not throttle.locked_for("10.0.0.9", now=0)
        throttle.failed("10.0.0.9", now=0)
    assert throttle.locked_for("10.0.0.9", now=SECOND) == WINDOW - SECOND
    assert not throttle.locked_for("10.0.0.8", now=SECOND)
    assert not throttle.locked_for("10.0.0.9", now=WINDOW)


def test_guesses_spread_over_more_time_than_the_window_lock_nobody_out():
    throttle = LoginThrottle()
    for number in range(5 * MAX_FAILURES):
        assert not throttle.locked_for("a", now=number * WINDOW // MAX_FAILURES * 2)
        throttle.failed("a", now=number * WINDOW // MAX_FAILURES * 2)


def test_the_memory_of_failures_is_bounded():
    throttle = LoginThrottle()
    for number in range(30_000):
        throttle.failed(f"n{number}", now=0)
    for _ in range(1000):
        throttle.failed("same", now=0)
    assert len(throttle._failures) <= 10_000
    assert len(throttle._failures["same"]) <= MAX_FAILURES


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.0.0.9", "10.0.0.9"), ("::ffff:10.0.0.9", "10.0.0.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"), ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"), ("local", "local"),
    ],
)  # fmt: skip
def test_an_ipv6_user_is_counted_by_the_network_they_may_send_from(address, network):
    assert network_of(address) == network
