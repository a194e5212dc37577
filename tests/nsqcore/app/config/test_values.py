"""Values of settings, parsed from flags, variables and TOML."""

import pytest

from nsqcore.app.config.values import (
    address,
    at_least,
    between,
    boolean,
    choice,
    duration_text,
    integer,
    number,
    numbers,
    seconds,
    text,
)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1m30s", 90),
        ("1.5h", 5400),
        ("250ms", 0.25),
        ("2h45m", 9900),
        ("1500us", 0.0015),
        ("1500µs", 0.0015),
        ("1h0m0.5s", 3600.5),
        ("100ns", 1e-7),
        ("-5s", -5),
        ("+5s", 5),
        ("0", 0),
        (".5s", 0.5),
        ("1.s", 1),
    ],
)
def test_durations_are_written_as_in_go(written, value):
    assert seconds(written) == value


@pytest.mark.parametrize(
    "written", ["90", "abc", "", "1m30", "s", "1 s", "1d", "-", ".s", "9999999h", "1..5s"]
)
def test_what_is_no_duration_is_refused(written):
    with pytest.raises(ValueError, match=r"duration|range"):
        seconds(written)


def test_a_plain_number_in_the_file_is_milliseconds():
    assert seconds(1500) == 1.5


def test_a_missing_unit_is_named_as_the_fault():
    with pytest.raises(ValueError, match="a unit is missing"):
        seconds("90")


@pytest.mark.parametrize(
    "written", ["1h30m", "1m30.5s", "250ms", "1.5µs", "3ns", "1h", "-2s", "0s"]
)
def test_a_shown_duration_can_be_read_back(written):
    assert duration_text(seconds(written)) == written


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("10", 10),
        ("-1", -1),
        ("+1", 1),
        ("0x1F", 31),
        ("0b11", 3),
        ("0o17", 15),
        ("017", 15),
        ("1_000", 1000),
        ("0", 0),
        (5, 5),
    ],
)
def test_whole_numbers_are_written_as_in_go(written, value):
    assert integer(written) == value


@pytest.mark.parametrize("written", ["abc", "1.5", "", " 1", "1e3", "08", "9" * 20, True, 1.5, []])
def test_what_is_no_whole_number_is_refused(written):
    with pytest.raises(ValueError, match=r"whole number|range"):
        integer(written)


@pytest.mark.parametrize("written", ["1", "t", "T", "true", "TRUE", "True", True, 1, -1])
def test_true_has_many_spellings(written):
    assert boolean(written) is True


@pytest.mark.parametrize("written", ["0", "f", "F", "false", "FALSE", "False", False, 0])
def test_so_has_false(written):
    assert boolean(written) is False


@pytest.mark.parametrize("written", ["maybe", "", "yes", 1.5, None])
def test_what_is_neither_true_nor_false_is_refused(written):
    with pytest.raises(ValueError, match="true or false"):
        boolean(written)


@pytest.mark.parametrize("written", ["nan", "inf", "x", "", True, None, 10**400])
def test_what_is_no_finite_number_is_refused(written):
    with pytest.raises(ValueError, match="number"):
        number(written)


def test_numbers_may_be_separated_by_commas():
    assert numbers("0.99, 0.5,1") == [0.99, 0.5, 1]
    assert numbers(0.5) == [0.5]


def test_texts_take_numbers_as_they_are_written():
    assert [text("a"), text(5), text(True)] == ["a", "5", "true"]
    with pytest.raises(ValueError, match="text"):
        text([])


def test_a_choice_is_taken_in_any_case():
    assert choice("warn", "info")("WARN") == "warn"
    with pytest.raises(ValueError, match="'warn', 'info'"):
        choice("warn", "info")("loud")


def test_checks_name_the_bounds():
    at_least(0)(0)
    between(1, 9)(9)
    with pytest.raises(ValueError, match="0 or more"):
        at_least(0)(-1)
    with pytest.raises(ValueError, match=r"\[1,9\]"):
        between(1, 9)(10)


@pytest.mark.parametrize("good", ["127.0.0.1:4150", ":4150", "[::1]:0", "host:65535"])
def test_addresses_have_a_host_and_a_port(good):
    address(good)


@pytest.mark.parametrize("bad", ["host", "host:", "host:port", "::1:4150", "host:65536", "h:-1"])
def test_an_address_without_a_decimal_port_is_refused(bad):
    with pytest.raises(ValueError, match="port"):
        address(bad)
