"""Sessions over any stream, here the memory streams of trio."""

import pytest
import trio
import trio.testing

from nsqcore.reactor.transport import CodecStream, PrependedStream, serve_stream
from nsqcore.wire.deflate import DeflateCodec
from nsqcore.wire.snappy import SnappyCodec


@pytest.fixture
def session(new_session):
    return new_session()


async def serve(nursery, session, **options):
    ours, theirs = trio.testing.memory_stream_pair()
    nursery.start_soon(lambda: serve_stream(theirs, session, **options))
    return ours


async def test_a_session_is_fed_and_its_answers_are_sent(nursery, session):
    client = await serve(nursery, session)
    await client.send_all(b"one\ntwo\n")
    assert await client.receive_some(100) == b"one!\ntwo!\n"


async def test_each_chunk_ends_a_tick(nursery, session):
    ticks = []
    client = await serve(nursery, session, end_tick=lambda: ticks.append(session.taken))
    await client.send_all(b"one\n")
    await client.receive_some(100)
    assert ticks == [4]


async def test_closing_delivers_the_last_words_and_tells_the_session_once(nursery, session):
    client = await serve(nursery, session)
    await client.send_all(b"bye\n")
    assert await client.receive_some(100) == b"goodbye\n"
    assert await client.receive_some(100) == b""
    await session.ended.wait()
    assert (session.ends, session.error) == (1, None)


async def test_the_end_of_input_is_answered(nursery, session):
    client = await serve(nursery, session)
    await client.send_all(b"one\n")
    await client.send_eof()
    await session.ended.wait()
    assert await client.receive_some(100) == b"one!\nend\n"


async def test_nothing_is_read_while_a_session_waits(nursery, session):
    client = await serve(nursery, session)
    await client.send_all(b"wait\n")
    await trio.testing.wait_all_tasks_blocked()
    await client.send_all(b"later\n")
    await trio.testing.wait_all_tasks_blocked()
    assert session.taken == len(b"wait\n")

    session.gate.set()
    await trio.testing.wait_all_tasks_blocked()
    assert await client.receive_some(100) == b"resumed\nlater!\n"


async def test_an_upgrade_gets_the_stream_with_what_was_sent_ahead(nursery, session):
    client = await serve(nursery, session)
    await client.send_all(b"upgrade\nahead\n")
    await trio.testing.wait_all_tasks_blocked()
    assert await client.receive_some(100) == b"upgrading\nupgraded\nahead!\n"
    await client.send_all(b"bye\n")
    await session.ended.wait()
    assert session.ends == 1


async def test_an_outbox_closed_from_outside_ends_the_connection(nursery, session):
    client = await serve(nursery, session)
    await trio.testing.wait_all_tasks_blocked()
    session.outbox.add(b"too quiet\n")
    session.outbox.close("heartbeat missed")
    assert await client.receive_some(100) == b"too quiet\n"
    assert await client.receive_some(100) == b""
    await session.ended.wait()


async def test_a_session_that_raises_is_logged_and_its_connection_closed(nursery, session, caplog):
    client = await serve(nursery, session)
    await client.send_all(b"fail\n")
    assert await client.receive_some(100) == b""
    assert isinstance(session.error, RuntimeError)
    assert "a session's fault" in caplog.text


async def test_a_peer_that_takes_nothing_is_not_read_from(nursery, session):
    ours, theirs = trio.testing.lockstep_stream_pair()
    nursery.start_soon(lambda: serve_stream(theirs, session, max_outbox=1000))
    await ours.send_all(b"big 5000\nbig 1\n")
    nursery.start_soon(ours.send_all, b"more\n")
    await trio.testing.wait_all_tasks_blocked()
    assert session.taken == len(b"big 5000\nbig 1\n")

    received = 0
    while received < 5001:
        received += len(await ours.receive_some(10_000))
    assert await ours.receive_some(100) == b"more!\n"


async def test_a_peer_that_takes_nothing_does_not_keep_a_closing_session(
    nursery, session, autojump_clock
):
    ours, theirs = trio.testing.lockstep_stream_pair()
    nursery.start_soon(serve_stream, theirs, session)
    await ours.send_all(b"bye\n")
    await session.ended.wait()
    assert trio.current_time() < 5


async def test_prepended_bytes_come_first(nursery):
    ours, theirs = trio.testing.memory_stream_pair()
    stream = PrependedStream(theirs, b"abcdef")
    await ours.send_all(b"gh")
    assert await stream.receive_some(4) == b"abcd"
    assert await stream.receive_some() == b"ef"
    assert await stream.receive_some() == b"gh"


@pytest.mark.parametrize("codec", [DeflateCodec, SnappyCodec])
async def test_bytes_travel_compressed_both_ways(nursery, session, codec):
    ours, theirs = trio.testing.memory_stream_pair()
    nursery.start_soon(serve_stream, CodecStream(theirs, codec()), session)
    client = CodecStream(ours, codec())
    await client.send_all(b"one\n")
    assert await client.receive_some() == b"one!\n"

    await client.send_all(b"big 3000000\nlast\n")
    received = b""
    while not received.endswith(b"last!\n"):
        received += await client.receive_some()
    assert len(received) == 3_000_006


@pytest.mark.parametrize("codec", [DeflateCodec, SnappyCodec])
async def test_garbage_instead_of_compressed_bytes_ends_the_connection(nursery, session, codec):
    ours, theirs = trio.testing.memory_stream_pair()
    nursery.start_soon(serve_stream, CodecStream(theirs, codec()), session)
    await ours.send_all(b"\xff" * 64)
    assert await ours.receive_some(100) == b""
    assert session.error is not None
