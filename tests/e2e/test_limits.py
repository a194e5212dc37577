"""What an nsqd still does when the system gives it nothing more."""

import contextlib
import http.client
import resource
import socket

import pytest
from tests.e2e.daemons import wait_until
from tests.e2e.peer import body

pytestmark = pytest.mark.slow

LIMIT = 64


def few_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT))


def test_without_a_descriptor_left_topics_are_made_and_metrics_told(daemon, peer):
    nsqd = daemon("nsqd", limits=few_descriptors)
    web = http.client.HTTPConnection("127.0.0.1", nsqd.http_port, timeout=60)

    def ask(method: str, path: str, content: bytes = b"") -> int:
        web.request(method, path, content)
        answer = web.getresponse()
        answer.read()
        return answer.status

    consumer = peer(nsqd)
    with contextlib.closing(web), contextlib.ExitStack() as crowd:
        assert ask("GET", "/metrics") == 200  # what it imports in the background is there then
        for _ in range(LIMIT):
            sock = socket.create_connection(("127.0.0.1", nsqd.tcp_port), timeout=60)
            crowd.enter_context(sock)
        wait_until(lambda: "Too many open files" in nsqd.log(), "nsqd has no descriptor left")
        assert ask("POST", "/pub?topic=new", b"x") == 200
        assert ask("POST", "/channel/create?topic=new&channel=c") == 200
        assert ask("GET", "/metrics") == 200
        assert ask("GET", "/stats?format=json") == 200
        consumer.send(b"SUB other c\n", b"RDY 1\n", b"PUB other\n" + body(b"y"))
        frames = [consumer.frame()[1] for _ in range(3)]
        assert frames[:2] == [b"OK", b"OK"]
        assert frames[2].endswith(b"y")
    assert nsqd.terminate() == 0
