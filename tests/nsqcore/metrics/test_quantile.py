import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqcore.metrics.quantile import LatencySummary, LatencyWindow, summarize

MINUTE = 60_000_000_000


def window(*quantiles: float) -> LatencyWindow:
    return LatencyWindow(quantiles or (0.5,), 10 * MINUTE)


@pytest.mark.slow
@given(
    st.lists(st.integers(1, 10**15), min_size=1, max_size=200),
    st.sampled_from([0.01, 0.5, 0.95, 0.99, 1.0]),
)
def test_percentiles_are_off_by_at_most_one_per_cent(latencies, quantile):
    found = window(quantile)
    for latency in latencies:
        found.add(latency, 0)
    ((_, value),) = found.summary(0).percentiles

    rank = quantile * (len(latencies) - 1)
    ordered = sorted(latencies)
    low, high = ordered[math.floor(rank)], ordered[math.ceil(rank)]
    assert low * 0.989 <= value <= high * 1.011


def test_what_is_older_than_the_window_is_forgotten():
    found = window()
    found.add(5, 0)
    assert found.summary(5 * MINUTE).count == 1
    assert found.summary(10 * MINUTE).count == 0


def test_both_halves_of_the_window_count():
    found = window()
    found.add(100, 0)
    found.add(300, 6 * MINUTE)
    assert found.summary(6 * MINUTE).count == 2
    assert found.summary(11 * MINUTE).count == 1


def test_long_silence_forgets_everything():
    found = window()
    found.add(100, 0)
    found.add(300, 1000 * MINUTE)

    assert found.summary(1000 * MINUTE).count == 1


def test_clock_set_back_does_no_harm():
    found = window()
    found.add(-5, 10 * MINUTE)
    found.add(7, 2 * MINUTE)

    assert found.summary(MINUTE).count == 2


def test_topic_has_the_percentiles_of_its_channels_together():
    one, other = window(1.0, 0.5), window(1.0, 0.5)
    for _ in range(3):
        one.add(1_000_000, 0)
    other.add(9_000_000, 0)
    summary = summarize([one, other], (1.0, 0.5), 0)

    assert summary.count == 4
    assert [round(value, -5) for _, value in summary.percentiles] == pytest.approx(
        [9_000_000, 1_000_000], rel=0.011
    )
    assert one.summary(0).count == 3  # merging takes nothing away


def test_nothing_counted_is_zero():
    assert window(0.99, 0.95).summary(0).to_json() == {
        "count": 0,
        "percentiles": [{"quantile": 0.99, "value": 0}, {"quantile": 0.95, "value": 0}],
    }


def test_nothing_tracked_is_null():
    assert summarize([], (0.5,), 0).to_json() == {"count": 0, "percentiles": None}


def test_json_has_whole_numbers_as_the_original_does():
    text = repr(LatencySummary(2, ((1.0, 1234.4), (0.99, 1000.0))).to_json()["percentiles"])

    assert text == "[{'quantile': 1, 'value': 1234}, {'quantile': 0.99, 'value': 1000}]"
