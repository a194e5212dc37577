"""Whole answers of nsqd and nsqlookupd, however odd, as nsqctl, nsqclient and nsq_stat read them.

One small server answers as both daemons, over real connections: what nsqctl, `nsqclient`'s HTTP
interfaces and consumers, and nsq_stat make of it is either read or refused in a line. nsqadmin's
turn is in ``tests/nsqadmin/web/test_odd_daemons.py``, the readers below it all in
`test_whole_answers`.
"""

import json
import string
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import anyio
import pytest
from attrs import define, field
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fakes.fake_cluster import message
from tests.fuzz.test_whole_answers import WHOLE, mutated
from tests.nsqctl.program import nsqctl
from tests.nsqtools.tools import Tool, kept_logging
from tests.support.examples import examples

from nsqclient import ClientError, ConnectionOptions, LookupdHttp, NsqdHttp, open_consumer

pytestmark = pytest.mark.slow

POLICY = {"name": "p", "pattern": "t", "kind": "policy", "priority": 0, "definition": {"x": 1}}
MORE = {
    "/message/list": {"messages": [message(1), message(2)], "next": "", "total": 2, "scanned": 2},
    "/message/get": message(1),
    "/policy/list": {"policies": [POLICY]},
    "/policy/effective": {"values": {"max_depth": {"value": 5, "policy": "p", "kind": "policy"}}},
    "/readyz": {"ok": True, "checks": {"disk": "OK"}},
    "/config/lookupd_tcp_addresses": ["127.0.0.1:1"],
}
PATHS = sorted(WHOLE | MORE)
ONE_BAD = st.sampled_from(PATHS).flatmap(
    lambda path: st.tuples(st.just(path), mutated((WHOLE | MORE)[path]))
)
COMMANDS = (
    ("topics",), ("channels",), ("channels", "t"), ("nodes",), ("lookup", "t"), ("stats", "t"),
    ("top", "--count=1", "--interval=0.1"), ("doctor",), ("messages", "t", "c"),
    ("policy", "list"),
)  # fmt: skip
LETTERS = frozenset(string.ascii_letters + string.digits + ".-")


@define(eq=False)
class Answers:
    """A server that is nsqd and nsqlookupd at once; ``odd`` is the path with its odd answer."""

    server: ThreadingHTTPServer
    odd: tuple[str, Any] = ("", None)
    address: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.address = f"127.0.0.1:{self.server.server_address[1]}"

    def answer(self, path: str) -> bytes | None:
        """The JSON for a path; None where it has none."""
        told = {**WHOLE, **MORE}
        if self.odd[0]:
            told[self.odd[0]] = self.odd[1]
        if path not in told:
            return None
        text = json.dumps(self._here(told[path]))
        return text.replace("NaN", "1e999").replace("Infinity", "1e999").encode()

    def _here(self, value: Any) -> Any:
        """``value`` with this server in place of every host that could be looked for elsewhere."""
        if isinstance(value, list):
            return [self._here(item) for item in value]
        if not isinstance(value, dict):
            return value
        made = {key: self._here(item) for key, item in value.items()}
        host = made.get("broadcast_address")
        if isinstance(host, str) and 0 < len(host) < 100 and set(host) <= LETTERS:
            made["broadcast_address"] = "127.0.0.1"
        for key, port in (("http_port", 4151), ("tcp_port", 4150)):
            if made.get(key) == port:
                made[key] = self.server.server_address[1]
        return made


@pytest.fixture(scope="module")
def answers() -> Iterator[Answers]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = found.answer(self.path.partition("?")[0])
            self.send_response(404 if body is None else 200)
            body = body or b'{"message": "NOT_FOUND"}'
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *given: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Answers(server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


def run(*arguments: str) -> tuple[str, str]:
    """What nsqctl prints, whether it ends with 0 or 1."""
    try:
        return nsqctl(*arguments)
    except AssertionError:
        return nsqctl(*arguments, status=1)


patient = settings(
    max_examples=examples(6),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def test_what_is_right_is_read_whole_by_all(answers):
    answers.odd = ("", None)
    for command in COMMANDS:
        out, err = run(*command, f"--lookupd-http-address={answers.address}")
        assert out, (command, err)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@patient
@given(odd=ONE_BAD)
def test_nsqctl_reads_or_refuses_every_answer_in_a_line(answers, command, odd):
    answers.odd = odd
    for option in ("lookupd", "nsqd"):
        out, err = run(*command, f"--{option}-http-address={answers.address}")
        assert "Traceback" not in err, (odd, err)
        assert "\x1b" not in out


@patient
@given(odd=ONE_BAD)
def test_the_http_interfaces_of_the_client_raise_errors_of_the_client(answers, odd):
    answers.odd = odd

    async def main() -> None:
        async with LookupdHttp(answers.address) as lookupd, NsqdHttp(answers.address) as nsqd:
            for ask in (
                lookupd.topics, lookupd.nodes, lambda: lookupd.lookup("t"),
                lambda: lookupd.channels("t"), lookupd.info, nsqd.info, nsqd.stats,
                lambda: nsqd.list_messages("t", "c"), lambda: nsqd.get_message("t", "0" * 16),
            ):  # fmt: skip
                try:
                    repr(await ask())
                except ClientError as error:
                    str(error).encode()

    for backend in ("trio", "asyncio"):
        anyio.run(main, backend=backend)


@patient
@given(odd=ONE_BAD)
def test_a_consumer_outlives_every_answer(answers, odd):
    answers.odd = odd
    options = ConnectionOptions(max_reconnect_delay=0.1)

    async def main() -> None:
        for topics in ({"topic": "t"}, {"topics": "*"}):
            with anyio.move_on_after(0.2):
                async with open_consumer(
                    channel="c", lookupd=answers.address, options=options, **topics
                ) as consumer:
                    try:
                        await consumer.wait_until_connected()
                    except ClientError as error:
                        str(error).encode()

    anyio.run(main, backend="trio")


@patient
@given(odd=ONE_BAD)
def test_nsq_stat_has_a_row_or_says_why_not(answers, odd, tmp_path_factory):
    answers.odd = odd
    flags = ["--topic=t", "--channel=c", "--count=1", "--interval=10ms"]
    for option in ("lookupd", "nsqd"):
        folder = tmp_path_factory.mktemp("stat")
        address = f"--{option}-http-address={answers.address}"
        with kept_logging():
            tool = Tool.start("nsq_stat", [*flags, address], folder, b"", -1)
            status = tool.wait()
        assert status in (0, 1), odd
        assert "Traceback" not in tool.err, odd
        assert tool.out.count(b"|") == (4 if status == 0 else tool.out.count(b"|"))
