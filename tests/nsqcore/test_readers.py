"""What a peer chose is bounded and typed where it enters."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqcore import readers
from nsqcore.json import decode

ODD = [
    None, True, False, 10**39, -(10**39), -1, 1.5, 1e300, math.inf, -math.inf, math.nan,
    "x" * 10_000, "\ud800", [], {}, [[]], "a\nb", "9" * 5000,
]  # fmt: skip
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(alphabet=st.characters(codec=None))
    | st.sampled_from(ODD),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.just("k"), inner),
    max_leaves=8,
)


def check(value):
    """Whatever is read of ``value`` is of its type and within its bounds."""
    raw = {"k": value}
    text, version = readers.text(raw, "k"), readers.version(raw, "k")
    assert len(text) <= readers.MAX_TEXT
    assert len(version) <= readers.MAX_VERSION
    (text + version).encode()
    assert 0 <= readers.count(raw, "k") < 2**63
    assert type(readers.count(raw, "k")) is int
    assert abs(readers.number(raw, "k")) < 2**63
    assert 0 <= readers.port(raw, "k") < 65536
    assert len(readers.host(raw, "k").encode("ascii")) <= 254
    assert readers.flag(raw, "k") is (value is True)
    assert all(isinstance(item, dict) for item in readers.objects(raw, "k"))
    "".join(readers.texts(raw, "k")).encode()
    assert all(len(name) <= 64 for name in readers.names(raw, "k"))


@pytest.mark.parametrize("value", ODD, ids=lambda value: repr(value)[:20])
def test_an_odd_value_is_an_empty_one(value):
    """Versions of 5000 digits, depths of 10**39, surrogates in names."""
    check(value)


@pytest.mark.slow
@given(VALUES)
def test_no_value_gets_through_that_is_no_such_thing(value):
    check(value)


def test_what_is_right_comes_as_it_is():
    raw = decode(
        b'{"t":"h\xc3\xa9","c":7,"f":2.0,"n":1.5,"p":4150,"h":"::1","b":true,"o":[{"a":1},2],'
        b'"s":["a",1],"names":["a","b#ephemeral","no name",5]}'
    )
    assert readers.text(raw, "t") == "hé"
    assert (readers.count(raw, "c"), readers.count(raw, "f")) == (7, 2)
    assert readers.number(raw, "n") == 1.5
    assert readers.port(raw, "p") == 4150
    assert readers.host(raw, "h") == "::1"
    assert readers.flag(raw, "b")
    assert readers.objects(raw, "o") == [{"a": 1}]
    assert readers.texts(raw, "s") == ["a"]
    assert readers.names(raw, "names") == ["a", "b#ephemeral"]


@pytest.mark.parametrize("port", [0, -1, 65536, 99999, True, "4150", 4150.0])
def test_a_port_that_cannot_be_is_none(port):
    assert readers.port({"p": port}, "p") == 0
