import pytest

from nsqadmin.drawing.formats import (
    nanoseconds,
    percentile,
    plural,
    rate,
    seconds,
    short,
    slot,
    web_link,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0ns"), (999, "999ns"), (1500, "1.5us"), (12_345_678, "12.35ms"),
        (1_500_000_000, "1.5s"), (61_000_000_000, "1m1s"), (3_600_000_000_000, "1h"),
        (3_725_500_000_000, "1h2m5.5s"), (-5, "0ns"),
    ],
)  # fmt: skip
def test_durations_read_as_in_the_original(value, text):
    assert nanoseconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(5, "5s"), (60, "1m"), (200, "3m20s"), (7260, "2h1m"), (90061, "1d1h")]
)
def test_ages_have_two_units_at_most(value, text):
    assert seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.99, "99th"),
        (0.5, "50th"),
        (0.01, "1st"),
        (0.92, "92nd"),
        (0.11, "11th"),
        (0.999, "99.9th"),
        (1.0, "max"),
    ],
)
def test_percentiles_have_their_ordinals(value, text):
    assert percentile(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (987, "987"), (12_345, "12.3k"), (4_500_000, "4.5M"), (2e9, "2G"), (0.25, "0.2")],
)
def test_numbers_in_little_room(value, text):
    assert short(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.01, "0"), (0.24, "0.2"), (99.94, "99.9"), (1234.5, "1,234")]
)
def test_rates_have_the_digits_that_mean_something(value, text):
    assert rate(value) == text


def test_words_agree_with_their_numbers():
    assert (plural(1, "topic"), plural(2000, "topic"), plural(2, "node unwell")) == (
        "1 topic", "2,000 topics", "2 nodes need attention.",
    )  # fmt: skip


def test_a_link_never_carries_a_script():
    assert web_link("https://id.example/u/1") == "https://id.example/u/1"
    for strange in ("javascript:alert(1)", " https://x", "data:text/html,x", "//x", "ftp://x"):
        assert web_link(strange) == ""


def test_a_slot_is_safe_wherever_it_stands():
    assert slot("--><script>").isalnum()
    assert slot("a") != slot("b")
    assert slot("\udcff").isalnum()
