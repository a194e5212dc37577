"""HTTP/1.1 without I/O: what is answered to which bytes, however they are cut."""

import json
import re

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.nsqcore.reactor.pairs import run_reactor, serve_pair

from nsqcore.http.later import Later
from nsqcore.http.responses import text
from nsqcore.http.router import Router
from nsqcore.http.session import MAX_HEAD, HttpSession, Timeouts
from nsqcore.net.effects import Peer, Wait
from nsqcore.reactor.listeners import open_listener
from nsqcore.reactor.reactor import Reactor
from nsqcore.reactor.timers import Timers

PING = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"
OK = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"X-Nsq-Content-Type: nsq; version=1.0\r\nContent-Length: 2\r\n\r\nOK"
)


def post(path: str, body: bytes, headers: str = "") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


def statuses(answers: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d+)", answers)]


def test_a_request_is_answered_in_one_piece(talk):
    assert talk.send(PING) == OK
    assert not talk.closed


def test_a_connection_serves_many_requests_errors_among_them(talk):
    seen = [statuses(talk.send(data)) for data in (PING, post("/nowhere", b"x"), PING)]
    assert seen == [[200], [404], [200]]
    assert not talk.closed


def test_requests_sent_ahead_are_answered_in_order(talk):
    answers = talk.send(
        PING + post("/pub", b"three") + b"GET /nope HTTP/1.1\r\nHost: x\r\n\r\n" + PING
    )
    assert statuses(answers) == [200, 200, 404, 200]
    assert answers.startswith(OK)
    assert answers.endswith(OK)


STREAM = (
    PING
    + post("/echo?a=1&b=%20", b"body\r\n\r\n")
    + b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n"
    + post("/echo", b"")
    + PING
)


@pytest.mark.parametrize("cut", range(0, len(STREAM), 3))
def test_it_does_not_matter_where_the_network_cuts(connect, cut):
    whole, parts = connect(), connect()
    assert parts.send(STREAM[:cut] or b"\r\n") + parts.send(STREAM[cut:]) == whole.send(STREAM)


@settings(max_examples=30)
@given(size=st.integers(1, 60))
def test_the_network_may_cut_anywhere_and_often(size):
    router = Router()
    router.add("POST", "/echo", lambda request: text(request.body))
    router.add("GET", "/ping", lambda request: text("OK"))
    sessions = [HttpSession(router, Peer("")) for _ in range(2)]
    for begin in range(0, len(STREAM), size):
        assert sessions[0].received(STREAM[begin : begin + size]) is None
    sessions[1].received(STREAM)
    assert sessions[0].outbox.take() == sessions[1].outbox.take()


def test_chunked_bodies_arrive_whole(talk):
    answer = talk.send(
        b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"4\r\nWiki\r\n5;ext=1\r\npedia\r\n0\r\nTrailer: x\r\n\r\n"
    )
    assert answer.endswith(b'["/echo",{},"Wikipedia"]')


def test_connection_close_is_honoured_and_what_follows_ignored(talk):
    answer = talk.send(b"GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" + PING)
    assert statuses(answer) == [200]
    assert b"\r\nConnection: close\r\n" in answer
    assert talk.closed


def test_http_1_0_is_answered_in_kind_and_closed(talk):
    answer = talk.send(b"GET /ping HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.0 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nOK")
    assert talk.closed


def test_http_1_0_may_ask_to_keep_the_connection(talk):
    request = b"GET /ping HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    assert b"\r\nConnection: keep-alive\r\n" in talk.send(request)
    assert statuses(talk.send(request)) == [200]
    assert not talk.closed


def test_head_is_answered_without_a_body(talk):
    answer = talk.send(b"HEAD /ping HTTP/1.1\r\nHost: x\r\n\r\n" + PING)
    assert statuses(answer) == [405, 200]
    assert answer.endswith(b"Content-Length: 32\r\n\r\n" + OK)


def test_a_client_is_told_to_go_on_when_it_asks(talk):
    head = b"POST /pub HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    assert talk.send(head) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert talk.send(b"hello").endswith(b"\r\n\r\n5")


def test_a_client_that_did_not_wait_is_not_told_to_go_on(talk):
    assert statuses(talk.send(post("/pub", b"hello", "Expect: 100-continue\r\n"))) == [200]


@pytest.mark.parametrize("expect", ["", "Expect: 100-continue\r\n"])
def test_a_declared_body_over_the_limit_is_refused_before_it_comes(talk, expect):
    head = f"POST /pub HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n{expect}\r\n".encode()
    answer = talk.send(head)
    assert statuses(answer) == [413]
    assert answer.endswith(b'{"message":"MSG_TOO_BIG"}')
    assert b"Connection: close" in answer
    assert talk.closed


def test_a_body_at_the_limit_is_taken_and_one_over_it_refused(talk):
    assert statuses(talk.send(post("/pub", bytes(100)))) == [200]
    assert statuses(talk.send(post("/pub", bytes(101)))) == [413]


def test_a_chunked_body_is_refused_as_soon_as_it_is_over_the_limit(talk):
    talk.send(b"POST /pub HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"3c\r\n" + bytes(60) + b"\r\n"
    assert talk.send(chunk) == b""
    assert statuses(talk.send(chunk)) == [413]
    assert talk.closed


def test_a_head_that_never_ends_is_refused(talk):
    talk.send(b"GET /ping HTTP/1.1\r\nHost: x\r\n")
    answer = b""
    for _ in range(MAX_HEAD // 1000 + 2):
        answer += talk.send(b"X-Filler: " + b"y" * 1000 + b"\r\n")
    assert statuses(answer) == [431]
    assert talk.closed


@pytest.mark.parametrize(
    "endless",
    [b"5\r\nhello\r\n0\r\n" + b"X-Filler: 1\r\n", b"5;x=" + b"y" * 100],
    ids=["trailers", "chunk extensions"],
)
def test_what_never_ends_behind_the_head_is_refused(talk, endless):
    talk.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + endless)
    filler = endless[-10:] * 100 if endless.endswith(b"y") else b"X-Filler: 1\r\n" * 100
    answer = b""
    for _ in range(MAX_HEAD // len(filler) + 2):
        answer += talk.send(filler)
    assert statuses(answer) == [431]
    assert talk.closed


def test_a_body_in_tiny_chunks_is_taken(talk):
    talk.send(b"POST /pub HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(90):
        for piece in (b"1;" + b"x" * 500, b"x" * 500 + b"\r\n", b"z\r\n"):
            assert talk.send(piece) == b""
    assert talk.send(b"0\r\n\r\n").endswith(b"\r\n\r\n90")


def test_trailers_are_not_taken_for_headers(talk):
    chunked = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    answers = talk.send(chunked + b"0\r\nExpect: a miracle\r\n\r\n" + PING)
    assert statuses(answers) == [200, 200]


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"HTTP/1.1\r\nHost: x\r\nExpect: 200-ok\r\nContent-Length: 2", 417),
        (b"HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked", 501),
        (b"HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x", 400),
        (b"HTTP/1.0\r\nTransfer-Encoding: chunked", 400),
        (b"HTTP/2.0", 505),
    ],
)
def test_a_head_that_asks_for_what_is_not_done_is_refused(talk, head, status, cut):
    request = b"POST /echo " + head + b"\r\n\r\n"
    answers = talk.send(PING + request)
    if cut:
        answers += talk.send(b"2\r\nhi\r\n0\r\n\r\n")
    assert statuses(answers) == [200, status]
    assert b"Connection: close\r\n" in answers
    assert talk.closed


@pytest.mark.parametrize(
    "request_", [b"GET /ping HTTP/1.1\r\n\r\n", PING.replace(b"\r\n\r\n", b"\r\nHost: y\r\n\r\n")]
)
def test_a_request_that_does_not_say_for_which_host_it_is_ends_the_connection(talk, request_):
    assert statuses(talk.send(PING + request_ + PING)) == [200, 400]
    assert talk.closed


def test_every_answer_says_when_it_was_given(connect):
    talk = connect(date=lambda: b"Date: now\r\n")
    answers = talk.send(
        PING
        + b"HEAD /ping HTTP/1.1\r\nHost: x\r\n\r\n"
        + b"GET /ping HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
        + b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n"
        + b"nonsense\r\n\r\n"
    )
    assert statuses(answers) == [200, 405, 200, 404, 400]
    assert answers.count(b"\r\nDate: now\r\n") == 5


def test_a_request_of_the_first_http_is_a_bad_one(talk):
    assert statuses(talk.send(b"GET /ping\r\n\r\n")) == [400]
    assert talk.closed


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"  V2IDENTIFY\n",
        b"GET /ping HTTP/9.9\r\n\r\n",
        b"POST /pub HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /pub HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /pub HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /ping HTTP/1.1\r\nHost: x\r\nBad Header\r\n\r\n",
    ],
)
def test_garbage_is_a_bad_request_and_the_end(talk, garbage):
    answers = talk.send(PING + garbage)
    assert statuses(answers) == [200, 400]
    assert talk.closed


def bare(stream: bytes) -> bytes:
    """``stream`` with its heads' lines ended by LF alone."""
    return stream.replace(b"\r\n", b"\n")


@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
def test_lines_of_a_head_may_end_in_lf_alone(talk, size):
    request = b"POST /echo?a=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\n"
    body = b"a\nb\r\nc\n\xff"
    stream = (bare(request) + body + request + body) * 2 + bare(PING) + PING
    answers = b"".join(talk.send(stream[at : at + size]) for at in range(0, len(stream), size))
    assert statuses(answers) == [200] * 6
    assert answers.count(b'["/echo",{"a":["1"]},"a\\nb\\r\\nc\\n\xc3\xbf"]') == 4
    assert not talk.closed


@pytest.mark.parametrize("size", [1, 3, 10_000])
def test_a_target_may_hold_bytes_that_are_not_ascii(talk, size):
    first = "GET /pïng HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    second = post("/echo?a=é&b=%C3%A9", b"x").replace(b"\xc3\xa9", b"\xc3\xa9")
    third = b"POST /echo?a=\xff HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"
    stream = first + second + third + PING
    answers = b"".join(talk.send(stream[at : at + size]) for at in range(0, len(stream), size))
    assert statuses(answers) == [404, 200, 200, 200]
    assert '{"a":["é"],"b":["é"]}'.encode() in answers
    assert not talk.closed


@pytest.mark.parametrize(
    "request_",
    [
        b"POST /echo HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\nContent-Length: 3\n\n"
        b"3\r\nabc\r\n0\r\n\r\n",
        b"POST /echo HTTP/1.1\nHost: x\nContent-Length: 3\nContent-Length: 4\n\nabcd",
        b"POST /echo HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n",
        b"POST /echo HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n3;\nabc\r\n0\r\n\r\n",
        b"POST /echo HTTP/1.1\nHost: x\nContent-Length : 3\n\nabc",
        b"POST /echo HTTP/1.1\nHost: x\n Content-Length: 3\n\nabc",
        b"POST /echo HTTP/1.1\nHost: x\rContent-Length: 3\n\nabc",
        b"POST /echo HTTP/1.1\nHost: x\nContent-Length: +3\n\nabc",
    ],
)
@pytest.mark.parametrize("size", [1, 10_000])
def test_nothing_is_smuggled_in_lines_that_end_in_lf(talk, request_, size):
    stream = request_ + PING
    answers = b"".join(talk.send(stream[at : at + size]) for at in range(0, len(stream), size))
    assert statuses(answers) == [400]
    assert talk.closed


@pytest.mark.parametrize(
    "chunks",
    [
        b"3\r\nabcXX0\r\n\r\n",
        b"3\r\nabc\r\r0\r\n\r\n",
        b"3\rXabc\r\n0\r\n\r\n",
        b"3 \tx\r\nabc\r\n0\r\n\r\n",
        b"+3\r\nabc\r\n0\r\n\r\n",
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabc\n0\r\n\r\n",
        b"3\nabc\r\n0\r\n\r\n",
        b"3;\rx\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabc\r\n0\r\nX",
    ],
)
@pytest.mark.parametrize("size", [1, 10_000])
def test_malformed_framing_of_chunks_is_refused(talk, chunks, size):
    stream = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + PING
    answers = b"".join(talk.send(stream[at : at + size]) for at in range(0, len(stream), size))
    assert statuses(answers) == [400]
    assert talk.closed


@pytest.mark.parametrize(
    "lengths",
    [
        "Transfer-Encoding: chunked\r\nContent-Length: 400",
        "Content-Length: 400\r\nTransfer-Encoding: chunked",
        "Content-Length: 3\r\nContent-Length: 400",
        "Content-Length: 400\r\nContent-Length: 3",
    ],
)
def test_nothing_is_smuggled_in_a_body_that_comes_with_its_head(talk, lengths):
    body = b"3\nabc\n0\n\n" + PING
    stream = f"POST /echo HTTP/1.1\r\nHost: x\r\n{lengths}\r\n\r\n".encode() + body
    assert statuses(talk.send(stream)) == [400]
    assert talk.closed


@pytest.mark.parametrize("cut", [40, 100, 10_000])
def test_a_body_of_any_bytes_is_read_and_lines_behind_it_may_end_in_lf(talk, cut):
    body = bytes(range(256)) + b"\n\r\n\r\n"
    stream = post("/echo", body) + PING.replace(b"\r\n", b"\n")
    answers = talk.send(stream[:cut]) + (talk.send(stream[cut:]) if stream[cut:] else b"")
    assert statuses(answers) == [200, 200]
    echoed = answers.partition(b"\r\n\r\n")[2].partition(b"HTTP/1.1")[0]
    assert json.loads(echoed)[2].encode("latin-1") == body


def test_a_broken_path_is_a_bad_request(talk):
    assert statuses(talk.send(b"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n")) == [400]


OFFERS = {
    "h2c": "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    "websocket": "Upgrade: websocket\r\nConnection: keep-alive, upgrade\r\n",
    "tls": "connection: UPGRADE\r\nUPGRADE: TLS/1.2, HTTP/3\r\n",
    "two": "Connection: upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n",
}
BODIES = {
    "length": "Content-Length: 5\r\n{}\r\nhello",
    "chunks": "Transfer-Encoding: chunked\r\n{}\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    "length behind": "{}Content-Length: 5\r\n\r\nhello",
    "chunks behind": "{}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_body_sent_with_an_upgrade_is_read_answered_and_the_connection_goes_on(
    talk, offer, body, size
):
    request = "POST /echo HTTP/1.1\r\nHost: x\r\n" + BODIES[body].format(OFFERS[offer])
    stream = request.encode() * 3 + PING
    answers = b"".join(talk.send(stream[at : at + size]) for at in range(0, len(stream), size))
    assert statuses(answers) == [200] * 4
    assert answers.count(b'["/echo",{},"hello"]') == 3
    assert not talk.closed


def test_a_body_announced_with_an_upgrade_is_asked_for(talk):
    head = post("/pub", b"", OFFERS["h2c"] + "Expect: 100-continue\r\n")
    head = head.replace(b"Content-Length: 0", b"Content-Length: 5")
    assert talk.send(head) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert statuses(talk.send(b"hello" + PING)) == [200, 200]


def test_what_must_be_refused_is_refused_beside_an_upgrade_too(connect):
    big = post("/pub", bytes(101), OFFERS["h2c"])
    both = post("/pub", b"hello", OFFERS["h2c"] + "Transfer-Encoding: chunked\r\n")
    for request, status in ((big, 413), (both, 400)):
        talk = connect()
        assert statuses(talk.send(request + PING))[0] == status
    last = post("/pub", b"hello", "Connection: upgrade, close\r\nUpgrade: h2c\r\n")
    assert statuses(connect().send(last + PING)) == [200]


def test_an_offer_to_speak_something_else_is_declined_and_what_follows_answered(talk):
    answer = talk.send(b"GET /ping HTTP/1.1\r\nHost: x\r\n%s\r\n" % OFFERS["h2c"].encode() + PING)
    assert statuses(answer) == [200, 200]
    assert not talk.closed


def test_nothing_is_tunnelled(talk):
    assert statuses(talk.send(b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n" + PING))[1:] == []
    assert talk.closed


def test_a_handler_that_crashes_is_logged_and_answered(talk, caplog):
    assert statuses(talk.send(b"GET /crash HTTP/1.1\r\nHost: x\r\n\r\n" + PING)) == [500, 200]
    assert "GET /crash failed" in caplog.text
    assert "a handler's fault" in caplog.text


LATER = b"GET /later HTTP/1.1\r\nHost: x\r\n\r\n"


def test_an_answer_may_come_later_and_those_behind_it_keep_their_order(connect):
    laters: list[Later] = []
    talk = connect(laters)
    assert talk.send(PING + LATER + post("/pub", b"x") + LATER) == OK
    first, second = laters
    second.answer(text("second"))
    assert talk.session.outbox.take() == b""
    first.answer(text("first", 503))
    answers = talk.session.outbox.take()
    assert statuses(answers) == [503, 200, 200]
    assert answers.endswith(b"second")
    assert talk.send(PING) == OK
    with pytest.raises(RuntimeError):
        first.answer(text("again"))


def test_an_answer_may_be_there_before_it_is_returned(router, connect):
    def answer(_request):
        later = Later()
        later.answer(text("OK"))
        return later

    router.add("GET", "/now", answer)
    assert connect().send(b"GET /now HTTP/1.1\r\nHost: x\r\n\r\n") == OK


def test_the_last_request_of_a_connection_may_be_answered_later_too(connect):
    laters: list[Later] = []
    talk = connect(laters)
    request = LATER.replace(b"Host", b"Connection: close\r\nHost")
    assert talk.send(request + PING) == b""
    assert talk.closed  # the driver waits for what is to come
    laters[0].answer(text("OK"))
    answer = talk.session.outbox.take()
    assert statuses(answer) == [200]
    assert b"Connection: close" in answer
    talk.session.closed(None)


async def test_as_many_answers_as_one_likes_may_come_later(connect):
    laters: list[Later] = []
    talk = connect(laters)
    effect = talk.session.received(LATER * 3000)
    answered = 0
    while answered < 3000:
        assert len(laters) - answered <= 1024
        for later in laters[answered:]:
            later.answer(text("OK"))
            answered += 1
        if isinstance(effect, Wait):
            await effect.run()
            effect = effect.resume()
    assert effect is None
    assert talk.session.outbox.take() == OK * 3000


async def test_a_connection_whose_answer_is_to_come_is_not_idle(connect, timers, autojump_clock):
    laters: list[Later] = []
    talk = connect(laters, timeouts=Timeouts(timers, idle=2, request=1))
    talk.send(LATER)
    await trio.sleep(60)
    assert talk.session.outbox.closing is None
    laters[0].answer(text("OK"))
    await trio.sleep(60)
    assert talk.session.outbox.closing == "timeout"


async def test_an_asynchronous_answer_holds_up_those_behind_it(talk, autojump_clock):
    slow = b"GET /slow?n=%d HTTP/1.1\r\nHost: x\r\n\r\n"
    answers = await talk.ask(PING + slow % 1 + PING + slow % 2 + PING)
    assert [part[-6:] for part in re.split(rb"(?=HTTP)", answers)[1:]] == [
        b"\r\n\r\nOK",
        b"slow 1",
        b"\r\n\r\nOK",
        b"slow 2",
        b"\r\n\r\nOK",
    ]
    assert trio.current_time() == 2


async def test_an_asynchronous_refusal_is_answered(talk, autojump_clock):
    answer = await talk.ask(b"GET /slow/bad HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert statuses(answer) == [503]
    assert talk.closed


async def test_garbage_behind_an_asynchronous_answer_comes_after_it(talk, autojump_clock):
    answers = await talk.ask(b"GET /slow?n=1 HTTP/1.1\r\nHost: x\r\n\r\nnonsense\r\n\r\n")
    assert statuses(answers) == [200, 400]
    assert talk.closed


async def test_a_client_that_asks_on_without_reading_gets_a_megabyte_at_a_time(nursery):
    router = Router()
    router.add("GET", "/big", lambda request: text(bytes(100_000)))
    session = HttpSession(router, Peer(""))
    reactor = Reactor(lambda: None)
    await run_reactor(nursery, reactor)
    ours = await serve_pair(nursery, reactor, session)
    with trio.fail_after(60):
        await ours.send_all(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n" * 200)
        await trio.testing.wait_all_tasks_blocked()
        most = received = 0
        while received < 200 * 100_000:
            received += len(await ours.receive_some(1_000_000))
            most = max(most, session.outbox.size)
    assert most < 3_000_000
    nursery.cancel_scope.cancel()


async def test_a_client_that_goes_without_having_read_leaves_nothing_behind(nursery):
    router = Router()
    router.add("GET", "/big", lambda request: text(bytes(1_000_000)))
    session = HttpSession(router, Peer(""))
    effect = session.received(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
    assert isinstance(effect, Wait)
    session.closed(ConnectionResetError())
    with trio.fail_after(60):
        await effect.run()


def test_the_end_of_input_closes(talk):
    talk.send(b"POST /pub HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
    assert talk.send(b"") == b""
    assert talk.closed


@pytest.fixture
async def timers(nursery):
    timers = Timers(lambda: int(trio.current_time() * 1e9))
    nursery.start_soon(timers.run)
    return timers


async def test_a_silent_connection_is_closed(connect, timers, autojump_clock):
    talk = connect(timeouts=Timeouts(timers, idle=100, request=10))
    talk.send(PING)
    await trio.sleep(99)
    assert talk.session.outbox.closing is None
    await trio.sleep(20)
    assert talk.session.outbox.closing is not None
    assert talk.session.outbox.take() == b""


async def test_a_request_that_takes_too_long_to_arrive_is_refused(connect, timers, autojump_clock):
    talk = connect(timeouts=Timeouts(timers, idle=100, request=10))
    await trio.sleep(50)
    answer = b""
    for byte in b"GET /ping HTTP/1.1\r\nHost":
        answer += talk.send(bytes([byte]))
        await trio.sleep(1)
    assert talk.session.outbox.closing is not None
    assert statuses(answer) == [408]


async def test_a_body_that_keeps_coming_may_take_its_time(connect, timers, autojump_clock):
    talk = connect(timeouts=Timeouts(timers, idle=100, request=10))
    talk.send(b"POST /pub HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\n")
    for _ in range(29):
        await trio.sleep(3)
        assert talk.send(b"x") == b""
    assert statuses(talk.send(b"x")) == [200]


async def test_a_slow_answer_is_not_the_clients_fault(connect, timers, autojump_clock):
    talk = connect(timeouts=Timeouts(timers, idle=0.2, request=0.1))
    assert statuses(await talk.ask(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")) == [200]
    assert talk.session.outbox.closing is None
    talk.session.closed(None)


async def test_a_connection_that_is_gone_is_watched_no_longer(connect, timers, autojump_clock):
    ended = []
    talk = connect(timeouts=Timeouts(timers, idle=2, request=1), on_closed=lambda: ended.append(1))
    talk.session.closed(ConnectionResetError())
    await trio.sleep(60)
    assert talk.session.outbox.closing is None
    assert ended == [1]


async def test_it_is_served_on_the_reactor(router, nursery):
    reactor = Reactor(lambda: None)
    listener = open_listener("127.0.0.1:0")
    reactor.listen(listener, lambda peer: HttpSession(router, peer))
    await nursery.start(lambda task_status: reactor.run(task_status=task_status))
    stream = await trio.open_tcp_stream("127.0.0.1", listener.port)
    with trio.fail_after(60):
        await stream.send_all(PING)
        assert await stream.receive_some(1000) == OK
        # A client that sends all of a refused body before it looks still sees why.
        await stream.send_all(post("/pub", bytes(500_000)))
        answer = b""
        while chunk := await stream.receive_some(1000):
            answer += chunk
    assert statuses(answer) == [413]
    await stream.aclose()
    nursery.cancel_scope.cancel()


PIECES = [
    b"GET ", b"POST ", b"/ping", b"/pub", b"?a=%zz", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b"\r\n",
    b"Host: x\r\n",
    b"Content-Length: 5\r\n", b"Content-Length: 5", b"Content-Length: 1, 1\r\n", b"hello",
    b"Transfer-Encoding: chunked\r\n", b"5\r\n", b"0\r\n\r\n", b"Expect: 100-continue\r\n",
    b"Connection: close\r\n", b"Upgrade: x\r\nConnection: upgrade\r\n", b"Host: x\r\n", b"\xff\x00",
]  # fmt: skip


@pytest.mark.slow
@settings(max_examples=30)
@given(st.lists(st.lists(st.sampled_from(PIECES), min_size=1, max_size=8), max_size=5))
def test_no_nonsense_breaks_a_session(chunks):
    router = Router()
    router.add("GET", "/ping", lambda request: text(str(request.args())))
    router.add("POST", "/pub", lambda request: text(request.body), max_body=5)
    session = HttpSession(router, Peer(""))
    for chunk in chunks:
        session.received(b"".join(chunk))
    session.received(b"")
    answers = session.outbox.take()
    assert answers == b"" or answers.startswith(b"HTTP/1.")
    session.closed(None)
