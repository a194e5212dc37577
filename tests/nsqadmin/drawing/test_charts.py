import math

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
