"""The parser where the bytes stop being the protocol; what it does before is in test_parser."""

import struct

import pytest

from nsqcore.wire.commands import (
    Auth,
    CreateTopic,
    Identify,
    Nop,
    ParseError,
    Publish,
    PublishDeferred,
)
from nsqcore.wire.parser import MAX_LINE, CommandParser


def make_parser(max_msg_size=1000, max_body_size=2000):
    return CommandParser(max_msg_size, max_body_size, max_delay=3_600_000)


def int32(number):
    return struct.pack(">i", number)


def sized(body):
    return int32(len(body)) + body


def feed_in_pieces(parser, stream, size):
    """Every command of ``stream``, fed ``size`` bytes at a time, up to the fault."""
    commands = []
    for at in range(0, len(stream), size):
        commands += parser.feed(stream[at : at + size])
        if commands and isinstance(commands[-1], ParseError):
            break
    return commands


def outline(commands):
    """The commands as values to compare."""
    return [
        (command.command, command.error.to_wire(), command.silent)
        if isinstance(command, ParseError)
        else (command.topic, command.bodies, command.replies)
        if isinstance(command, Publish)
        else command
        for command in commands
    ]


FAULTS = [
    # unknown, malformed
    (b"\n", b"E_INVALID invalid command ", b""),
    (b"FOO bar baz\n", b"E_INVALID invalid command FOO", b"FOO"),
    (b"pub topic\n", b"E_INVALID invalid command pub", b"pub"),
    (b"\xffX\xfe y\n", b"E_INVALID invalid command \xffX\xfe", b"\xffX\xfe"),
    (b" PUB t\n", b"E_INVALID invalid command ", b""),
    (b"FINE 0123456789abcdef\n", b"E_INVALID invalid command FINE", b"FINE"),
    # PUB
    (b"PUB\n", b"E_INVALID PUB insufficient number of parameters", b"PUB"),
    (b"PUB bad$topic\n", b'E_BAD_TOPIC PUB topic name "bad$topic" is not valid', b"PUB"),
    (b"PUB \n", b'E_BAD_TOPIC PUB topic name "" is not valid', b"PUB"),
    (b'PUB a"b\n', b'E_BAD_TOPIC PUB topic name "a\\"b" is not valid', b"PUB"),
    (b"PUB a\rb\n", b'E_BAD_TOPIC PUB topic name "a\\rb" is not valid', b"PUB"),
    (b"PUB a\xff\xfeb\n", b'E_BAD_TOPIC PUB topic name "a\\xff\\xfeb" is not valid', b"PUB"),
    (b"PUB caf\xc3\xa9\n", b'E_BAD_TOPIC PUB topic name "caf\xc3\xa9" is not valid', b"PUB"),
    (b"PUB t\n" + int32(0), b"E_BAD_MESSAGE PUB invalid message body size 0", b"PUB"),
    (b"PUB t\n" + int32(-5), b"E_BAD_MESSAGE PUB invalid message body size -5", b"PUB"),
    (b"PUB t\n" + int32(1001), b"E_BAD_MESSAGE PUB message too big 1001 > 1000", b"PUB"),
    # MPUB
    (b"MPUB\n", b"E_INVALID MPUB insufficient number of parameters", b"MPUB"),
    (
        b"MPUB bad!topic\n",
        b'E_BAD_TOPIC E_BAD_TOPIC MPUB topic name "bad!topic" is not valid',
        b"MPUB",
    ),
    # DPUB
    (b"DPUB\n", b"E_INVALID DPUB insufficient number of parameters", b"DPUB"),
    (b"DPUB t\n", b"E_INVALID DPUB insufficient number of parameters", b"DPUB"),
    (b"DPUB a&b 10\n", b'E_BAD_TOPIC DPUB topic name "a&b" is not valid', b"DPUB"),
    (b"DPUB t abc\n", b"E_INVALID DPUB could not parse timeout abc", b"DPUB"),
    (b"DPUB t -1\n", b"E_INVALID DPUB could not parse timeout -1", b"DPUB"),
    (b"DPUB t 1.5\n", b"E_INVALID DPUB could not parse timeout 1.5", b"DPUB"),
    (b"DPUB t 3600001\n", b"E_INVALID DPUB timeout 3600001 out of range 0-3600000", b"DPUB"),
    (b"DPUB t 10\n" + int32(0), b"E_BAD_MESSAGE DPUB invalid message body size 0", b"DPUB"),
    (b"DPUB t 10\n" + int32(1001), b"E_BAD_MESSAGE DPUB message too big 1001 > 1000", b"DPUB"),
    # FIN, REQ, TOUCH
    (b"FIN\n", b"E_INVALID FIN insufficient number of params", b"FIN"),
    (b"FIN 123\n", b"E_INVALID invalid message ID", b"FIN"),
    (b"FIN 0123456789abcdefX\n", b"E_INVALID invalid message ID", b"FIN"),
    (b"FIN  0123456789abcdef\n", b"E_INVALID invalid message ID", b"FIN"),
    (b"REQ\n", b"E_INVALID REQ insufficient number of params", b"REQ"),
    (b"REQ 0123456789abcdef\n", b"E_INVALID REQ insufficient number of params", b"REQ"),
    (b"REQ short 0\n", b"E_INVALID invalid message ID", b"REQ"),
    (b"TOUCH\n", b"E_INVALID TOUCH insufficient number of params", b"TOUCH"),
    (b"TOUCH 0123456789abcdefX\n", b"E_INVALID invalid message ID", b"TOUCH"),
    # SUB
    (b"SUB\n", b"E_INVALID SUB insufficient number of parameters", b"SUB"),
    (b"SUB topic\n", b"E_INVALID SUB insufficient number of parameters", b"SUB"),
    (b"SUB to*pic ch\n", b'E_BAD_TOPIC SUB topic name "to*pic" is not valid', b"SUB"),
    (b"SUB topic ch!an\n", b'E_BAD_CHANNEL SUB channel name "ch!an" is not valid', b"SUB"),
    (b"SUB  c\n", b'E_BAD_TOPIC SUB topic name "" is not valid', b"SUB"),
    # IDENTIFY, AUTH
    (b"IDENTIFY\n" + int32(0), b"E_BAD_BODY IDENTIFY invalid body size 0", b"IDENTIFY"),
    (b"IDENTIFY\n" + int32(-1), b"E_BAD_BODY IDENTIFY invalid body size -1", b"IDENTIFY"),
    (b"IDENTIFY\n" + int32(2001), b"E_BAD_BODY IDENTIFY body too big 2001 > 2000", b"IDENTIFY"),
    (b"AUTH x\n", b"E_INVALID AUTH invalid number of parameters", b"AUTH"),
    (b"AUTH\n" + int32(0), b"E_BAD_BODY AUTH invalid body size 0", b"AUTH"),
    (b"AUTH\n" + int32(-1), b"E_BAD_BODY AUTH invalid body size -1", b"AUTH"),
    (b"AUTH\n" + int32(2001), b"E_BAD_BODY AUTH body too big 2001 > 2000", b"AUTH"),
]


@pytest.mark.parametrize(("stream", "wire", "name"), FAULTS)
def test_fault_is_the_last_command_and_names_where_it_happened(stream, wire, name):
    found = make_parser().feed(b"NOP\n" + stream + b"NOP\nNOP\n")
    assert outline(found) == [Nop(), (name, wire, False)]


@pytest.mark.parametrize(("stream", "wire", "name"), FAULTS)
def test_fault_does_not_wait_for_more_than_shows_it(stream, wire, name):
    parser = make_parser()
    assert feed_in_pieces(parser, stream[:-1], 1) == []
    assert outline(parser.feed(stream[-1:])) == [(name, wire, False)]


MPUB_FAULTS = [
    (int32(0), b"E_BAD_BODY MPUB invalid body size 0"),
    (int32(-3), b"E_BAD_BODY MPUB invalid body size -3"),
    (int32(2001), b"E_BAD_BODY MPUB body too big 2001 > 2000"),
    (sized(int32(0)), b"E_BAD_BODY MPUB invalid message count 0"),
    (sized(int32(-2)), b"E_BAD_BODY MPUB invalid message count -2"),
    (sized(int32(400)), b"E_BAD_BODY MPUB invalid message count 400"),
    (
        sized(int32(2) + sized(b"a") + int32(0)),
        b"E_BAD_MESSAGE MPUB invalid message(1) body size 0",
    ),
    (sized(int32(1) + int32(-1)), b"E_BAD_MESSAGE MPUB invalid message(0) body size -1"),
    (
        sized(int32(2) + sized(b"a") + int32(1001)),
        b"E_BAD_MESSAGE MPUB message too big 1001 > 1000",
    ),
]


@pytest.mark.parametrize(("rest", "wire"), MPUB_FAULTS)
@pytest.mark.parametrize("piece", [1, 3, 1000])
def test_faulty_mpub_leaves_its_topic_and_none_of_its_messages(rest, wire, piece):
    stream = b"MPUB m\n" + rest
    found = feed_in_pieces(make_parser(), stream, piece)
    assert outline(found) == [CreateTopic("m"), (b"MPUB", wire, False)]


def test_commands_before_a_fault_are_still_there():
    stream = b"PUB t\n" + sized(b"a") + b"PUB t\n" + sized(b"b") + b"PUB t\n" + int32(0)
    assert outline(make_parser().feed(stream)) == [
        ("t", [b"a", b"b"], 2),
        (b"PUB", b"E_BAD_MESSAGE PUB invalid message body size 0", False),
    ]


def test_messages_and_bodies_of_exactly_the_limit_pass():
    parser = make_parser(max_msg_size=100, max_body_size=108)
    stream = (
        b"PUB t\n"
        + sized(bytes(100))
        + b"MPUB t\n"
        + sized(int32(1) + sized(bytes(100)))
        + b"AUTH\n"
        + sized(bytes(108))
    )
    found = parser.feed(stream)
    assert outline(found) == [
        ("t", [bytes(100)], 1),
        ("t", [bytes(100)], 1),
        Auth(bytes(108)),
    ]


def test_delay_of_exactly_the_limit_passes():
    assert make_parser().feed(b"DPUB t 3600000\n" + sized(b"x")) == [
        PublishDeferred("t", b"x", 3_600_000)
    ]


# ------------------------------------------------------------------ TLS first


@pytest.mark.parametrize(
    "command", [b"PUB t", b"FIN 0123456789abcdef", b"NOP", b"AUTH", b"FOO", b"MPUB bad!"]
)
def test_only_identify_is_read_while_tls_is_missing(command):
    parser = make_parser()
    parser.tls_missing = True
    assert parser.feed(b"IDENTIFY\n" + sized(b"{}")) == [Identify(b"{}")]
    name = command.partition(b" ")[0]
    wire = b"E_INVALID cannot " + name + b" in current state (TLS required)"
    assert outline(parser.feed(command + b"\n")) == [(name, wire, False)]


# ------------------------------------------------------------------ an MPUB that lies


@pytest.mark.parametrize("piece", [1, 1000, 100_000])
def test_mpub_whose_messages_outgrow_the_largest_body_is_refused(piece):
    # the size it declares is a small one, and its count is allowed
    stream = b"MPUB m\n" + int32(100) + int32(300) + sized(bytes(600)) * 300
    found = feed_in_pieces(make_parser(), stream[:1900], piece)
    assert outline(found) == [
        CreateTopic("m"),
        (b"MPUB", b"E_BAD_BODY MPUB body too big 2420 > 2000", False),
    ]


@pytest.mark.parametrize("piece", [1, 1000])
def test_mpub_of_small_messages_beyond_the_largest_body_is_refused(piece):
    stream = b"MPUB m\n" + int32(100) + int32(300) + sized(b"four") * 300
    *_, fault = feed_in_pieces(make_parser(), stream, piece)
    assert fault.error.to_wire().startswith(b"E_BAD_BODY MPUB body too big 2")


def test_mpub_that_fills_the_largest_body_passes():
    stream = b"MPUB m\n" + sized(int32(2) + sized(bytes(994)) * 2)
    assert outline(make_parser().feed(stream)) == [("m", [bytes(994)] * 2, 1)]
    stream = b"MPUB m\n" + int32(100) + int32(2) + sized(bytes(994)) + sized(bytes(995))
    assert outline(make_parser().feed(stream))[1:] == [
        (b"MPUB", b"E_BAD_BODY MPUB body too big 2001 > 2000", False)
    ]


# ------------------------------------------------------------------ over-long lines


def test_line_of_the_longest_length_is_read():
    line = b"FOO " + b"x" * (MAX_LINE - 5) + b"\n"
    assert len(line) == MAX_LINE
    (fault,) = make_parser().feed(line)
    assert fault.error.to_wire() == b"E_INVALID invalid command FOO"


@pytest.mark.parametrize("end", [b"\n", b""])
@pytest.mark.parametrize("size", [1000, MAX_LINE, 10 * MAX_LINE])
def test_longer_line_ends_the_connection_without_an_answer(end, size):
    stream = b"NOP\nPUB " + b"a" * (MAX_LINE - 4) + end
    found = feed_in_pieces(make_parser(), stream, size)
    assert found[0] == Nop()
    assert [(type(command), command.silent) for command in found[1:]] == [(ParseError, True)]


# ------------------------------------------------------------------ the end of the stream


@pytest.mark.parametrize(
    "stream", [b"", b"NOP\n", b"NOP", b"PUB t", b"FIN 0123", b"MPUB t", b"X" * 99]
)
def test_stream_that_ends_between_commands_or_in_a_line_ends_quietly(stream):
    parser = make_parser()
    parser.feed(stream)
    assert parser.finish() == []


@pytest.mark.parametrize(
    ("stream", "wire"),
    [
        (b"PUB t\n", b"E_BAD_MESSAGE PUB failed to read message body size"),
        (b"PUB t\n\0\0", b"E_BAD_MESSAGE PUB failed to read message body size"),
        (b"PUB t\n" + int32(10), b"E_BAD_MESSAGE PUB failed to read message body"),
        (b"PUB t\n" + int32(10) + b"123", b"E_BAD_MESSAGE PUB failed to read message body"),
        (b"DPUB t 1\n\0\0\0", b"E_BAD_MESSAGE DPUB failed to read message body size"),
        (b"DPUB t 1\n" + int32(2) + b"x", b"E_BAD_MESSAGE DPUB failed to read message body"),
        (b"IDENTIFY\n\0", b"E_BAD_BODY IDENTIFY failed to read body size"),
        (b"IDENTIFY\n" + int32(9) + b"{", b"E_BAD_BODY IDENTIFY failed to read body"),
        (b"AUTH\n\0", b"E_BAD_BODY AUTH failed to read body size"),
        (b"AUTH\n" + int32(2) + b"s", b"E_BAD_BODY AUTH failed to read body"),
    ],
)
@pytest.mark.parametrize("piece", [1, 1000])
def test_stream_that_ends_in_a_body_is_a_fault(stream, wire, piece):
    parser = make_parser()
    feed_in_pieces(parser, stream, piece)
    name = stream.split(maxsplit=1)[0].split(b"\n")[0]
    assert outline(parser.finish()) == [(name, wire, False)]


@pytest.mark.parametrize(
    ("rest", "wire"),
    [
        (b"", b"E_BAD_BODY MPUB failed to read body size"),
        (b"\0\0", b"E_BAD_BODY MPUB failed to read body size"),
        (int32(40), b"E_BAD_BODY MPUB failed to read message count"),
        (int32(40) + b"\0\0\0", b"E_BAD_BODY MPUB failed to read message count"),
        (int32(40) + int32(3), b"E_BAD_MESSAGE MPUB failed to read message(0) body size"),
        (
            int32(40) + int32(3) + sized(b"one"),
            b"E_BAD_MESSAGE MPUB failed to read message(1) body size",
        ),
        (
            int32(40) + int32(3) + sized(b"one") + int32(5),
            b"E_BAD_MESSAGE MPUB failed to read message body",
        ),
        (
            int32(40) + int32(3) + sized(b"one") + int32(5) + b"two",
            b"E_BAD_MESSAGE MPUB failed to read message body",
        ),
    ],
)
@pytest.mark.parametrize("piece", [1, 1000])
def test_stream_that_ends_in_an_mpub_leaves_its_topic(rest, wire, piece):
    parser = make_parser()
    stream = b"MPUB t\n" + rest
    feed_in_pieces(parser, stream, piece)
    assert outline(parser.finish()) == [CreateTopic("t"), (b"MPUB", wire, False)]


def test_stream_that_ends_behind_a_fault_has_no_second_one():
    parser = make_parser()
    parser.feed(b"MPUB t\n" + int32(0))
    assert parser.finish() == []
