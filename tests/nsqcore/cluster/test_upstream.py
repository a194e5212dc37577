"""One request to one daemon."""

import json
import ssl

import pytest
import trio
import trio.lowlevel
import trustme
from tests.fakes.fake_http import fake_server

from nsqcore.cluster import upstream as upstream_module
from nsqcore.cluster.upstream import Upstream, UpstreamError, ask_all


@pytest.fixture(scope="module")
def authority():
    """An authority that nobody knows."""
    return trustme.CA()


def server_tls(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def client_tls(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_a_daemon_that_wants_https_is_asked_that_way(authority):
    async with fake_server(lambda asked: (200, {"topics": []}), server_tls(authority)) as secure:
        port = int(secure.address.rpartition(":")[2])
        refusal = {"message": "TLS_REQUIRED", "https_port": port}
        async with fake_server(lambda asked: (403, refusal)) as plain:
            async with Upstream(tls=client_tls(authority)) as upstream:
                for _ in range(2):
                    assert await upstream.get(plain.address, "/topics") == {"topics": []}
            assert len(plain.asked) == 1  # the second time we know


async def test_a_certificate_of_a_stranger_is_refused(authority):
    async with fake_server(lambda asked: (200, {}), server_tls(authority)) as secure:
        port = int(secure.address.rpartition(":")[2])
        async with fake_server(lambda asked: (403, {"https_port": port})) as plain:
            async with Upstream() as upstream:
                with pytest.raises(UpstreamError, match="certificate verify failed"):
                    await upstream.get(plain.address, "/topics")


@pytest.mark.parametrize("body", [b"", b"[]", b'{"https_port": "x"}', b'{"https_port": 70000}'])
async def test_a_refusal_without_a_port_is_an_error(body):
    async with fake_server(lambda asked: (403, body)) as server, Upstream() as upstream:
        with pytest.raises(UpstreamError, match="got response 403"):
            await upstream.get(server.address, "/topics")


async def test_an_endless_answer_is_cut_off(monkeypatch):
    monkeypatch.setattr(upstream_module, "MAX_ANSWER", 1000)
    async with fake_server(lambda asked: (200, json.loads("[" + "1," * 999 + "1]"))) as server:
        async with Upstream() as upstream:
            with pytest.raises(UpstreamError, match="more than 1000 bytes"):
                await upstream.get(server.address, "/stats")


async def test_no_more_than_so_many_are_asked_at_once():
    running, most = 0, 0

    def answer(asked):
        return 200, {}

    async with fake_server(answer) as server, Upstream(concurrency=2) as upstream:
        exchange = upstream._exchange

        async def counted(*arguments):
            nonlocal running, most
            running += 1
            most = max(most, running)
            try:
                return await exchange(*arguments)
            finally:
                running -= 1

        upstream._exchange = counted
        await ask_all("nsqd", [server.address] * 8, lambda address: upstream.get(address, "/x"))
    assert most == 2


async def test_answers_and_failures_keep_the_order_of_the_questions():
    async def ask(address):
        await trio.lowlevel.checkpoint()
        if address == "b":
            raise UpstreamError(address, "b is away")
        return address.upper()

    answer = await ask_all("nsqd", ["a", "b", "c"], ask)
    assert answer.value == [("a", "A"), ("c", "C")]
    assert [str(failure) for failure in answer.failures] == ["b is away"]
