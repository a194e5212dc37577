"""Go's regular expressions, in linear time."""

import time

import pytest

from nsqcore.patterns import BadPattern, Pattern


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (r"^[[:alpha:]_]+[[:digit:]]\z", "a_b1", True),
        (r"^[[:alpha:]_]+[[:digit:]]\z", "a_b1c", False),
        (r"^\w+\.\d$", "a.1", True),
        (r"^a\\z$", "az", False),
        (r"^a\\z$", "a\\z", True),
        (r"good", "a_good_one", True),
        (r"(?i)TOPIC", "topic", True),
        (r"(?P<n>a)b", "ab", True),
        (r"^\Qa.b\E$", "a.b", True),
        (r"^\Qa.b\E$", "axb", False),
        (r"^\pL+$", "abc", True),
        (r"a\\C", "a\\C", True),
        (r"^a$", "a\n", False),  # Python's $ would match
        ("", "anything", True),
        ("a", "\ud800a", False),
    ],
)
def test_a_pattern_means_what_it_means_in_go(pattern, text, found):
    assert Pattern(pattern).matches(text) is found


@pytest.mark.parametrize("name", ["ab", "aab", "b"])
def test_a_repetition_without_a_lower_bound_is_no_repetition(name):
    """Python takes ``{,3}`` for "up to three times", so that it let names in."""
    assert not Pattern("^a{,3}b$").matches(name)
    assert Pattern("^a{,3}b$").matches("a{,3}b")


@pytest.mark.parametrize(
    "pattern",
    [
        "([",
        "[[:nonsense:]]",
        "a{99999999999999999999}",
        "a{1001}",
        "(" * 5000 + ")" * 5000,
        "((a{100}){100}){100}",
        "(?=a)",
        "(?<!a)b",
        r"(a)\1",
        "(?#comment)a",
        "(?>a)",
        "a++",
        r"\Z",
        r"\C",
        r"\\\C",
        "\ud800",
        "x" * 1_000_000,
    ],
)
def test_one_that_go_does_not_know_is_refused(pattern):
    with pytest.raises(BadPattern, match="invalid pattern") as caught:
        Pattern(pattern)
    assert caught.value.__context__ is None
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize(
    "pattern", [r"^([a-z0-9]+[-_.]?)+$", "(a*)*b", "(a|aa)+$", "(x+x+)+y", "^(a?){50}a{50}$"]
)
def test_no_pattern_takes_longer_than_its_name_is_long(pattern):
    """Forty letters and ``#ephemeral`` never came to an end."""
    compiled = Pattern(pattern)
    began = time.process_time()
    assert not compiled.matches("a" * 40 + "#ephemeral")
    assert time.process_time() - began < 0.5


def test_one_that_is_huge_is_refused_before_it_is_looked_at():
    """A pattern of a MiB in the answer of an auth server held up the loop for 0.2 s."""
    Pattern("a")
    began = time.process_time()
    with pytest.raises(BadPattern, match="longer than"):
        Pattern("(a|b)*" * 200_000)
    assert time.process_time() - began < 0.05
