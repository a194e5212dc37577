"""Command lines, split as Go's programs do it."""

import pytest

from nsqcore.app.config.flags import FlagError, ParsedFlags, parse_flags

KNOWN = {"name": None, "switch": "true", "h": "true"}


@pytest.mark.parametrize("argument", ["-name=v", "--name=v", "-name v", "--name v"])
def test_a_flag_has_one_dash_or_two_and_its_value_behind_a_sign_or_a_space(argument):
    assert parse_flags(argument.split(), KNOWN).given == [("name", "v")]


def test_values_may_be_empty_or_hold_more_signs_or_begin_with_a_dash():
    given = parse_flags(["--name=", "--name=a=b", "--name", "-x", "--name", "--"], KNOWN).given
    assert given == [("name", ""), ("name", "a=b"), ("name", "-x"), ("name", "--")]


def test_a_switch_takes_no_value_from_the_next_argument():
    assert parse_flags(["-switch", "false", "-name=v"], KNOWN) == ParsedFlags(
        [("switch", "true")], ["false", "-name=v"]
    )
    assert parse_flags(["-switch=false"], KNOWN).given == [("switch", "false")]


@pytest.mark.parametrize("stop", ["positional", "-", "--", ""])
def test_the_first_argument_that_is_no_flag_ends_them(stop):
    parsed = parse_flags(["-switch", stop, "-name=v"], KNOWN)
    assert parsed.given == [("switch", "true")]
    assert parsed.rest[-1] == "-name=v"


@pytest.mark.parametrize("argument", ["---name=1", "-=5", "--=5"])
def test_a_malformed_flag_is_refused(argument):
    with pytest.raises(FlagError, match="malformed"):
        parse_flags([argument], KNOWN)


def test_a_flag_without_its_value_is_refused():
    with pytest.raises(FlagError, match="-name needs a value"):
        parse_flags(["--name"], KNOWN)


def test_an_unknown_flag_is_named_with_what_may_have_been_meant():
    with pytest.raises(FlagError, match=r"unknown flag -nmae \(did you mean -name\?\)"):
        parse_flags(["--nmae=1"], KNOWN)
    with pytest.raises(FlagError, match=r"unknown flag -zzz$"):
        parse_flags(["--zzz"], KNOWN)
