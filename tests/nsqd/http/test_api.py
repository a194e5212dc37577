"""The router as a whole."""

import pytest

from nsqcore.http.session import HttpSession
from nsqcore.net.effects import Peer
from nsqd.http.api import build_refusing_router
from nsqd.http.shared.context import Ports


@pytest.mark.parametrize(
    ("method", "path", "refusal"),
    [
        ("GET", "/nowhere", (404, "NOT_FOUND")),
        ("POST", "/nowhere", (404, "NOT_FOUND")),
        ("GET", "/pub?topic=x", (405, "METHOD_NOT_ALLOWED")),
        ("POST", "/ping", (405, "METHOD_NOT_ALLOWED")),
        ("PUT", "/stats", (405, "METHOD_NOT_ALLOWED")),
        ("DELETE", "/topic/delete?topic=x", (405, "METHOD_NOT_ALLOWED")),
        ("GET", "/topic/create?topic=x", (405, "METHOD_NOT_ALLOWED")),
    ],
)
async def test_what_is_not_there_is_refused(nsqd, method, path, refusal):
    assert (await nsqd.ask(method, path)).refusal == refusal


async def test_options_names_the_methods(nsqd):
    answer = await nsqd.ask("OPTIONS", "/pub")
    assert (answer.status, answer.headers["Allow"]) == (200, "OPTIONS, POST")


def ask_in_plain_text(nsqd, request):
    """Status line and body of the answer where TLS is required."""
    nsqd.api.ports = Ports(https=4152)
    session = HttpSession(build_refusing_router(nsqd.api), Peer("127.0.0.1:9"))
    session.received(request + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    head, _, body = session.outbox.take().partition(b"\r\n\r\n")
    return head.split(b"\r\n")[0], body


@pytest.mark.parametrize("request_line", [b"GET /ping", b"GET /metrics", b"PUT /config/drain"])
async def test_everything_is_refused_where_tls_is_required(nsqd, request_line):
    status, body = ask_in_plain_text(nsqd, request_line)
    assert status.startswith(b"HTTP/1.1 403 ")
    assert body == b'{"message":"TLS_REQUIRED","https_port":4152}'


async def test_probes_are_answered_even_where_tls_is_required(nsqd):
    assert ask_in_plain_text(nsqd, b"GET /livez") == (b"HTTP/1.1 200 OK", b"OK")
    assert ask_in_plain_text(nsqd, b"GET /readyz")[0] == b"HTTP/1.1 200 OK"
