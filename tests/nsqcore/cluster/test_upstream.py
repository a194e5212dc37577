"""One request to one daemon."""

import json
import os
import resource
import ssl
import threading
from contextlib import AsyncExitStack

import pytest
import trio
import trio.lowlevel
import trio.testing
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
    async with fake_server(lambda asked: (200, {})) as server:
        async with Upstream(concurrency=2) as upstream, trio.open_nursery() as nursery:
            server.released = trio.Event()
            addresses = [server.address] * 8
            nursery.start_soon(ask_all, "nsqd", addresses, lambda one: upstream.get(one, "/x"))
            while len(server.asked) < 2:  # noqa: ASYNC110
                await trio.sleep(0.001)
            await trio.testing.wait_all_tasks_blocked(0.02)
            assert len(server.asked) == 2
            server.released.set()
        assert len(server.asked) == 8


def descriptors():
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.slow
async def test_more_nodes_come_and_go_than_there_are_descriptors():
    """A connection to every nsqd that ever answered was kept."""
    before = descriptors()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before + 60, hard))
    try:
        async with Upstream(idle=0.1) as upstream:
            for _ in range(20):
                async with AsyncExitStack() as nodes:
                    servers = [
                        await nodes.enter_async_context(fake_server(lambda asked: (200, {})))
                        for _ in range(10)
                    ]
                    addresses = [server.address for server in servers]
                    answer = await ask_all("nsqd", addresses, lambda a: upstream.get(a, "/stats"))
                    assert len(answer.value) == 10
            with trio.fail_after(30):
                while upstream.http.servers or descriptors() > before:  # noqa: ASYNC110
                    await trio.sleep(0.01)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_answers_and_failures_keep_the_order_of_the_questions():
    async def ask(address):
        await trio.lowlevel.checkpoint()
        if address == "b":
            raise UpstreamError(address, "b is away")
        return address.upper()

    answer = await ask_all("nsqd", ["a", "b", "c"], ask)
    assert answer.value == [("a", "A"), ("c", "C")]
    assert [str(failure) for failure in answer.failures] == ["b is away"]


@pytest.mark.parametrize(("objects", "in_thread"), [(10, False), (200_000, True)])
async def test_a_large_answer_is_read_off_the_loop(objects, in_thread):
    """One answer of many megabytes held up every page."""
    content = b"[" + b'{"a":1},' * objects + b"{}]"
    async with fake_server(lambda asked: (200, content)) as server, Upstream() as upstream:
        thread, count = await upstream.read(
            server.address, "/x", None, lambda raw: (threading.get_ident(), len(raw))
        )
    assert count == objects + 1
    assert (thread != threading.get_ident()) is in_thread
