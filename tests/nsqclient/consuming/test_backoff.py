from nsqclient.consuming.backoff import Backoff, Phase


def test_failures_stop_intake_for_longer_and_longer_up_to_the_limit():
    backoff = Backoff(unit=1, longest=10)
    now, waits = 0.0, []
    for _ in range(6):
        assert backoff.failed(now)
        waits.append(backoff.until - now)
        now = backoff.until
        assert backoff.advance(now)
    assert waits == [2, 4, 8, 8, 8, 8]


def test_what_comes_back_while_intake_is_stopped_does_not_count():
    backoff = Backoff()
    backoff.failed(0)
    assert not backoff.failed(0.5)
    assert not backoff.succeeded(0.5)
    assert backoff.level == 1
    assert not backoff.advance(1.9)


def test_one_success_for_each_failure_brings_the_flow_back():
    backoff = Backoff()
    now = 0.0
    for _ in range(3):
        backoff.failed(now)
        now = backoff.until
        backoff.advance(now)
    for level in (2, 1):
        assert backoff.succeeded(now)
        assert (backoff.level, backoff.phase) == (level, Phase.STOPPED)
        now = backoff.until
        assert backoff.advance(now)
        assert backoff.phase is Phase.PROBING
    assert backoff.succeeded(now)
    assert (backoff.level, backoff.phase) == (0, Phase.FLOWING)


def test_backing_off_can_be_turned_off():
    backoff = Backoff(longest=0)
    assert not backoff.failed(0)
    assert backoff.phase is Phase.FLOWING


def test_limit_below_the_first_wait_is_kept():
    backoff = Backoff(unit=1, longest=0.5)
    backoff.failed(0)
    assert backoff.until == 0.5
