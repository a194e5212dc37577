import tracemalloc

import pytest
from attrs import Factory, define

from nsqd.engine.delivery.deadlines import Deadlines


@define(eq=False)
class Alarm:
    """Something with deadlines; ``plan`` holds what it arms when it expires."""

    deadlines: Deadlines
    changes: bool = True
    plan: list[int] = Factory(list)
    rang: list[int] = Factory(list)

    def expire(self, now: int, limit: int) -> int:
        self.rang.append(now)
        if self.plan:
            self.deadlines.arm(self, self.plan.pop(0))
        return self.changes


def test_nothing_armed_has_no_next_deadline(deadlines):
    assert deadlines.next is None
    assert deadlines.expire(10**18) == []


def test_alarm_rings_once_at_its_deadline_and_not_before(deadlines):
    alarm = Alarm(deadlines)
    deadlines.arm(alarm, 10)
    assert deadlines.next == 10
    assert deadlines.expire(9) == []
    assert deadlines.expire(10) == [alarm]
    assert deadlines.next is None
    assert deadlines.expire(11) == []
    assert alarm.rang == [10]


def test_the_earliest_deadline_of_an_alarm_counts(deadlines):
    alarm = Alarm(deadlines)
    for deadline in (30, 10, 20):
        deadlines.arm(alarm, deadline)
    assert deadlines.next == 10
    deadlines.expire(10)
    assert deadlines.next is None
    deadlines.expire(100)
    assert alarm.rang == [10]


def test_alarm_may_be_armed_again_while_it_rings(deadlines):
    alarm = Alarm(deadlines, plan=[20, 30])
    deadlines.arm(alarm, 30)
    deadlines.arm(alarm, 10)
    deadlines.expire(10)
    assert deadlines.next == 20
    deadlines.expire(25)
    assert deadlines.next == 30
    deadlines.expire(35)
    assert alarm.rang == [10, 25, 35]
    assert deadlines.next is None


def test_all_that_are_due_ring_in_order_of_their_deadlines(deadlines):
    order = []

    @define(eq=False)
    class Ordered:
        number: int

        def expire(self, now: int, limit: int) -> int:
            order.append(self.number)
            return self.number % 2 == 0

    alarms = [Ordered(number) for number in range(5)]
    for alarm in (alarms[3], alarms[0], alarms[4], alarms[2], alarms[1]):
        deadlines.arm(alarm, alarm.number)
    assert deadlines.expire(3) == [alarms[0], alarms[2]]
    assert order == [0, 1, 2, 3]
    assert deadlines.next == 4


def test_alarms_of_one_moment_all_ring(deadlines):
    alarms = [Alarm(deadlines) for _ in range(3)]
    for alarm in alarms:
        deadlines.arm(alarm, 5)
    assert deadlines.expire(5) == alarms


def test_disarmed_alarm_does_not_ring(deadlines):
    alarm, other = Alarm(deadlines), Alarm(deadlines)
    deadlines.arm(alarm, 10)
    deadlines.arm(other, 20)
    deadlines.disarm(alarm)
    deadlines.disarm(alarm)
    assert deadlines.next == 20
    deadlines.expire(100)
    assert (alarm.rang, other.rang) == ([], [100])


def test_disarmed_alarm_may_be_armed_again(deadlines):
    alarm = Alarm(deadlines)
    deadlines.arm(alarm, 10)
    deadlines.disarm(alarm)
    deadlines.arm(alarm, 20)
    deadlines.expire(15)
    assert alarm.rang == []
    deadlines.expire(20)
    assert alarm.rang == [20]


@pytest.mark.slow
def test_near_deadlines_before_a_far_one_do_not_pile_up(deadlines):
    hour = 3600 * 1_000_000_000
    alarm, others = Alarm(deadlines), [Alarm(deadlines) for _ in range(100)]
    for number, other in enumerate(others):
        deadlines.arm(other, hour + number)
    tracemalloc.start()
    for now in range(20_000):
        alarm.plan = [hour]
        deadlines.arm(alarm, now)
        deadlines.expire(now)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(alarm.rang) == 20_000
    assert kept < 1_000_000  # the times at which it rang; an entry a round would take 3 MB
    alarm.plan = []
    assert deadlines.next == hour
    assert deadlines.expire(hour + 99) == [others[0], alarm, *others[1:]]
    assert deadlines.next is None
