"""Responses on the wire."""

import json as stdlib_json

import pytest

from nsqcore.http.responses import HttpError, Response, json, text


def test_text_says_that_it_is_text_of_the_api():
    assert text("grün").wire() == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"X-Nsq-Content-Type: nsq; version=1.0\r\nContent-Length: 5\r\n\r\ngr\xc3\xbcn"
    )


def test_a_page_that_is_not_of_the_api_does_not_say_so():
    assert b"X-Nsq" not in text("OK", versioned=False).wire()


def test_json_is_compact_and_complete():
    value = {"a": [1, 2.5, None, True], "ü": "<&>"}
    body = json(value).body
    assert stdlib_json.loads(body) == value
    assert b" " not in body


def test_an_empty_answer_has_a_length_and_no_type():
    assert Response(versioned=False).wire() == b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def test_an_error_carries_its_message():
    response = HttpError(400, "INVALID_TOPIC").response()
    assert response.wire().startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert response.body == b'{"message":"INVALID_TOPIC"}'
    assert str(HttpError(400, "INVALID_TOPIC")) == "400 INVALID_TOPIC"


def test_further_headers_are_sent():
    response = Response(405, headers=(("Allow", "GET"),))
    assert b"\r\nAllow: GET\r\n" in response.wire()


@pytest.mark.parametrize("keep_alive", [True, False])
@pytest.mark.parametrize("http_1_0", [True, False])
def test_unusual_requests_get_the_same_answer_in_their_terms(keep_alive, http_1_0):
    wire = text("OK").render(b"Date: now\r\n", keep_alive=keep_alive, http_1_0=http_1_0)
    assert wire.startswith(b"HTTP/1.0 200" if http_1_0 else b"HTTP/1.1 200")
    assert (b"Connection: close\r\n" in wire) is not (keep_alive or http_1_0)
    assert (b"Connection: keep-alive\r\n" in wire) is (http_1_0 and keep_alive)
    assert b"\r\nDate: now\r\n" in wire
    assert wire.endswith(b"\r\n\r\nOK")


def test_an_answer_that_never_changes_carries_the_date_of_each_time_it_is_sent():
    answer = text("OK")
    assert b"\r\nDate: today\r\n" in answer.wire(b"Date: today\r\n")
    assert b"\r\nDate: tomorrow\r\n" in answer.wire(b"Date: tomorrow\r\n")
    assert answer.wire(b"Date: tomorrow\r\n").count(b"Date: ") == 1
