import pytest

from nsqcore.backoff import Backoff


def test_pauses_double_up_to_the_longest():
    backoff = Backoff(first=0.5, longest=3.0)
    assert [backoff.pause(failures) for failures in range(6)] == [0.5, 0.5, 1.0, 2.0, 3.0, 3.0]


@pytest.mark.parametrize("failures", [64, 1024, 10**9, 10**400])
def test_no_number_of_failures_is_too_large_for_a_pause(failures):
    assert Backoff(first=0.25, longest=15.0).pause(failures) == 15.0


def test_pauses_of_many_are_spread_and_never_longer_than_the_longest():
    backoff = Backoff(first=1.0, longest=10.0, jitter=0.5)
    pauses = [backoff.pause(20) for _ in range(1000)]
    assert len(set(pauses)) > 900
    assert 5.0 <= min(pauses) < 6.0
    assert 9.0 < max(pauses) <= 10.0
