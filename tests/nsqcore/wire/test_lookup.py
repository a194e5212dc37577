"""The V1 protocol of nsqlookupd, from both ends."""

import json
from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsqcore.wire.commands import ParseError
from nsqcore.wire.errors import BadBody
from nsqcore.wire.lookup import (
    MAX_IDENTIFY_SIZE,
    MAX_LINE,
    MAX_REPLY_SIZE,
    BadReply,
    IdentifyProducer,
    LookupParser,
    Peer,
    Ping,
    Register,
    ReplyParser,
    Unregister,
    identify_command,
    is_error_reply,
    parse_peer,
    register_command,
    reply,
    unregister_command,
)

PRODUCER = {"broadcast_address": "h", "tcp_port": 1, "http_port": 2, "version": "1.3.0"}
IDENTIFY = identify_command(PRODUCER)
STREAM = (
    b"  V1PING\n" + IDENTIFY + b"REGISTER t c\r\n  REGISTER t \nUNREGISTER t c x y\nUNREGISTER t\n"
)
COMMANDS = [
    Ping(),
    IdentifyProducer(json.dumps(PRODUCER).encode()),
    Register("t", "c"),
    Register("t"),
    Unregister("t", "c"),
    Unregister("t"),
]


def errors(*chunks: bytes) -> list[bytes]:
    parser = LookupParser()
    parser.feed(b"  V1")
    commands = [command for chunk in chunks for command in parser.feed(chunk)]
    return [c.error.to_wire() for c in commands + parser.finish() if isinstance(c, ParseError)]


@pytest.mark.parametrize("cut", range(len(STREAM) + 1))
def test_commands_do_not_depend_on_where_the_network_cuts_the_stream(cut):
    parser = LookupParser()
    assert parser.feed(STREAM[:cut]) + parser.feed(STREAM[cut:]) == COMMANDS


@pytest.mark.slow
@settings(max_examples=200)
@given(
    st.lists(
        st.binary(max_size=12)
        | st.sampled_from(
            [b"PING\n", b"REGISTER t c\n", b"IDENTIFY\n", b"\0\0\0\2{}", IDENTIFY, b"\n"]
        )
    )
)
def test_noise_is_never_raised_about_and_means_the_same_however_it_is_cut(pieces):
    whole, parts = LookupParser(), LookupParser()
    parts.feed(b"  V1")
    at_once = whole.feed(b"  V1" + b"".join(pieces)) + whole.finish()
    in_pieces = [command for piece in pieces for command in parts.feed(piece)] + parts.finish()
    assert [_shown(command) for command in at_once] == [_shown(command) for command in in_pieces]


def _shown(command):
    return command.error.to_wire() if isinstance(command, ParseError) else command


def test_another_magic_is_answered_with_the_bare_code():
    (fault,) = LookupParser().feed(b"  V2")
    assert fault.error.to_wire() == b"E_BAD_PROTOCOL"


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"LOOKUP t\n", b"E_INVALID invalid command LOOKUP"),
        (b"\n", b"E_INVALID invalid command "),
        (b"REGISTER\n", b"E_INVALID REGISTER insufficient number of params"),
        (b"UNREGISTER \n", b"E_INVALID UNREGISTER insufficient number of params"),
        (b"REGISTER  t\n", b"E_BAD_TOPIC REGISTER topic name '' is not valid"),
        (b"REGISTER b%d\n", b"E_BAD_TOPIC REGISTER topic name 'b%d' is not valid"),
        (b"UNREGISTER t b\xff\n", b"E_BAD_CHANNEL UNREGISTER channel name 'b\xff' is not valid"),
        (b"IDENTIFY\n", b"E_INVALID cannot IDENTIFY again"),
        (b"x" * (MAX_LINE + 1), b"E_INVALID line is longer than %d bytes" % MAX_LINE),
    ],
)
def test_a_line_that_is_no_command_is_named_in_the_error(line, error):
    assert errors(IDENTIFY, line) == [error]


@pytest.mark.parametrize("line", [b"REGISTER\n", b"UNREGISTER b%d\n"])
def test_registering_needs_an_identify_before_anything_else(line):
    assert errors(line) == [b"E_INVALID client must IDENTIFY"]


@pytest.mark.parametrize("size", [-1, -(2**31), MAX_IDENTIFY_SIZE + 1, 2**31 - 1])
def test_an_impossible_body_size_is_refused_before_the_body_comes(size):
    (error,) = errors(b"IDENTIFY\n" + pack(">i", size))
    assert error.startswith(b"E_BAD_BODY IDENTIFY ")
    assert str(size).encode() in error


@pytest.mark.parametrize(
    ("bytes_sent", "error"),
    [
        (b"IDENTIFY\n", b"E_BAD_BODY IDENTIFY failed to read body size"),
        (b"IDENTIFY\n\0\0", b"E_BAD_BODY IDENTIFY failed to read body size"),
        (b"IDENTIFY\n\0\0\0\x64{}", b"E_BAD_BODY IDENTIFY failed to read body"),
    ],
)
def test_a_peer_that_breaks_off_an_identify_is_told_what_is_missing(bytes_sent, error):
    assert errors(bytes_sent) == [error]


def test_a_peer_that_leaves_between_commands_is_told_nothing():
    assert errors(IDENTIFY, b"REGISTER t") == []


def test_nothing_is_understood_after_a_fault():
    parser = LookupParser()
    assert len(parser.feed(b"  V1BOGUS\nPING\n")) == 1
    assert parser.feed(b"PING\n") == []
    assert parser.finish() == []


def test_a_producer_tells_its_addresses_and_where_it_is():
    body = json.dumps(PRODUCER | {"hostname": "n", "topology_zone": "z", "new": [1]}).encode()
    assert parse_peer(body) == Peer("h", 1, 2, "1.3.0", "n", topology_zone="z")


def test_names_are_taken_in_any_case_and_null_is_absent():
    body = b'{"Broadcast_Address":"h","TCP_PORT":1,"http_port":2,"version":"v","hostname":null}'
    assert parse_peer(body) == Peer("h", 1, 2, "v")


@pytest.mark.parametrize(
    "body",
    [b"", b"not json", b"[]", b"7", b"[" * 60_000]
    + [
        json.dumps(PRODUCER | change).encode()
        for change in (
            {"tcp_port": "1"},
            {"tcp_port": 1.5},
            {"tcp_port": True},
            {"http_port": 2**70},
            {"version": 1},
        )
    ],
)
def test_a_body_of_another_shape_cannot_be_decoded(body):
    with pytest.raises(BadBody, match="IDENTIFY failed to decode JSON body"):
        parse_peer(body)


@pytest.mark.parametrize(
    "change",
    [
        {"tcp_port": 99999},
        {"tcp_port": -1},
        {"http_port": 65536},
        {"broadcast_address": "user:pw@127.0.0.1:25030/adm?"},
        {"broadcast_address": "\ud800x"},
        {"broadcast_address": "a..b"},
        {"broadcast_address": "/run/nsqd.sock"},
        {"broadcast_address": "h:1"},
    ],
)
def test_an_address_that_nobody_could_dial_is_refused(change):
    """What one registered here was dialled by all who looked for a topic."""
    ((key, _),) = change.items()
    with pytest.raises(BadBody, match=f"IDENTIFY invalid {key}") as caught:
        parse_peer(json.dumps(PRODUCER | change).encode())
    caught.value.to_wire()


def test_texts_are_bounded_and_have_no_surrogates():
    """A version of 5000 digits, a hostname that no encoding can write."""
    change = {"version": "9" * 5000, "hostname": "\ud800x", "topology_zone": "z" * 60_000}
    peer = parse_peer(json.dumps(PRODUCER | change).encode())
    assert peer.hostname == "\ufffdx"
    assert (len(peer.version), len(peer.topology_zone)) == (64, 1024)


@pytest.mark.parametrize("missing", PRODUCER)
@pytest.mark.parametrize("value", [None, 0, ""])
def test_addresses_and_version_are_required(missing, value):
    if value is not None and type(value) is not type(PRODUCER[missing]):
        value = None
    with pytest.raises(BadBody, match="IDENTIFY missing fields"):
        parse_peer(json.dumps(PRODUCER | {missing: value}).encode())


def test_what_nsqd_says_is_what_nsqlookupd_understands():
    parser = LookupParser()
    sent = [register_command("t"), register_command("t", "c"), unregister_command("t", "c")]
    parser.feed(b"  V1" + IDENTIFY)
    assert parser.feed(b"".join(sent)) == [Register("t"), Register("t", "c"), Unregister("t", "c")]


def test_replies_do_not_depend_on_where_the_network_cuts_the_stream():
    stream = reply(b"OK") + reply(b'{"version":"1"}') + reply(b"")
    for cut in range(len(stream) + 1):
        parser = ReplyParser()
        got = parser.feed(stream[:cut]) + parser.feed(stream[cut:])
        assert got == [b"OK", b'{"version":"1"}', b""]


@pytest.mark.parametrize("size", [-1, MAX_REPLY_SIZE + 1])
def test_a_reply_of_an_impossible_size_is_refused(size):
    with pytest.raises(BadReply, match=str(size)):
        ReplyParser().feed(pack(">i", size))


def test_errors_are_told_from_answers():
    assert is_error_reply(b"E_INVALID cannot IDENTIFY again")
    assert not is_error_reply(b"OK")
