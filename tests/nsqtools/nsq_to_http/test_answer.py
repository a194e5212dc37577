"""Answers as they come, and as they should not: the final head decides."""

import pytest

from nsqtools.nsq_to_http.answer import MAX_HEAD, AnswerParser, BadAnswer

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"
CHUNKED = (
    b"HTTP/1.1 201 x\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3;ext=1\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\nTrailer: x\r\n\r\n"
)
HINTS = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"


def parse(*parts: bytes) -> AnswerParser:
    parser = AnswerParser()
    for part in parts:
        parser.feed(part)
    return parser


@pytest.mark.parametrize("answer", [PLAIN, CHUNKED, HINTS + CHUNKED, b"\r\n\n" + PLAIN])
def test_the_outcome_does_not_depend_on_where_the_stream_is_cut(answer):
    whole = parse(answer)
    for cut in range(len(answer) + 1):
        parsed = parse(answer[:cut], answer[cut:])
        assert (parsed.status, parsed.size) == (whole.status, whole.size)
        assert (parsed.complete, parsed.reusable) == (True, True), cut
    byte_by_byte = parse(*(answer[at : at + 1] for at in range(len(answer))))
    assert (byte_by_byte.complete, byte_by_byte.reusable) == (True, True)


def test_a_status_is_there_before_the_body():
    assert parse(PLAIN[:-2]).status == 200
    assert not parse(PLAIN[:-1]).complete


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nOK",
        b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nOK",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nOK",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\ncontent-length: 3\r\n\r\nOK",
        b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nOK",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nOK",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999999\r\n\r\nOK",
        b"HTTP/1.1 200 OK\r\nContent Length: 2\r\n\r\nOK",
        b"HTTP/1.1 200 OK\r\nno colon at all\r\n\r\nOK",
        b"HTTP/1.1 200 OK\r\nX: a\r\n folded\r\n\r\nOK",
        b"HTTP/1.1 200 OK\r\nX: \x00\xff\r\n\r\nOK",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\nOK",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot chunks\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 100_000,
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
    ],
)
def test_whatever_is_odd_beside_the_status_the_status_counts(head):
    assert parse(head).status == 200
    assert parse(*(head[at : at + 1000] for at in range(0, len(head), 1000))).status == 200


@pytest.mark.parametrize(
    "answer",
    [
        PLAIN + b"more",
        PLAIN.replace(b"1.1", b"1.0"),
        PLAIN.replace(b"Content", b"Connection: close\r\nContent"),
        PLAIN.replace(b"Content", b"connection: x, Close\r\nContent"),
        CHUNKED.replace(b"Transfer", b"Content-Length: 5\r\nTransfer"),
        PLAIN.replace(b"Length: 2", b"Length: 2\r\nContent-Length: 3"),
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ],
)
def test_a_connection_is_used_again_only_where_the_end_is_certain(answer):
    assert not parse(answer).reusable


def test_what_is_kept_alive_by_http_1_0_is_used_again():
    kept = PLAIN.replace(b"1.1", b"1.0").replace(b"Content", b"Connection: Keep-Alive\r\nContent")
    assert parse(kept).reusable


@pytest.mark.parametrize("status", [204, 304])
def test_some_answers_have_no_body(status):
    parsed = parse(b"HTTP/1.1 %d x\r\nContent-Length: 5\r\n\r\n" % status)
    assert (parsed.complete, parsed.reusable) == (True, True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "garbage",
    [
        b"nonsense",
        b"HTTP/1.1 20 x\r\n\r\n",
        b"HTTP/1.1 2000 x\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"HTTP/1.1" + b" " * 100,
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * MAX_HEAD,
        HINTS * (MAX_HEAD // len(HINTS) + 1),
    ],
)
def test_what_has_no_status_is_no_answer(garbage):
    with pytest.raises(BadAnswer):
        parse(garbage)
    with pytest.raises(BadAnswer):
        parse(*(garbage[at : at + 4096] for at in range(0, len(garbage), 4096)))


def test_the_last_place_of_a_redirect_is_where_it_leads():
    parsed = parse(b"HTTP/1.1 302 x\r\nLOCATION:  /there \r\nContent-Length: 0\r\n\r\n")
    assert (parsed.status, parsed.location) == (302, "/there")
