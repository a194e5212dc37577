import anyio
import pytest
from tests.nsqclient.backends import on_every_loop

from nsqclient import AuthFailed, ConnectionLost, ConnectionOptions, ProtocolError
from nsqclient.connection.connection import Connection, connect
from nsqclient.connection.handshake import MAX_ANSWER
from nsqcore.wire import client_commands as commands
from nsqcore.wire.errors import AuthFailed as AuthFailedOnTheWire
from nsqcore.wire.errors import FinFailed, Invalid
from nsqcore.wire.frames import CLOSE_WAIT_FRAME, HEARTBEAT_FRAME, error_frame, response_frame
from nsqcore.wire.hot import encode_messages
from nsqd.testing import MemoryStream, stream_pair

ANSWER = response_frame(b'{"max_rdy_count": 10, "msg_timeout": 1500, "auth_required": true}')
RECORD = bytes(8) + b"\0\1" + b"0123456789abcdef" + b"body"


async def shake_hands(*answers: bytes, **settings: object) -> tuple[Connection, MemoryStream]:
    """A connection to an nsqd that says ``answers``, and nsqd's end of it."""
    ours, theirs = stream_pair()

    async def dial(address: str) -> MemoryStream:
        return ours

    for answer in answers:
        theirs.send_nowait(answer)
    connection = await connect("a:1", ConnectionOptions(dial=dial, **settings))  # type: ignore[arg-type]
    assert (await theirs.receive()).startswith(b"  V2IDENTIFY\n")
    return connection, theirs


@on_every_loop
async def test_handshake_tells_what_nsqd_granted():
    connection, theirs = await shake_hands(
        ANSWER, response_frame(b'{"identity": "me"}'), auth_secret="sesame"
    )
    assert await theirs.receive() == b"AUTH\n\0\0\0\6sesame"
    granted = connection.negotiated
    assert (granted.max_rdy_count, granted.msg_timeout) == (10, 1.5)
    assert granted.identity == {"identity": "me"}


@on_every_loop
async def test_handshake_does_not_depend_on_where_the_answer_is_cut():
    whole = HEARTBEAT_FRAME + response_frame(b'{"max_rdy_count": 7}')
    for cut in range(len(whole) + 1):
        parts = [part for part in (whole[:cut], whole[cut:]) if part]
        connection, _ = await shake_hands(*parts)
        assert connection.negotiated.max_rdy_count == 7


@on_every_loop
async def test_what_is_no_nsqd_is_refused_before_it_can_do_harm():
    for answer in (
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        (MAX_ANSWER + 1).to_bytes(4, "big") + bytes(4),
        response_frame(b"OK"),
        response_frame(b"[]"),
        response_frame(b"[" * 60_000),
        encode_messages([RECORD]),
    ):
        with pytest.raises(ProtocolError):
            await shake_hands(answer)


@on_every_loop
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "this is not an nsqd but an HTTP server$"),
        (b"\0\0\0\x0eE_BAD_PROTOCOL", "this is not an nsqd: it sent a frame of size 14 and type "),
        (encode_messages([RECORD]), "this is not an nsqd: it sent messages$"),
    ],
)
async def test_who_gives_a_wrong_port_is_told_what_is_there(answer: bytes, words: str):
    with pytest.raises(ProtocolError, match=words):
        await shake_hands(answer)


@on_every_loop
async def test_numbers_that_make_no_sense_are_left_out():
    for number in (b"1e999", b"-1", b"0", b"true", b'"5"', b"null", b"9" * 4000):
        answer = b'{"max_rdy_count": ' + number + b', "msg_timeout": ' + number + b"}"
        connection, _ = await shake_hands(response_frame(answer))
        granted = connection.negotiated
        assert (granted.max_rdy_count, granted.msg_timeout) == (2500, 60)


@on_every_loop
async def test_a_secret_may_change_between_two_connections():
    secrets = iter(("first", "second"))
    for secret in (b"first", b"second"):
        _, theirs = await shake_hands(
            ANSWER, response_frame(b"{}"), auth_secret=lambda: next(secrets)
        )
        assert (await theirs.receive()).endswith(secret)
    with pytest.raises(TypeError, match="what auth_secret gives is a str"):
        await shake_hands(ANSWER, auth_secret=lambda: None)


def test_settings_are_shown_without_the_secret():
    assert "sesame" not in repr(ConnectionOptions(auth_secret="sesame"))


@on_every_loop
async def test_refused_settings_and_secrets_come_with_nsqds_words():
    with pytest.raises(ProtocolError, match="E_INVALID no such thing") as refused:
        await shake_hands(error_frame(Invalid("no such thing")))
    assert refused.value.code == "E_INVALID"
    with pytest.raises(AuthFailed, match="E_AUTH_FAILED"):
        await shake_hands(ANSWER, error_frame(AuthFailedOnTheWire("no")), auth_secret="wrong")


@on_every_loop
async def test_nsqd_that_hangs_up_during_the_handshake_is_lost():
    ours, theirs = stream_pair()

    async def dial(address: str) -> MemoryStream:
        theirs.close()
        return ours

    with pytest.raises(ConnectionLost):
        await connect("a:1", ConnectionOptions(dial=dial))


@on_every_loop
async def test_frames_go_where_they_belong():
    connection, theirs = await shake_hands(response_frame(b"{}"))
    got: list[object] = []
    connection.on_messages = got.append
    connection.on_message_error = lambda frame: got.append(frame.code)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(connection.run)
        first, second = connection.request(b"A\n"), connection.request(b"B\n")
        frames = (
            response_frame(b"OK"),
            HEARTBEAT_FRAME,
            encode_messages([RECORD, RECORD]),
            error_frame(FinFailed("FIN failed")),
            response_frame(b"OK"),
        )
        theirs.send_nowait(b"".join(frames))
        await first.done.wait()
        await second.done.wait()
        assert (first.error, second.error) == (None, None)
        assert got == [[RECORD, RECORD], "E_FIN_FAILED"]
        heard = b""
        while len(heard) < 8:
            heard += await theirs.receive()
        assert heard == b"A\nB\n" + commands.NOP
        tasks.cancel_scope.cancel()


@on_every_loop
async def test_noise_and_unasked_answers_end_the_connection():
    noises = [bytes(8), response_frame(b"OK"), CLOSE_WAIT_FRAME, b"\x7f" * 100]
    for noise in (*noises, error_frame(Invalid("why"))):
        connection, theirs = await shake_hands(response_frame(b"{}"))
        theirs.send_nowait(noise)
        await connection.run()
        assert isinstance(connection.error, ProtocolError)
        # Whoever comes now hears why.
        reply = connection.request(b"A\n")
        assert isinstance(reply.error, ConnectionLost)
        assert not reply.error.sent


@on_every_loop
async def test_commands_behind_a_refused_one_were_not_looked_at():
    connection, theirs = await shake_hands(response_frame(b"{}"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(connection.run)
        replies = [connection.request(b"A\n") for _ in range(4)]
        assert await theirs.receive() == b"A\n" * 4
        theirs.send_nowait(response_frame(b"OK") + error_frame(Invalid("no")))
    answered, refused, *behind = [reply.error for reply in replies]
    assert answered is None
    assert isinstance(refused, ProtocolError)
    assert [isinstance(error, ConnectionLost) and error.sent for error in behind] == [False, False]


@on_every_loop
async def test_command_without_an_answer_counts_as_sent():
    connection, theirs = await shake_hands(response_frame(b"{}"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(connection.run)
        reply = connection.request(b"A\n")
        assert await theirs.receive() == b"A\n"
        theirs.close()
    assert isinstance(reply.error, ConnectionLost)
    assert reply.error.sent
