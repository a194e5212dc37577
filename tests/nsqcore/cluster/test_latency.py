from nsqcore.cluster.latency import Latency, Percentile, merge_latency


def of(count, **values):
    percentiles = [
        {"quantile": float(key[1:]) / 100, "value": value} for key, value in values.items()
    ]
    return Latency.from_json({"count": count, "percentiles": percentiles})


def test_one_daemon_is_its_own_average():
    merged = merge_latency([of(3, q99=500, q50=100)])
    assert merged.count == 3
    assert merged.percentiles[0] == Percentile(0.99, 500, 500, 500, 3)


def test_average_of_several_daemons_is_weighted_by_their_messages():
    merged = merge_latency([of(1, q99=100), of(3, q99=500)])
    assert merged.percentiles == (Percentile(0.99, 100, 500, 400, 4),)


def test_a_daemon_that_measured_nothing_changes_nothing():
    merged = merge_latency([of(0, q99=0), of(2, q99=70)])
    assert merged.percentiles == (Percentile(0.99, 70, 70, 70, 2),)


def test_no_percentiles_are_told_as_null():
    assert Latency.from_json({"count": 0, "percentiles": None}).to_json() == {
        "count": 0, "percentiles": None, "topic": "", "channel": "", "host": "",
    }  # fmt: skip


def test_what_is_no_latency_is_an_empty_one():
    for strange in (None, 5, [], {"count": "x", "percentiles": [1, {"quantile": "?"}]}):
        assert Latency.from_json(strange).count == 0
