"""Lines about durations."""

import logging

from nsqtools.shared.timings import StatusLog, Timings


def test_every_so_many_requests_make_a_line(caplog):
    caplog.set_level(logging.INFO)
    timings = Timings("aggregate", 100)
    for number in range(100):
        timings.add((number + 1) / 1000)
    assert [record.getMessage() for record in caplog.records] == [
        "[aggregate]: finished 100 - 99th: 99.00ms - 95th: 95.00ms - avg: 50.50ms"
    ]
    timings.add(1)
    assert len(caplog.records) == 1


def test_none_make_no_line(caplog):
    caplog.set_level(logging.INFO)
    Timings("x", 0).add(1)
    assert not caplog.records


def test_several_destinations_have_lines_of_their_own(caplog):
    caplog.set_level(logging.INFO)
    status = StatusLog.of(["a", "b"], 2)
    for _ in range(2):
        status.add("a", 0.1)
    assert [record.getMessage().split("]")[0] for record in caplog.records] == ["[a", "[aggregate"]


def test_a_single_destination_has_one_line(caplog):
    caplog.set_level(logging.INFO)
    StatusLog.of(["a"], 1).add("a", 0.1)
    assert len(caplog.records) == 1
