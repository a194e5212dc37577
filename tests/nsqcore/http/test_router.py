"""What is answered where no route fits, and where one does."""

import pytest

from nsqcore.http.responses import HttpError
from nsqcore.http.router import Router
from nsqcore.http.session import HttpSession
from nsqcore.net.effects import Peer


def head_and_body(answer: bytes) -> tuple[list[str], str]:
    head, _, body = answer.decode().partition("\r\n\r\n")
    return head.split("\r\n"), body


def ask(talk, method: str, path: str) -> tuple[list[str], str]:
    return head_and_body(talk.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()))


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_path_is_not_found(talk, method):
    head, body = ask(talk, method, "/nowhere")
    assert head[0] == "HTTP/1.1 404 Not Found"
    assert "Content-Type: application/json; charset=utf-8" in head
    assert "X-Nsq-Content-Type: nsq; version=1.0" in head
    assert body == '{"message":"NOT_FOUND"}'


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/pub", "OPTIONS, POST"),
        ("POST", "/ping", "GET, OPTIONS"),
        ("DELETE", "/config/x", "GET, OPTIONS, PUT"),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(talk, method, path, allow):
    head, body = ask(talk, method, path)
    assert head[0] == "HTTP/1.1 405 Method Not Allowed"
    assert f"Allow: {allow}" in head
    assert body == '{"message":"METHOD_NOT_ALLOWED"}'


def test_options_names_the_methods(talk):
    head, body = ask(talk, "OPTIONS", "/pub")
    assert head == ["HTTP/1.1 200 OK", "Allow: OPTIONS, POST", "Content-Length: 0"]
    assert body == ""


def test_options_of_an_unknown_path_is_not_found(talk):
    assert ask(talk, "OPTIONS", "/nowhere")[0][0] == "HTTP/1.1 404 Not Found"


def test_options_of_the_whole_server_is_fine(talk):
    assert ask(talk, "OPTIONS", "*")[0][0] == "HTTP/1.1 200 OK"


@pytest.mark.parametrize("path", ["/ping/", "/PING", "//ping", "/./ping", "/x/../Ping/"])
def test_a_path_that_is_nearly_right_is_redirected(talk, path):
    head, body = ask(talk, "GET", path)
    assert head[0] == "HTTP/1.1 301 Moved Permanently"
    assert "Location: /ping" in head
    assert body == '<a href="/ping">Moved Permanently</a>.\n\n'


def test_a_redirect_keeps_the_query_and_the_method(talk):
    head, body = ask(talk, "POST", "/pub/?topic=a%20b&x=1")
    assert head[0] == "HTTP/1.1 307 Temporary Redirect"
    assert "Location: /pub?topic=a%20b&x=1" in head
    assert body == ""


def test_a_nearly_right_path_with_the_wrong_method_is_not_found(talk):
    assert ask(talk, "GET", "/pub/")[0][0] == "HTTP/1.1 404 Not Found"


def test_an_escaped_path_is_the_same_path(talk):
    assert ask(talk, "GET", "/p%69ng")[0][0] == "HTTP/1.1 200 OK"


def test_the_whole_url_may_be_sent(talk):
    assert ask(talk, "GET", "http://127.0.0.1:4151/ping")[0][0] == "HTTP/1.1 200 OK"


def test_a_parameter_of_the_path_is_passed_on_decoded(talk):
    assert ask(talk, "GET", "/config/mem%5Fqueue")[1] == '{"opt":"mem_queue"}'
    assert ask(talk, "GET", "/config/")[0][0] == "HTTP/1.1 404 Not Found"
    assert ask(talk, "GET", "/config/a/b")[0][0] == "HTTP/1.1 404 Not Found"


def test_handlers_know_what_the_session_was_made_for(talk):
    assert ask(talk, "PUT", "/config/x")[1] == '"the daemon"'


def test_a_router_without_routes_answers_everything_the_same_way():
    refusal = HttpError(403, "TLS_REQUIRED").response()
    session = HttpSession(Router(lambda _request: refusal), Peer(""))
    for method in ("GET", "POST", "OPTIONS"):
        session.received(f"{method} /ping HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert head_and_body(session.outbox.take())[0][0] == "HTTP/1.1 403 Forbidden"
