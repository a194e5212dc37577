import math
import re

import pytest

from nsqadmin.drawing.charts import chart, nice_axis, sparkline


@pytest.mark.parametrize(
    ("value", "axis"),
    [
        (93, (100, 25)),
        (3800, (4000, 1000)),
        (18, (20, 5)),
        (0, (1, 1)),
        (4, (4, 1)),
        (1, (1, 0.25)),
    ],
)
def test_an_axis_ends_at_a_round_number(value, axis):
    assert nice_axis(value) == pytest.approx(axis)


def test_an_axis_always_reaches_the_value():
    for exponent in range(-3, 9):
        for digits in range(10, 100, 3):
            value = digits * 10.0**exponent
            top, step = nice_axis(value)
            assert value <= top * 1.000001
            assert round(top / step) <= 4


def test_a_gap_splits_the_line():
    drawn = sparkline([1, 2, math.nan, 3, 4], "rate", "Rate")
    assert drawn.count("<polyline") == 2


def test_a_sparkline_tells_its_numbers_to_who_cannot_see_it():
    drawn = sparkline([1.0, 5.0, 2.0], "rate", "Rate")
    assert 'aria-label="Rate: now 2, peak 5' in drawn


def test_a_chart_of_nothing_says_so():
    assert "Nothing recorded yet" in chart([(0, math.nan)], "rate", "Rate", "/s")


def test_a_chart_carries_its_points_for_the_pointer():
    drawn = chart([(60, 1.0), (70, math.nan), (80, 3.0)], "depth", "Depth", "")
    assert "[[60, 1.0], [70, null], [80, 3.0]]" in drawn.replace("&#34;", '"')
    assert "00:01" in drawn


@pytest.mark.parametrize("peak", [0.0003, 0.7, 1, 3.5, 49.2, 800, 12_345, 2_500_000, 4e8, 9e10])
@pytest.mark.parametrize("unit", ["", "/s", " ms"])
def test_labels_of_an_axis_have_room_for_all_their_letters(peak, unit):
    svg = str(chart([(0, 0.0), (10, peak)], "latency", "Latency", unit))
    labels = re.findall(r'text-anchor="end">([^<]*)<', svg)
    assert len(labels) >= 2
    assert all(len(label) <= 7 for label in labels), labels


def test_latencies_are_durations_people_read():
    svg = str(chart([(0, 0.0), (10, 2_500_000.0)], "latency", "Latency", " ms"))
    assert "peak 41.7m" in svg
    assert "M ms" not in svg


@pytest.mark.parametrize("kind", ["depth", "in_flight"])
def test_one_message_is_no_spike_as_high_as_the_row(kind):
    def highest(value):
        svg = str(sparkline([0.0, value, 0.0], kind, "Depth"))
        line = re.search(r'polyline class="line" points="([^"]*)"', svg)[1]
        return 26 - min(float(point.split(",")[1]) for point in line.split())

    assert highest(1.0) < 6
    assert highest(500.0) == highest(5_000_000.0) > 20
