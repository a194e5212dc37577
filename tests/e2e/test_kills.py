"""kill -9 under load of our clients and pynsq: what was acknowledged comes."""

import pytest
from tests.support.history import Delivery, History, Publish
from tests.support.kills import run_rounds


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_in_twenty_kills(tmp_path):
    faults, history = run_rounds(20, 1, tmp_path, "always")
    assert faults == []
    assert len(history.kills) == 20
    assert len(history.acknowledged) > 200
    # kills had an effect: on a slow machine perhaps on publishers alone
    found = [each for channel in history.deliveries.values() for each in channel.values()]
    unknown = [each for each in history.publishes.values() if each.outcome == "unknown"]
    assert unknown or any(len(each) > 1 for each in found)


def delivered(*attempts: int, at: float = 10.0) -> list[Delivery]:
    return [Delivery(at + number, count) for number, count in enumerate(attempts)]


@pytest.mark.parametrize(
    ("publish", "deliveries", "fault"),
    [
        (Publish(outcome="ok"), [], "lost"),
        (None, delivered(1), "was never published"),
        (Publish(outcome="refused"), delivered(1), "was refused, and came"),
        (Publish(due=10.5, outcome="ok"), delivered(1), "0.500 s early"),
        (Publish(outcome="ok"), delivered(3, 3), "attempts fell from 3 to 3"),
    ],
)
def test_the_checker_finds_what_is_wrong(publish, deliveries, fault):
    history = History(("c",))
    if publish is not None:
        history.publishes[b"x"] = publish
    if deliveries:
        history.deliveries["c"][b"x"] = deliveries
    (found,) = history.faults()
    assert fault in found


def test_what_comes_again_after_its_fin_is_a_fault_unless_somebody_was_killed():
    history = History(("c",))
    history.publishes[b"x"] = Publish(outcome="ok")
    history.deliveries["c"][b"x"] = delivered(1, 2)
    history.finished["c"][b"x"] = 10.5
    assert "came again after its FIN" in history.faults()[0]
    history.kills.append(10.7)
    assert history.faults() == []


def test_what_is_as_it_should_be_is_no_fault():
    history = History(("c", "d"))
    history.publishes[b"x"] = Publish(due=9.0, outcome="ok")
    history.publishes[b"y"] = Publish()  # nobody knows, and it did not come
    for channel in history.channels:
        history.deliveries[channel][b"x"] = delivered(1, 2, 3)
        history.finished[channel][b"x"] = 13.0
    assert history.faults() == []
