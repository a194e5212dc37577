import itertools
from collections import defaultdict, deque

import pytest
from attrs import Factory, define
from hypothesis import given, settings
from hypothesis import strategies as st

from nsqclient.consuming.rdy import (
    LONGEST_TURN,
    RATE_INTERVAL,
    TRANSIT_TIME,
    ConnectionRdy,
    RdyDistribution,
    by_rate,
    equal,
)


def distribution_of(
    max_in_flight: int, *shares: ConnectionRdy, **settings: object
) -> RdyDistribution:
    distribution = RdyDistribution(max_in_flight, **settings)  # type: ignore[arg-type]
    for share in shares:
        distribution.join(share)
    return distribution


def test_connections_share_the_budget_equally():
    a, b, c = ConnectionRdy(), ConnectionRdy(), ConnectionRdy()
    distribution = distribution_of(50, a, b, c)
    changed, _ = distribution.plan(0)
    assert changed == [a, b, c]
    assert [s.ready for s in (a, b, c)] == [16, 16, 16]
    assert distribution.plan(1)[0] == []


def test_no_connection_gets_more_than_nsqd_allows():
    a = ConnectionRdy(limit=10)
    distribution_of(50, a).plan(0)
    assert a.ready == 10


def test_room_is_kept_for_connections_that_are_about_to_join():
    a = ConnectionRdy()
    distribution = distribution_of(50, a, connecting=1)
    distribution.plan(0)
    assert a.ready == 25
    distribution.connecting = 0
    distribution.plan(1)
    assert a.ready == 50


def test_newcomer_gets_its_share_only_when_the_others_have_room_for_it():
    a, b = ConnectionRdy(), ConnectionRdy()
    distribution = distribution_of(10, a)
    distribution.plan(0)
    a.received(8, 0)
    distribution.join(b)
    changed, look = distribution.plan(1)
    assert changed == [a]
    assert (a.ready, b.ready, look) == (5, 0, 1 + TRANSIT_TIME)
    distribution.plan(1 + TRANSIT_TIME)
    assert b.ready == 2  # ten less the eight in hand
    a.answered(3)
    assert distribution.raise_pending
    distribution.plan(2)
    assert b.ready == 5


def test_what_a_leaving_connection_had_goes_to_the_others():
    a, b = ConnectionRdy(), ConnectionRdy()
    distribution = distribution_of(10, a, b)
    distribution.plan(0)
    distribution.leave(a)
    distribution.plan(1)
    assert b.ready == 10


def test_stopping_and_probing_are_caps():
    a, b = ConnectionRdy(), ConnectionRdy()
    distribution = distribution_of(10, a, b)
    distribution.plan(0)
    distribution.cap = 0
    distribution.plan(1)
    assert a.ready == b.ready == 0
    distribution.cap = 1
    distribution.plan(2)
    assert a.ready + b.ready == 1
    distribution.cap = None
    distribution.plan(3)
    assert a.ready == b.ready == 5


def test_with_fewer_messages_than_connections_everyone_gets_a_turn():
    shares = [ConnectionRdy() for _ in range(5)]
    distribution = distribution_of(2, *shares)
    had, now = set(), 0.0
    for _ in range(200):
        distribution.plan(now)
        assert sum(share.ready for share in shares) <= 2
        had |= {id(share) for share in shares if share.ready}
        now += 0.5
    assert len(had) == 5


def longest_wait(times: list[float], began: float, ended: float) -> float:
    """The longest time from one turn to the next."""
    after = [when for when in times if when > began]
    return max(b - a for a, b in itertools.pairwise([began, *after, ended]))


@pytest.mark.parametrize("apart", [0.0, 0.001, 0.05])
def test_no_quiet_connection_of_hundreds_waits_longer_than_all_short_turns(apart):
    shares = [ConnectionRdy() for _ in range(200)]
    distribution = distribution_of(25)
    now, turns = 0.0, defaultdict[int, list[float]](list)

    def plan() -> float:
        changed, look = distribution.plan(now)
        for share in changed:
            if share.ready:
                turns[id(share)].append(now)
        assert sum(share.outstanding for share in shares) <= 25
        return look

    for share in shares:  # each gets a message when it first may, as from a backlog
        distribution.join(share)
        plan()
        if share.ready:
            share.received(1, now)
            share.answered()
        now += apart
    began = now
    while now < began + 60:
        now = max(plan(), now + 0.02)
    assert max(longest_wait(turns[id(share)], began, now) for share in shares) < 10


def test_busy_connection_keeps_its_turn_but_not_for_ever():
    busy, idle = ConnectionRdy(), ConnectionRdy()
    distribution = distribution_of(1, busy, idle)
    now, turns = 0.0, []
    while now < 3 * LONGEST_TURN:
        distribution.plan(now)
        if busy.ready:
            busy.received(1, now)
            busy.answered()
        turns.append((busy.ready, idle.ready))
        now += 0.25
    busy_turns = sum(b for b, _ in turns)
    assert busy_turns > sum(i for _, i in turns) * 4
    assert (0, 1) in turns


def test_rates_move_shares_towards_busy_connections_and_leave_some_to_all():
    busy, quiet = ConnectionRdy(), ConnectionRdy()
    distribution = distribution_of(100, busy, quiet, strategy=by_rate)
    now = 0.0
    for _ in range(20):
        distribution.plan(now)
        busy.received(50, now)
        busy.answered(50)
        now += RATE_INTERVAL
    assert busy.ready > 60
    assert quiet.ready >= 20


def test_strategies_fit_the_budget():
    for strategy in (equal, by_rate):
        for rates in ([0.0], [1.0, 2.0, 3.0], [0.0, 0.0, 1e9]):
            counts = strategy(10, rates)
            assert len(counts) == len(rates)
            assert sum(counts) <= 10
            assert min(counts) >= 1


@define(eq=False)
class Server:
    """An nsqd with more messages than anyone can take, behind a network with delays.

    RDYs and answers reach it after some time, messages reach the client after some more.
    """

    delay: float
    share: ConnectionRdy = Factory(ConnectionRdy)
    ready: int = 0
    in_flight: int = 0
    inward: deque[tuple[float, str, int]] = Factory(deque)
    outward: deque[float] = Factory(deque)

    def run(self, now: float) -> None:
        while self.inward and self.inward[0][0] <= now:
            _, kind, count = self.inward.popleft()
            if kind == "ready":
                self.ready = count
            else:
                self.in_flight -= count
        while self.in_flight < self.ready:
            self.in_flight += 1
            self.outward.append(now + self.delay)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["join", "leave", "answer", "cap", "wait", "rates"]),
        st.integers(0, 7),
        st.floats(0, 1.0),
    ),
    max_size=60,
)


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(
    st.integers(1, 12),
    STEPS,
    st.lists(st.floats(0, TRANSIT_TIME / 2 - 0.01), min_size=8, max_size=8),
    st.sampled_from([equal, by_rate]),
)
def test_messages_in_flight_never_exceed_the_budget(max_in_flight, steps, delays, strategy):
    distribution = RdyDistribution(max_in_flight, strategy)
    servers: list[Server] = []
    now = 0.0

    def pass_time(until: float) -> None:
        nonlocal now
        while True:
            for server in servers:
                server.run(now)
                while server.outward and server.outward[0] <= now:
                    server.outward.popleft()
                    server.share.received(1, now)
            assert sum(server.share.in_flight for server in servers) <= max_in_flight
            changed, look = distribution.plan(now)
            for server in servers:
                if server.share in changed:
                    server.inward.append((now + server.delay, "ready", server.share.ready))
            events = [look] + [e[0] for s in servers for e in s.inward]
            events += [e for s in servers for e in s.outward]
            later = min([event for event in events if event > now], default=until)
            if later > until:
                now = until
                return
            now = later

    for kind, number, wait in steps:
        if kind == "join" and len(servers) < 8:
            servers.append(Server(delays[len(servers)]))
            distribution.join(servers[-1].share)
        elif kind == "leave" and servers:
            distribution.leave(servers.pop(number % len(servers)).share)
        elif kind == "answer" and servers:
            server = servers[number % len(servers)]
            count = min(number + 1, server.share.in_flight)
            server.share.answered(count)
            server.inward.append((now + server.delay, "answers", count))
        elif kind == "cap":
            distribution.cap = [None, 0, 1][number % 3]
        elif kind == "rates":
            for server in servers:
                server.share.rate = float(number)
        pass_time(now + wait)
    # Left alone, with everything answered, the whole budget is in use again.
    distribution.cap = None
    for _ in range(6):
        for server in servers:
            count = server.share.in_flight
            server.share.answered(count)
            server.inward.append((now + server.delay, "answers", count))
        pass_time(now + 2 * TRANSIT_TIME)
    if servers:
        assert sum(s.share.ready for s in servers) >= min(max_in_flight, len(servers))
