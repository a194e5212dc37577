"""Choosing destinations."""

from collections import Counter

import pytest

from nsqtools.shared.host_pool import EpsilonGreedy, HostPool, RoundRobin, chooser


def test_round_robin_gives_each_the_same():
    pool = RoundRobin(["a", "b", "c"])
    assert Counter(pool.choose(0) for _ in range(9)) == {"a": 3, "b": 3, "c": 3}


def test_round_robin_does_not_leave_out_one_that_fails():
    pool = RoundRobin(["a", "b"])
    pool.mark("a", 0, elapsed=None)
    assert Counter(pool.choose(0) for _ in range(4)) == {"a": 2, "b": 2}


def test_a_host_pool_takes_turns():
    pool = HostPool(["a", "b"])
    assert [pool.choose(0) for _ in range(4)] == ["a", "b", "a", "b"]


def test_a_host_that_failed_is_left_out_for_half_a_minute_then_longer():
    pool = HostPool(["a", "b"])
    pool.mark("a", 0, elapsed=None)
    assert {pool.choose(29.9) for _ in range(5)} == {"b"}
    assert Counter(pool.choose(30) for _ in range(6))["a"] == 1
    pool.mark("a", 31, elapsed=None)
    assert {pool.choose(89.9) for _ in range(5)} == {"b"}
    assert Counter(pool.choose(90) for _ in range(6))["a"] == 1


def test_a_host_that_answers_again_is_back_at_once():
    pool = HostPool(["a", "b"])
    pool.mark("a", 0, elapsed=None)
    pool.mark("a", 1, elapsed=0.1)
    assert {pool.choose(1) for _ in range(2)} == {"a", "b"}


def test_when_all_have_failed_all_are_tried():
    pool = HostPool(["a", "b"])
    pool.mark("a", 0, elapsed=None)
    pool.mark("b", 0, elapsed=None)
    assert {pool.choose(1) for _ in range(2)} == {"a", "b"}


def test_the_wait_for_a_failed_host_has_an_end():
    pool = HostPool(["a", "b"])
    pool.mark("a", 0, elapsed=None)
    now = 0.0
    for _ in range(20):
        now += 901
        assert "a" in {pool.choose(now) for _ in range(2)}


def test_epsilon_greedy_prefers_the_fast():
    pool = EpsilonGreedy(["slow", "fast"], epsilon=0.0)
    pool.epsilon = 0.0
    for now in range(100):
        pool.mark("slow", now, elapsed=0.9)
        pool.mark("fast", now, elapsed=0.1)
    chosen = Counter(pool.choose(100) for _ in range(2000))
    assert chosen["fast"] > 5 * chosen["slow"] > 0


def test_epsilon_greedy_explores_less_and_less():
    pool = EpsilonGreedy(["a", "b"], draw=lambda: 0.0)
    before = pool.epsilon
    for _ in range(100):
        pool.choose(0)
    assert before > pool.epsilon == pytest.approx(0.01)


def test_epsilon_greedy_uses_hosts_it_knows_nothing_about():
    pool = EpsilonGreedy(["a", "b"], draw=lambda: 0.99)
    assert {pool.choose(0) for _ in range(2)} == {"a", "b"}


def test_epsilon_greedy_leaves_out_one_that_failed():
    pool = EpsilonGreedy(["a", "b"], draw=lambda: 0.99)
    for host in ("a", "b"):
        pool.mark(host, 0, elapsed=0.1)
    pool.mark("a", 0, elapsed=None)
    assert {pool.choose(1) for _ in range(10)} == {"b"}


def test_old_response_times_count_less():
    pool = EpsilonGreedy(["was slow", "is slow"], draw=lambda: 0.99)
    for _ in range(10):
        pool.mark("was slow", 0, elapsed=10)
        pool.mark("is slow", 0, elapsed=0.1)
    for now in range(3000, 3010):
        pool.mark("was slow", now, elapsed=0.1)
        pool.mark("is slow", now, elapsed=10)
    pool.draw = iter([0.99, 0.5] * 10).__next__
    assert {pool.choose(3010) for _ in range(10)} == {"was slow"}


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("round-robin", RoundRobin), ("hostpool", HostPool), ("epsilon-greedy", EpsilonGreedy)],
)
def test_each_mode_of_the_command_line_has_its_chooser(mode, kind):
    assert isinstance(chooser(mode, ["a"]), kind)
