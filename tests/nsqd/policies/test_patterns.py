"""Patterns of names, and which of them meet."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqd.policies.errors import InvalidPolicy
from nsqd.policies.patterns import overlap, parse_pattern

LETTERS = "ab"
globs = st.text(alphabet="ab*?", min_size=1, max_size=5)
TEXTS = [
    "".join(letters) for size in range(7) for letters in itertools.product(LETTERS, repeat=size)
]


def expression(glob):
    return re.compile("".join({"*": ".*", "?": "."}.get(letter, letter) for letter in glob))


@pytest.mark.slow
@given(globs, globs)
def test_two_globs_meet_exactly_where_a_text_is_matched_by_both(one, other):
    first, second = expression(one), expression(other)
    found = any(first.fullmatch(text) and second.fullmatch(text) for text in TEXTS)
    # Texts of six letters tell: each glob has five characters, and stars stand for nothing or more.
    if found or len(one) + len(other) <= 6:
        assert overlap(one, other) is found
    assert overlap(one, other) is overlap(other, one)


@pytest.mark.slow
@given(globs, st.sampled_from(TEXTS))
def test_a_glob_matches_what_the_same_expression_matches(glob, text):
    assert overlap(glob, text) is (expression(glob).fullmatch(text) is not None)


@pytest.mark.parametrize(
    ("pattern", "topic", "channel", "found"),
    [
        ("orders*", "orders.eu", None, True),
        ("orders*", "orders.eu", "audit", True),
        ("orders*", "my.orders", None, False),
        ("orders*:audit", "orders", None, False),
        ("orders*:audit", "orders", "audit", True),
        ("*:a?", "t", "ab", True),
        ("*:a?", "t", "abc", False),
        ("t#ephemeral", "t#ephemeral", None, True),
        ("*.*", "a-b", None, False),
    ],
)
def test_a_pattern_matches_topics_and_where_it_names_them_channels(pattern, topic, channel, found):
    assert parse_pattern(pattern).matches(topic, channel) is found


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ("orders*", "*.eu", True),
        ("orders", "orders:audit", True),
        ("orders:a*", "orders:*t", True),
        ("orders:a", "orders:b", False),
        ("a*", "b*", False),
        ("a?", "a", False),
    ],
)
def test_patterns_that_could_both_match_a_name_meet(one, other, meet):
    assert parse_pattern(one).overlaps(parse_pattern(other)) is meet


@pytest.mark.parametrize(
    "text", ["", ":", "a:", ":b", "a:b:c", "a b", "[ab]", "a/b", "x" * 65, None, 5, "é", "a\n"]
)
def test_what_matches_no_name_is_refused(text):
    with pytest.raises(InvalidPolicy, match="expected"):
        parse_pattern(text)


def test_many_stars_take_no_time():
    assert not overlap("*a" * 32, "a" * 31 + "b" * 33)
