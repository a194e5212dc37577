"""JSON filters of nsq_to_nsq."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqtools.nsq_to_nsq import deep_json
from nsqtools.nsq_to_nsq.json_filter import JsonFilter, NotJson, Verdict


def test_without_filters_everything_passes_untouched():
    assert JsonFilter().apply(b"\xff not json") == (Verdict.PASS, b"\xff not json")


@pytest.mark.parametrize(
    ("body", "verdict"),
    [(b'{"kind": null}', Verdict.PASS), (b'{"x": 1}', Verdict.DROP), (b"null", Verdict.DROP)],
)
def test_a_required_field_has_to_be_there(body, verdict):
    assert JsonFilter("kind").apply(body) == (verdict, body)


@pytest.mark.parametrize(
    ("value", "wanted", "passes"),
    [
        ('"a"', "a", True),
        ('"a"', "b", False),
        ('"1"', "1", True),
        ('"1.0"', "1", False),
        ("1", "1", True),
        ("1.0", "1", True),
        ("1", "1e0", True),
        ("2", "1", False),
        ("1", "one", False),
        ("10", "1_0", False),
        ("true", "true", False),
        ("true", "1", False),
        ("null", "null", False),
        ("[1]", "1", False),
    ],
)
def test_a_required_value_is_compared_as_text_or_as_number(value, wanted, passes):
    verdict, _ = JsonFilter("f", wanted).apply(b'{"f": %s}' % value.encode())
    assert verdict is (Verdict.PASS if passes else Verdict.DROP)


def test_a_message_without_the_field_whose_value_is_asked_for_is_tried_again():
    assert JsonFilter("f", "1").apply(b"{}")[0] is Verdict.RETRY


@pytest.mark.slow
@pytest.mark.parametrize(
    "body", [b"", b"[1]", b"1", b'"x"', b"{", b'{"a": NaN}', b'{"a": 1e999}', b"[" * 100_000]
)
def test_what_is_no_json_object_is_told_apart(body):
    with pytest.raises(NotJson):
        JsonFilter("f").apply(body)


def whitelisted(body: bytes, *fields: str) -> bytes:
    verdict, filtered = JsonFilter(whitelist=fields).apply(body)
    assert verdict is Verdict.PASS
    return filtered


def test_only_whitelisted_fields_pass():
    assert whitelisted(b'{"b": 2, "a": [1, {"x": "y"}], "c": 3}', "a", "b", "d") == (
        b'{"a":[1,{"x":"y"}],"b":2}'
    )


def test_whole_numbers_stay_whole_and_keep_their_digits():
    body = b'{"a": 1.0, "b": 1e3, "c": 12345678901234567890, "d": 1.5, "e": 1e300}'
    filtered = whitelisted(body, "a", "b", "c", "d", "e")
    assert filtered == b'{"a":1,"b":1000,"c":12345678901234567890,"d":1.5,"e":1e+300}'


@pytest.mark.parametrize(
    "body",
    ['{"a": "é \\u00e9 <&> \\u2028"}'.encode(), b'{"a": "\\ud800 \xff"}', '{"a": "😀"}'.encode()],
)
def test_any_text_comes_through(body):
    filtered = json.loads(whitelisted(body, "a"))
    expected = json.loads(body.decode("utf-8", "replace"))["a"].replace("\ud800", "\ufffd")
    assert filtered == {"a": expected}


@pytest.mark.slow
@pytest.mark.parametrize("depth", [900, 1000, 30_000])
def test_no_message_is_dropped_for_want_of_stack(depth):
    nested = b'{"a":[' * depth + b"1" + b"]}" * depth
    body = b'{"f": 1, "x": ' + nested + b"}"
    assert JsonFilter("f", "1").apply(body) == (Verdict.PASS, body)
    assert whitelisted(body, "x") == b'{"x":' + nested + b"}"


@pytest.mark.parametrize("digits", [300, 310, 5_000, 100_000])
def test_numbers_of_any_length_come_through(digits):
    number = b"1" * digits
    body = b'{"f":%s,"x":[%s,{"y":-%s}]}' % (number, number, number)
    assert JsonFilter("f", number.decode()).apply(body) == (Verdict.PASS, body)
    assert JsonFilter("f", "1").apply(body)[0] is Verdict.DROP
    assert whitelisted(body, "f", "x") == body


@pytest.mark.slow
@given(
    values=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_the_parser_without_recursion_reads_and_writes_as_the_other_one(values):
    for text in (json.dumps(values), json.dumps(values, ensure_ascii=False, indent=1)):
        assert deep_json.decode(text, float) == values
    compact = json.dumps(values, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    assert deep_json.encode(values) == compact


@pytest.mark.slow
@given(st.text(alphabet='[]{},:"\\ 1-.eatrufnls', max_size=12))
def test_what_the_parser_without_recursion_refuses_the_other_one_refuses(text):
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            deep_json.decode(text, float)
    else:
        assert deep_json.decode(text, float) == expected
