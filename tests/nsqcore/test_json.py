"""JSON that others wrote, as Go reads it."""

import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqcore import json as nsq_json
from nsqcore.json import JsonError, clean, decode, decode_folded


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"NaN",
        b"[Infinity]",
        b"9" * 5000,
        b"\xef\xbb\xbf{}",
        b'"\x00"',
        b"{} {}",
        "\ud800",
    ],
)
def test_what_is_no_json_is_one_kind_of_error_whatever_it_is(data):
    for read in (decode, decode_folded):
        with pytest.raises(JsonError) as caught:
            read(data)
        assert caught.value.__context__ is None


@pytest.mark.slow
@given(st.binary() | st.text(alphabet=st.characters(codec=None), max_size=40))
def test_nothing_raises_another_error(data):
    try:
        found = decode_folded(data)
    except JsonError:
        return
    assert found is None or isinstance(found, (bool, int, float, str, list, dict))


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (rb'"\ud800x"', "\ufffdx"),
        (rb'"\udc00\ud800"', "\ufffd\ufffd"),
        (rb'"\uD83D\uDE00"', "\U0001f600"),
        (rb'"\ud83d\ude00\ud83d"', "\U0001f600\ufffd"),
        (rb'"\\ud800"', r"\ud800"),
        (rb'"\\\ud800"', "\\\ufffd"),
        (b'"\xff"', "\ufffd"),
        (rb'{"\ud800": 1}', {"\ufffd": 1}),
    ],
)
def test_no_text_has_a_lone_surrogate(data, value):
    """One of them in an answer ended nsqd, and left pages at status 500."""
    assert decode(data) == value


def test_text_is_cleaned_of_surrogates_alone():
    assert clean("a\ud800é") == "a\ufffdé"


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"A":1,"b":{"C":2}}', {"a": 1, "b": {"c": 2}}),
        (b'{"a":1,"A":2,"a":3}', {"a": 3}),
        (b'{"A":1,"a":null}', {"a": 1}),
        (b'{"a":null}', {"a": None}),
        (b"[1]", [1]),
    ],
)
def test_keys_match_in_any_case_the_last_one_counts_and_null_is_absent(data, value):
    assert decode_folded(data) == value


def test_an_answer_with_too_many_values_is_not_read(monkeypatch):
    monkeypatch.setattr(nsq_json, "MAX_VALUES", 1000)
    assert len(decode(b"[" + b"1," * 1000 + b"1]")) == 1001
    with pytest.raises(JsonError, match="more than 1000 values"):
        decode(b"[" + b"1," * 1001 + b"1]")


@pytest.mark.slow
def test_a_large_answer_lets_other_threads_run():
    data = b"[" + b'{"a":1,"b":[1,2,3]},' * 200_000 + b"{}]"
    ended: list[float] = []

    def read():
        decode(data, yielding=True)
        ended.append(time.perf_counter())

    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.0001)
    try:
        thread = threading.Thread(target=read)
        thread.start()
        turns = 0
        while not ended:
            turns += 1
            threading.Event().wait(0.0001)
        thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert turns > 3  # without yielding: one before it, and one after
