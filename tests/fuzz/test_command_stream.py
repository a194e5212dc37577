"""Whatever a client sends, the parser says the same of it however it is cut, and never raises."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqcore.names import is_valid_name
from nsqcore.wire.commands import Auth, CreateTopic, Finish, Identify, ParseError, Publish
from nsqcore.wire.parser import CommandParser


def int32(number):
    return struct.pack(">i", number)


def sized(body):
    return int32(len(body)) + body


COMMANDS = b"PUB MPUB DPUB FIN REQ TOUCH RDY SUB CLS NOP IDENTIFY AUTH".split()
PARAMETERS = b"t c bad! 0123456789abcdef short 0 99 \xff\xfe".split()
words = st.sampled_from([*COMMANDS, *PARAMETERS, b"", b"\r", b"x" * 20_000])
lines = st.lists(words, max_size=4).map(lambda found: b" ".join(found) + b"\n")
sizes = st.one_of(st.integers(-3, 130), st.sampled_from([2**31 - 1, -(2**31), 1000, 1001]))
pieces = st.one_of(
    lines,
    lines,
    sizes.map(int32),
    st.binary(max_size=30),
    st.binary(min_size=1, max_size=20).map(sized),
    st.lists(st.binary(min_size=1, max_size=9).map(sized), min_size=1, max_size=4).map(
        lambda found: b"MPUB t\n" + sized(int32(len(found)) + b"".join(found))
    ),
    st.binary(min_size=1, max_size=9).map(lambda body: b"PUB t\n" + sized(body)),
    st.just(b"FIN 0123456789abcdef\n"),
)
streams = st.lists(pieces, max_size=25).map(b"".join)


def understand(chunks):
    """What a session is told of a stream that comes in ``chunks`` and ends, up to its fault."""
    parser = CommandParser(max_msg_size=100, max_body_size=120, max_delay=1000)
    commands = []
    for chunk in [*chunks, None]:
        found = parser.finish() if chunk is None else parser.feed(chunk)
        while found:
            assert not any(isinstance(command, ParseError) for command in found[:-1])
            commands += found
            if isinstance(found[-1], ParseError):
                return flatten(commands)
            found = parser.resume() if isinstance(found[-1], Identify | Auth) else []
    return flatten(commands)


def flatten(commands):
    """FINs one by one, neighbouring publishes to a topic as one, the rest as it is."""
    flat = []
    for command in commands:
        if isinstance(command, Finish):
            flat += command.ids
        elif isinstance(command, Publish):
            head = [command.many, command.topic]
            if not flat or not isinstance(flat[-1], list) or flat[-1][:2] != head:
                flat.append([*head, [], 0])
            flat[-1][2] += command.bodies
            flat[-1][3] += command.replies
        elif isinstance(command, ParseError):
            flat.append((command.command, command.error.to_wire(), command.silent))
        else:
            flat.append(command)
    return flat


@pytest.mark.slow
@given(stream=streams, data=st.data())
def test_any_bytes_mean_the_same_however_they_are_cut(stream, data):
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8).map(sorted))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert understand(chunks) == understand([stream])


@pytest.mark.slow
@given(stream=streams)
def test_any_bytes_mean_the_same_byte_by_byte(stream):
    short = stream[:3000]
    assert understand([short[at : at + 1] for at in range(len(short))]) == understand([short])


@pytest.mark.slow
@given(stream=streams)
def test_what_is_understood_is_within_the_limits(stream):
    for item in understand([stream]):
        if isinstance(item, list):
            _, topic, bodies, replies = item
            assert is_valid_name(topic)
            assert all(1 <= len(body) <= 100 for body in bodies)
            assert 1 <= replies <= len(bodies)
        elif isinstance(item, bytes):
            assert len(item) == 16
        elif isinstance(item, CreateTopic):
            assert is_valid_name(item.topic)
