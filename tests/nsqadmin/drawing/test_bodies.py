"""Bodies as pages show them."""

import pytest

from nsqadmin.drawing.bodies import show, snippet
from nsqadmin.drawing.msgpack import BadMessagePack, unpack


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        (b'{"a":[1,{}]}', "JSON", '{\n  "a": [\n    1,\n    {}\n  ]\n}'),
        (b"{broken", "text", "{broken"),
        ("caf\u00e9\n".encode(), "text", "caf\u00e9\n"),
        (b"12", "text", "12"),
        ("\u4f60\u3000\u597d\u00a0!".encode(), "text", "\u4f60\u3000\u597d\u00a0!"),
        (b'["\\ud800"]', "JSON", '[\n  "\\ud800"\n]'),
        ('["\u202egnp.exe"]'.encode(), "JSON", '[\n  "\\u202egnp.exe"\n]'),
        (b"\x82\xa1a\x01\xa1b\xc0", "MessagePack", '{\n  "a": 1,\n  "b": null\n}'),
        (b"\xff\x00A", "bytes", f"000000  {'ff 00 41':<47}  ..A"),
        (b"", "bytes", ""),
    ],
)
def test_a_body_is_taken_for_what_it_is(body, kind, text):
    shown = show(body)
    assert (shown.kind, shown.text) == (kind, text)


@pytest.mark.parametrize("body", [b"x" * 100_001, b"\xff\x00" * 10_001])
def test_that_there_is_more_than_is_shown_is_said(body):
    assert show(body).cut
    assert not show(body[:100]).cut


def test_deep_json_is_text():
    assert show(b"[" * 50_000 + b"]" * 50_000).kind == "text"


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"\x90", []),
        (b"\x93\x01\xff\xc3", [1, -1, True]),
        (b"\x91\xcd\x01\x00", [256]),
        (b"\x91\xcb\x3f\xf8\0\0\0\0\0\0", [1.5]),
        (b"\x91\xd3\xff\xff\xff\xff\xff\xff\xff\xfe", [-2]),
        (b"\x91\xd9\x02hi", ["hi"]),
        (b"\x91\xc4\x02\x00\xff", ["bytes 00ff"]),
        (b"\x91\xd4\x05\xaa", ["extension 5 aa"]),
        (b"\xdc\x00\x01\xc2", [False]),
        (b"\x81\x01\x80", {"1": {}}),
    ],
)
def test_messagepack_is_read(data, value):
    assert unpack(data) == value


@pytest.mark.parametrize(
    "data",
    [b"", b"\x01", b"\xa1a", b"\x91", b"\x90\x90", b"\xdd\xff\xff\xff\xff", b"\x91\xc1",
     b"\x91" * 100 + b"\x90", b"\x91\xa1\xff", b"\x91\xcd\x01", b"\x91\xc6\xff\xff\xff\xff"],
)  # fmt: skip
def test_what_is_no_messagepack_is_refused(data):
    with pytest.raises(BadMessagePack):
        unpack(data)


def test_a_snippet_is_one_line():
    assert snippet("a\n  b", "text") == "a b"
    assert snippet("AAAA", "base64") == "base64:AAAA"
    assert snippet("x" * 300, "text") == "x" * 120 + "\u2026"
