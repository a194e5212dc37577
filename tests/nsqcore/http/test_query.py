"""Query strings as Go reads them."""

import pytest

from nsqcore.http.query import QueryError, parse_query, unescape


@pytest.mark.parametrize(
    ("raw", "values"),
    [
        (b"", {}),
        (b"topic=orders", {"topic": ["orders"]}),
        (b"topic=a&topic=b&x", {"topic": ["a", "b"], "x": [""]}),
        (b"&&a=1&&", {"a": ["1"]}),
        (b"a=b=c", {"a": ["b=c"]}),
        (b"a=1+2%2B3%20", {"a": ["1 2+3 "]}),
        (b"%61=%C3%A4", {"a": ["ä"]}),
        (b"=1", {"": ["1"]}),
        (b"a=" + b"x" * 1000, {"a": ["x" * 1000]}),
    ],
)
def test_pairs_are_decoded_in_order(raw, values):
    assert parse_query(raw) == values


@pytest.mark.parametrize("raw", [b"topic=%zz", b"topic=a%2", b"%", b"a=1;b=2", b"a=%\xff\xff"])
def test_a_broken_escape_or_a_semicolon_makes_it_undecodable(raw):
    with pytest.raises(QueryError):
        parse_query(raw)


def test_bytes_that_are_no_text_survive():
    assert unescape(b"%FF\xfe").encode("utf-8", "surrogateescape") == b"\xff\xfe"
