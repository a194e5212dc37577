"""Connections on the reactor, over real sockets on loopback."""

import errno
import random
import socket
import struct
from contextlib import suppress
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from tests.nsqcore.reactor.conftest import CODECS

from nsqcore.addresses import print_socket_address
from nsqcore.reactor import acceptor
from nsqcore.reactor.connections import deadlines, endings
from nsqcore.reactor.polling.poller import TaskPoller
from nsqcore.wire.compression.deflate import DeflateCodec


@attrs.define(eq=False)
class Compressed:
    """A client's stream whose bytes travel compressed."""

    stream: trio.SocketStream
    codec: Any

    async def send_all(self, data: bytes) -> None:
        await self.stream.send_all(self.codec.compress(data))

    async def until(self, end: bytes) -> bytes:
        """What comes, up to ``end``."""
        found = b""
        while not found.endswith(end):
            data = await self.stream.receive_some()
            assert data, found
            found += self.codec.decompress(bytes(data))
            while self.codec.has_more:
                found += self.codec.decompress(b"")
        return found


@pytest.mark.parametrize("word", ["", "wait"])
async def test_a_connection_that_the_system_does_not_watch_is_the_only_one_lost(
    start_server, monkeypatch, word
):
    """As where epoll has as many watches as /proc/sys/fs/epoll/max_user_watches allows."""
    server = await start_server(use_epoll=False)
    other = await server.connect()
    assert await server.ask(other, b"hello\n") == b"hello!\n"
    if word:
        lost = await server.connect()
        assert await server.ask(lost, b"hello\n") == b"hello!\n"
        await lost.send_all(b"wait\n")
        await trio.testing.wait_all_tasks_blocked(0.01)
    register, failed = TaskPoller.register, []

    def refuse(poller: TaskPoller, fd: int, mask: int) -> None:
        if not failed:
            failed.append(fd)
            raise OSError(errno.ENOSPC, "No space left on device")
        register(poller, fd, mask)

    monkeypatch.setattr(TaskPoller, "register", refuse)
    if word:
        server.gate.set()
    else:
        lost = await server.connect()
    with trio.fail_after(30), suppress(trio.BrokenResourceError):
        await server.rest(lost)
    assert len(failed) == 1
    monkeypatch.undo()
    assert await server.ask(other, b"again\n") == b"again!\n"
    assert await server.ask(await server.connect(), b"new\n") == b"new!\n"


async def test_what_a_session_says_is_sent_at_the_end_of_the_tick(server):
    client = await server.connect()
    assert await server.ask(client, b"hello\n") == b"hello!\n"
    assert server.sessions[0].peer.address == print_socket_address(client.socket.getsockname())


async def test_a_tick_ends_once_after_all_its_sessions_were_fed(start_server):
    ticks: list[list[int]] = []
    server = await start_server(
        end_tick=lambda: ticks.append([session.taken for session in server.sessions])
    )
    clients = [await server.connect() for _ in range(3)]
    for client in clients:
        await server.ask(client, b"hello\n")
    ticks.clear()
    # All three are readable when the task runs next.
    for client in clients:
        await client.send_all(b"again\n")
    for client in clients:
        assert await server.line(client) == b"again!\n"
    assert ticks[-1] == [12, 12, 12]


async def test_a_session_that_closes_has_its_last_words_delivered(server):
    client = await server.connect()
    await client.send_all(b"bye\nignored\n")

    assert await server.rest(client) == b"goodbye\n"
    await server.sessions[0].ended.wait()
    assert server.sessions[0].error is None


async def test_last_words_survive_input_that_nobody_read(server):
    client = await server.connect()
    await client.send_all(b"bye\n" + b"x" * 200_000)
    assert await server.rest(client) == b"goodbye\n"


async def test_a_client_that_does_not_go_is_cut(start_server, monkeypatch):
    monkeypatch.setattr(deadlines, "LOOK_EVERY", 0.01)
    server = await start_server()
    client = await server.connect()
    await client.send_all(b"quit\n")
    assert await server.rest(client) == b"goodbye\n"

    async def talk_on() -> None:
        while True:
            await client.send_all(b"still here\n")
            await trio.sleep(0.001)

    with pytest.raises(trio.BrokenResourceError):
        await talk_on()
    assert server.reactor.connections == 0
    assert server.sessions[0].ends == 1


async def test_a_closing_client_that_takes_nothing_is_cut(start_server, monkeypatch):
    monkeypatch.setattr(deadlines, "LOOK_EVERY", 0.01)
    server = await start_server()
    client = await server.connect()
    await client.send_all(b"big 20000000\nquit\n")
    while not server.sessions:
        await client.receive_some(1)
    await server.sessions[0].ended.wait()
    assert server.reactor.connections == 0


async def test_a_client_that_has_said_everything_still_gets_its_answers(server):
    client = await server.connect()
    await client.send_all(b"one\ntwo\n")
    await client.send_eof()
    assert await server.rest(client) == b"one!\ntwo!\nend\n"


async def test_a_reset_ends_the_session_once(server):
    client = await server.connect()
    await server.ask(client, b"hello\n")
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.socket.close()

    session = server.sessions[0]
    await session.ended.wait()
    await server.ask(await server.connect(), b"round trip\n")
    assert session.ends == 1
    assert session.error is not None


async def test_a_session_that_raises_loses_only_its_own_connection(server, caplog):
    bad, good = await server.connect(), await server.connect()
    await server.ask(good, b"hello\n")
    await bad.send_all(b"fail\n")

    await server.sessions[0].ended.wait()
    assert await server.ask(good, b"again\n") == b"again!\n"
    assert caplog.text.count("session failed") == 1
    assert "RuntimeError: a session's fault" in caplog.text


async def test_nothing_is_read_while_a_session_waits_and_all_is_read_afterwards(server):
    client = await server.connect()
    await client.send_all(b"wait\n")
    other = await server.connect()
    await server.ask(other, b"round trip\n")
    await client.send_all(b"later\n")
    await server.ask(other, b"round trip\n")
    session = server.sessions[0]
    assert session.taken == len(b"wait\n")

    server.gate.set()
    assert await server.line(client) == b"resumed\n"
    assert await server.line(client) == b"later!\n"


async def test_the_end_of_input_during_a_wait_is_seen_after_it(server):
    client = await server.connect()
    await client.send_all(b"wait\n")
    await client.send_eof()
    await server.ask(await server.connect(), b"round trip\n")
    server.gate.set()
    assert await server.rest(client) == b"resumed\nend\n"


@pytest.mark.parametrize("name", CODECS)
async def test_an_upgraded_connection_goes_on_with_what_was_sent_ahead(server, name):
    client, codec = await server.connect(), CODECS[name]()
    await client.send_all(name + b"\n" + codec.compress(b"ahead\n"))
    assert await server.line(client) == b"upgrading\n"
    inside = Compressed(client, codec)
    assert await inside.until(b"ahead!\n") == b"upgraded\nahead!\n"
    await inside.send_all(b"bye\n")
    assert await inside.until(b"goodbye\n") == b"goodbye\n"
    assert await client.receive_some(1) == b""
    session = server.sessions[0]
    await session.ended.wait()
    assert (session.ends, session.error) == (1, None)


@pytest.mark.parametrize("name", CODECS)
async def test_much_travels_compressed_both_ways(server, name):
    client, codec = await server.connect(), CODECS[name]()
    await client.send_all(name + b"\n")
    await server.line(client)
    inside = Compressed(client, codec)
    await inside.until(b"upgraded\n")
    noise = random.Random(1).randbytes(300_000).replace(b"\n", b"")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(inside.send_all, b"big 3000000\n%s\nlast\n" % noise)
        assert await inside.until(b"last!\n") == bytes(3_000_000) + noise + b"!\nlast!\n"


@pytest.mark.parametrize("name", CODECS)
async def test_garbage_instead_of_compressed_bytes_ends_the_connection(server, name):
    client = await server.connect()
    await client.send_all(name + b"\n" + b"\xff" * 64)
    await server.rest(client)
    await server.sessions[0].ended.wait()
    assert server.sessions[0].error is not None


async def test_an_upgrade_waits_for_the_replies_before_it(server):
    client, codec = await server.connect(), DeflateCodec()
    await client.send_all(b"slot\ndeflate\n" + codec.compress(b"one\n"))
    await server.ask(await server.connect(), b"round trip\n")
    server.sessions[0].slots[0].release(b"late\n")
    server.reactor.finish_tick()
    assert await server.line(client) == b"late\n"
    assert await server.line(client) == b"upgrading\n"
    assert await Compressed(client, codec).until(b"one!\n") == b"upgraded\none!\n"


async def test_a_task_may_have_a_connection_to_itself(server):
    async def run(stream) -> None:
        while data := await stream.receive_some():
            await stream.send_all(data.upper())

    client = await server.connect()
    await server.ask(client, b"hello\n")
    server.sessions[0].run = run
    await client.send_all(b"stream\n")
    await server.ask(await server.connect(), b"round trip\n")
    assert await server.ask(client, b"loud\n") == b"LOUD\n"
    await client.send_eof()
    assert await server.rest(client) == b""
    await server.sessions[0].ended.wait()


async def test_a_task_ends_with_its_connection_and_waits_for_a_peer_that_does_not_read(server):
    ended = trio.Event()
    sent = []

    async def run(stream) -> None:
        try:
            while True:
                await stream.send_all(bytes(100_000))
                sent.append(1)
        finally:
            ended.set()

    client = await server.connect()
    await server.ask(client, b"hello\n")
    server.sessions[0].run = run
    await client.send_all(b"stream\n")
    await server.skip(client, 1_000_000)
    for _ in range(50):
        await server.ask(await server.connect(), b"round trip\n")
    count = len(sent)
    assert count < 200  # what kernels keep, and half a megabyte
    await trio.aclose_forcefully(client)
    await ended.wait()
    await server.sessions[0].ended.wait()


async def test_more_than_the_kernel_takes_at_once_arrives_complete(server):
    client = await server.connect()
    await client.send_all(b"big 8000000\nlast\n")
    await server.skip(client, 8_000_000)
    assert await server.line(client) == b"last!\n"


@pytest.mark.parametrize("use_epoll", [True, False])
async def test_a_client_that_never_reads_is_not_read_from_while_others_are(start_server, use_epoll):
    server = await start_server(use_epoll=use_epoll, max_outbox=100_000)
    greedy, other = await server.connect(), await server.connect()
    await greedy.send_all(b"big 20000000\n")
    await server.ask(other, b"hello\n")
    await greedy.send_all(b"more\n")
    await server.ask(other, b"hello\n")
    assert server.sessions[0].taken == len(b"big 20000000\n")

    await server.skip(greedy, 20_000_000)
    assert await server.line(greedy) == b"more!\n"


async def test_an_outbox_closed_from_outside_is_sent_and_the_connection_ends(server):
    client = await server.connect()
    await server.ask(client, b"hello\n")
    session = server.sessions[0]
    session.outbox.add(b"too quiet\n")
    session.outbox.close("heartbeat missed")
    server.reactor.finish_tick()

    assert await server.rest(client) == b"too quiet\n"
    await session.ended.wait()


async def test_replies_that_come_later_are_sent_in_order(server):
    client = await server.connect()
    assert await server.ask(client, b"one\nslot\ntwo\nslot\nthree\n") == b"one!\n"
    first, second = server.sessions[0].slots
    second.release(b"second\n")
    server.reactor.finish_tick()
    first.release(b"first\n")
    server.reactor.finish_tick()
    lines = [await server.line(client) for _ in range(4)]
    assert lines == [b"first\n", b"two!\n", b"second\n", b"three!\n"]


@pytest.mark.parametrize("end", [b"bye\n", b"", b"close"])
async def test_a_connection_that_ends_waits_a_moment_for_replies_that_come_later(server, end):
    client = await server.connect()
    assert await server.ask(client, b"one\nslot\n") == b"one!\n"
    session = server.sessions[0]
    if end == b"close":
        session.outbox.close("asked from outside")
        server.reactor.finish_tick()
    elif end:
        await client.send_all(end)
    else:
        await client.send_eof()
    await server.ask(await server.connect(), b"round trip\n")
    assert not session.outbox.ended
    session.slots[0].release(b"late\n")
    server.reactor.finish_tick()
    last = {b"bye\n": b"goodbye\n", b"": b"end\n", b"close": b""}[end]
    assert await server.rest(client) == b"late\n" + last
    await session.ended.wait()


async def test_a_reply_may_come_later_than_a_peer_may_linger(server, monkeypatch):
    monkeypatch.setattr(deadlines, "LOOK_EVERY", 0.01)
    client = await server.connect()
    assert await server.ask(client, b"one\nslot\nquit\n") == b"one!\n"
    lingerer = await server.connect()
    assert await server.ask(lingerer, b"quit\n") == b"goodbye\n"
    with suppress(trio.BrokenResourceError):
        while True:  # it is cut when it has lingered
            await lingerer.send_all(b"noise\n")
    server.sessions[0].slots[0].release(b"late\n")
    server.reactor.finish_tick()
    assert await server.rest(client) == b"late\ngoodbye\n"


async def test_a_connection_that_ends_does_not_wait_for_ever_for_a_reply(server, monkeypatch):
    monkeypatch.setattr(deadlines, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(endings, "ANSWER_TIMEOUT", 0.02)
    client = await server.connect()
    await client.send_all(b"slot\nquit\n")
    assert await server.rest(client) == b""
    session = server.sessions[0]
    await session.ended.wait()
    session.slots[0].release(b"too late\n")


async def test_finishing_a_tick_sends_at_once_what_others_have_added(server):
    client = await server.connect()
    await server.ask(client, b"hello\n")
    server.sessions[0].outbox.add(b"news\n")
    server.reactor.finish_tick()
    assert await server.line(client) == b"news\n"


async def test_after_accepting_stops_nobody_gets_in_and_who_is_in_stays(server):
    client = await server.connect()
    await server.ask(client, b"hello\n")
    server.reactor.stop_accepting()

    with pytest.raises(OSError, match="all attempts to connect"):
        await trio.open_tcp_stream("127.0.0.1", server.listener.port)
    assert await server.ask(client, b"still here\n") == b"still here!\n"


async def test_closing_the_clients_sends_what_waits_and_waits_for_nobody_else(server):
    plain, upgraded, codec = await server.connect(), await server.connect(), DeflateCodec()
    await server.ask(plain, b"hello\n")
    await upgraded.send_all(b"deflate\n")
    assert await server.line(upgraded) == b"upgrading\n"
    inside = Compressed(upgraded, codec)
    assert await inside.until(b"upgraded\n")
    for session in server.sessions:
        session.outbox.add(b"farewell\n")

    await server.reactor.close_clients(5)
    assert server.reactor.connections == 0
    assert await server.rest(plain) == b"farewell\n"
    assert await inside.until(b"farewell\n") == b"farewell\n"
    assert await server.rest(upgraded) == b""
    assert [session.ends for session in server.sessions] == [1, 1]


async def test_a_client_that_does_not_read_is_cut_when_the_grace_is_over(server):
    client = await server.connect()
    await client.send_all(b"big 20000000\n")
    assert await client.receive_some(1)

    await server.reactor.close_clients(0.05)
    assert server.reactor.connections == 0
    assert server.sessions[0].ends == 1


async def test_running_out_of_descriptors_is_logged_and_survived(server, monkeypatch, caplog):
    refused = [OSError(errno.EMFILE, "Too many open files")]
    accept = socket.socket.accept

    def failing(self):
        if refused:
            raise refused.pop()
        return accept(self)

    monkeypatch.setattr(socket.socket, "accept", failing)
    monkeypatch.setattr(acceptor, "ACCEPT_PAUSE", 0.001)
    client = await server.connect()

    assert await server.ask(client, b"hello\n") == b"hello!\n"
    assert "Too many open files" in caplog.text


async def test_without_descriptors_it_does_not_try_again_at_once(server, monkeypatch):
    tries = 0
    tried = trio.Event()

    def failing(self):
        nonlocal tries
        tries += 1
        tried.set()
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket.socket, "accept", failing)
    monkeypatch.setattr(acceptor, "ACCEPT_PAUSE", 3600)
    await server.connect()
    await tried.wait()
    for _ in range(100):  # the listener stays readable all the time
        await trio.lowlevel.checkpoint()
    assert tries == 1


async def test_unix_sockets_are_served_and_their_peers_have_no_name(start_server, tmp_path):
    server = await start_server(str(tmp_path / "x.sock"))
    assert await server.ask(await server.connect(), b"hello\n") == b"hello!\n"
    peer = server.sessions[0].peer
    assert (peer.address, peer.is_unix) == ("@", True)


@pytest.mark.slow
async def test_many_connections_that_come_and_go_at_once_leave_nothing_behind(server):
    async def visit() -> None:
        client = await trio.open_tcp_stream("127.0.0.1", server.listener.port)
        await client.send_all(b"hello\n")
        assert await server.line(client) == b"hello!\n"
        await client.aclose()

    async with trio.open_nursery() as visitors:
        for _ in range(300):
            visitors.start_soon(visit)
    for session in server.sessions:
        await session.ended.wait()
    assert len(server.sessions) == 300
    assert all(session.ends == 1 for session in server.sessions)


async def test_a_saturating_client_does_not_keep_another_waiting(server):
    busy, quick = await server.connect(), await server.connect()
    await server.ask(quick, b"hello\n")

    async def saturate() -> None:
        while True:
            await busy.send_all(b"noise%s\n" % bytes(60_000))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(saturate)
        for _ in range(20):
            with trio.fail_after(60):
                assert await server.ask(quick, b"ping\n") == b"ping!\n"
        nursery.cancel_scope.cancel()
