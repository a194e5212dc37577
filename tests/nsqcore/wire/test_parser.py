import struct
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqcore.wire.commands import (
    Auth,
    Finish,
    Identify,
    Nop,
    ParseError,
    Publish,
    PublishDeferred,
    Ready,
    Requeue,
    StartClose,
    Subscribe,
    Terminate,
    Touch,
)
from nsqcore.wire.lines import parse_number
from nsqcore.wire.parser import CommandParser

ID = b"0123456789abcdef"
OTHER_ID = b"fedcba9876543210"


def make_parser(max_msg_size=1000, max_body_size=2000, max_delay=3_600_000):
    return CommandParser(max_msg_size, max_body_size, max_delay)


def int32(number):
    return struct.pack(">i", number)


def sized(body):
    return int32(len(body)) + body


def mpub(topic, *bodies):
    return b"MPUB " + topic + b"\n" + sized(int32(len(bodies)) + b"".join(map(sized, bodies)))


def feed_all(parser, *chunks):
    """Every command of ``chunks``, going on behind IDENTIFY and AUTH as a session would."""
    commands = []
    for chunk in chunks:
        found = parser.feed(chunk)
        commands += found
        while found and isinstance(found[-1], Identify | Auth):
            found = parser.resume()
            commands += found
    return commands


def flatten(commands):
    """The commands regrouped one way, so that the parser's grouping cannot be seen: FINs, REQs and
    TERMs one by one, neighbouring publishes to a topic as one [name, topic, bodies, replies]."""
    flat = []
    for command in commands:
        if isinstance(command, Finish):
            flat += [("FIN", id) for id in command.ids]
        elif isinstance(command, Requeue):
            flat += [("REQ", id, command.delay) for id in command.ids]
        elif isinstance(command, Terminate):
            flat += [("TERM", id, command.words) for id in command.ids]
        elif isinstance(command, Publish):
            head = ["MPUB" if command.many else "PUB", command.topic]
            if not flat or not isinstance(flat[-1], list) or flat[-1][:2] != head:
                flat.append([*head, [], 0])
            flat[-1][2] += command.bodies
            flat[-1][3] += command.replies
        elif isinstance(command, ParseError):
            flat.append((command.command, command.error.to_wire(), command.silent))
        else:
            flat.append(command)
    return flat


def outline(command):
    """A command as plain values, where attrs does not compare it."""
    if isinstance(command, Publish):
        return (command.topic, command.bodies, command.replies, command.many)
    return command


# ------------------------------------------------------------------ one command each


@pytest.mark.parametrize(
    ("stream", "command"),
    [
        (b"PUB t\n\0\0\0\x02hi", ("t", [b"hi"], 1, False)),
        (b"MPUB t\n\0\0\0\x0e\0\0\0\x02\0\0\0\x01a\0\0\0\x01b", ("t", [b"a", b"b"], 1, True)),
        (b"DPUB t 1500\n\0\0\0\x02hi", PublishDeferred("t", b"hi", 1500)),
        (b"FIN 0123456789abcdef\n", Finish([ID])),
        (b"REQ 0123456789abcdef 100\n", Requeue([ID], b"100")),
        (b"TERM 0123456789abcdef\n", Terminate([ID], [])),
        (b"TOUCH 0123456789abcdef\n", Touch(ID)),
        (b"RDY 5\n", Ready(b"5")),
        (b"RDY\n", Ready(None)),
        (b"RDY \n", Ready(b"")),
        (b"SUB t c#ephemeral\n", Subscribe("t", "c#ephemeral")),
        (b"IDENTIFY\n\0\0\0\x02{}", Identify(b"{}")),
        (b"AUTH\n\0\0\0\x06secret", Auth(b"secret")),
        (b"CLS\n", StartClose()),
        (b"NOP\n", Nop()),
    ],
)
def test_command_has_this_form_on_the_wire(stream, command):
    assert [outline(found) for found in make_parser().feed(stream)] == [command]


@pytest.mark.parametrize(
    ("stream", "command"),
    [
        (b"PUB t\r\n\0\0\0\x02hi", ("t", [b"hi"], 1, False)),
        (b"PUB t extra params\n\0\0\0\x02hi", ("t", [b"hi"], 1, False)),
        (b"MPUB t x\r\n" + sized(int32(1) + sized(b"a")), ("t", [b"a"], 1, True)),
        (b"DPUB t 0 x\r\n\0\0\0\x02hi", PublishDeferred("t", b"hi", 0)),
        (b"DPUB t \n\0\0\0\x02hi", PublishDeferred("t", b"hi", 0)),
        (b"FIN 0123456789abcdef\r\n", Finish([ID])),
        (b"FIN 0123456789abcdef more\n", Finish([ID])),
        (b"REQ 0123456789abcdef 0 x\r\n", Requeue([ID], b"0")),
        (b"REQ 0123456789abcdef soon\n", Requeue([ID], b"soon")),
        (b"TERM 0123456789abcdef no such\r\n", Terminate([ID], [b"no", b"such"])),
        (b"TERM\n", Terminate([], [])),
        (b"TERM short why\n", Terminate([b"short"], [b"why"])),
        (b"TOUCH 0123456789abcdef x\r\n", Touch(ID)),
        (b"RDY -1 2 3\r\n", Ready(b"-1")),
        (b"SUB t c surplus\r\n", Subscribe("t", "c")),
        (b"IDENTIFY a b c\r\n\0\0\0\x02{}", Identify(b"{}")),
        (b"AUTH\r\n\0\0\0\x01s", Auth(b"s")),
        (b"CLS now\r\n", StartClose()),
        (b"NOP \r\n", Nop()),
    ],
)
def test_carriage_return_and_surplus_parameters_are_ignored(stream, command):
    assert [outline(found) for found in make_parser().feed(stream)] == [command]


def test_bodies_may_hold_any_bytes():
    body = bytes(range(256)) + b"\nFIN 0123456789abcdef\nPUB t\n"
    commands = make_parser().feed(b"PUB t\n" + sized(body) + mpub(b"t", body, b"\n") + b"NOP\n")
    assert [outline(command) for command in commands] == [
        ("t", [body], 1, False),
        ("t", [body, b"\n"], 1, True),
        Nop(),
    ]


def test_message_ids_may_hold_any_bytes_but_blanks():
    id = bytes([0, 255, 128, 1]) * 4
    assert make_parser().feed(b"FIN " + id + b"\nTOUCH " + id + b"\n") == [Finish([id]), Touch(id)]


# ------------------------------------------------------------------ plural commands


def test_a_run_of_fins_is_one_value():
    stream = b"FIN " + ID + b"\nFIN " + OTHER_ID + b"\nNOP\nFIN " + ID + b"\n"
    assert make_parser().feed(stream) == [Finish([ID, OTHER_ID]), Nop(), Finish([ID])]


def test_a_run_of_reqs_with_one_delay_is_one_value():
    lines = b"REQ %b 0\nREQ %b 0\nREQ %b 5\nREQ %b 5" % (ID, OTHER_ID, ID, OTHER_ID)
    parser = make_parser()
    assert parser.feed(lines) == [Requeue([ID, OTHER_ID], b"0"), Requeue([ID], b"5")]
    assert parser.feed(b"0\n") == [Requeue([OTHER_ID], b"50")]


def test_a_run_of_terms_with_one_reason_is_one_value():
    lines = b"TERM %b\nTERM %b\nTERM %b bad order\n" % (ID, OTHER_ID, ID)
    assert make_parser().feed(lines) == [
        Terminate([ID, OTHER_ID], []),
        Terminate([ID], [b"bad", b"order"]),
    ]


@pytest.mark.parametrize("bad", [b"0123456789 bcdef", b"0123456789\nbcdef"])
def test_a_run_of_reqs_ends_before_an_id_that_is_none(bad):
    run, *rest = make_parser().feed(b"REQ %b 0\n" % ID + b"REQ %b 0\n" % bad)
    assert run == Requeue([ID], b"0")
    assert isinstance(rest[0], ParseError)


def test_a_run_of_pubs_to_one_topic_is_one_value():
    stream = b"".join(b"PUB t\n" + sized(body) for body in (b"a", b"bc", b"d"))
    stream += b"PUB other\n" + sized(b"e")
    commands = make_parser().feed(stream)
    assert [outline(command) for command in commands] == [
        ("t", [b"a", b"bc", b"d"], 3, False),
        ("other", [b"e"], 1, False),
    ]


def test_a_topic_that_begins_like_the_one_before_is_another_topic():
    stream = b"PUB t\n" + sized(b"a") + b"PUB tt\n" + sized(b"b") + b"PUB t\n" + sized(b"c")
    assert [outline(command) for command in make_parser().feed(stream)] == [
        ("t", [b"a"], 1, False),
        ("tt", [b"b"], 1, False),
        ("t", [b"c"], 1, False),
    ]


def test_a_run_of_mpubs_to_one_topic_is_one_value_that_counts_its_replies():
    stream = mpub(b"t", b"a", b"b") + mpub(b"t", b"c") + mpub(b"u", b"d") + b"PUB u\n" + sized(b"e")
    assert [outline(command) for command in make_parser().feed(stream)] == [
        ("t", [b"a", b"b", b"c"], 2, True),
        ("u", [b"d"], 1, True),
        ("u", [b"e"], 1, False),
    ]


def test_mpub_counts_messages_not_bytes():
    # the body size is checked against the limit, and otherwise of no consequence
    stream = b"MPUB t\n" + int32(7) + int32(2) + sized(b"one") + sized(b"two") + b"NOP\n"
    assert [outline(command) for command in make_parser().feed(stream)] == [
        ("t", [b"one", b"two"], 1, True),
        Nop(),
    ]


# ------------------------------------------------------------------ the stream, cut

STREAM = (
    b"IDENTIFY\n"
    + sized(b'{"client_id":"x"}')
    + b"SUB t c\n"
    + b"RDY 2\r\n"
    + b"PUB t\n"
    + sized(b"one")
    + b"PUB t\n"
    + sized(b"PUB t\n")
    + mpub(b"t", b"a", b"FIN ", b"\n")
    + mpub(b"t", b"b")
    + b"FIN 0123456789abcdef\nFIN fedcba9876543210\n"
    + b"FIN 0123456789abcdef\r\n"
    + b"DPUB t 10\n"
    + sized(b"later")
    + b"AUTH\n"
    + sized(b"pw")
    + b"REQ 0123456789abcdef 0\nTOUCH 0123456789abcdef\nNOP\nCLS\n"
    + b"PUB bad!\n"
)


def test_the_stream_to_be_cut_holds_every_command():
    commands = feed_all(make_parser(), STREAM)
    assert {type(command) for command in commands} == {
        Identify,
        Subscribe,
        Ready,
        Publish,
        Finish,
        PublishDeferred,
        Auth,
        Requeue,
        Touch,
        Nop,
        StartClose,
        ParseError,
    }


@pytest.mark.parametrize("cut", range(len(STREAM) + 1))
def test_commands_do_not_depend_on_where_the_network_cuts_the_stream(cut):
    cut_once = feed_all(make_parser(), STREAM[:cut], STREAM[cut:])
    assert flatten(cut_once) == flatten(feed_all(make_parser(), STREAM))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 20, 21, 22])
def test_commands_do_not_depend_on_how_small_the_pieces_are(size):
    pieces = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
    assert flatten(feed_all(make_parser(), *pieces)) == flatten(feed_all(make_parser(), STREAM))


names = st.sampled_from([b"t", b"u", b"t.u-v_9#ephemeral"])
bodies = st.binary(min_size=1, max_size=40)
ids = st.sampled_from([ID, OTHER_ID, b"\0\xff" * 8])
line_end = st.sampled_from([b"\n", b"\n", b"\r\n"])
commands = st.one_of(
    st.builds(lambda t, n, b: b"PUB " + t + n + sized(b), names, line_end, bodies),
    st.builds(lambda t, n, b: b"PUB " + t + n + sized(b), names, line_end, bodies),
    st.builds(lambda t, b: mpub(t, *b), names, st.lists(bodies, min_size=1, max_size=4)),
    st.builds(lambda id, n: b"FIN " + id + n, ids, line_end),
    st.builds(lambda id, n: b"FIN " + id + n, ids, line_end),
    st.builds(
        lambda t, d, b: b"DPUB %b %d\n" % (t, d) + sized(b), names, st.integers(0, 99), bodies
    ),
    st.builds(lambda id, d: b"REQ %b %d\n" % (id, d), ids, st.integers(0, 10**6)),
    st.builds(lambda id, d: b"REQ %b %d\n" % (id, d) * 3, ids, st.integers(0, 1)),
    st.builds(
        lambda id, why: b"TERM %b%b\n" % (id, why), ids, st.sampled_from([b"", b" bad", b"\r"])
    ),
    st.builds(lambda id: b"TOUCH " + id + b"\n", ids),
    st.builds(lambda n: b"RDY %d\n" % n, st.integers(0, 2500)),
    st.builds(lambda t, c: b"SUB " + t + b" " + c + b"\n", names, names),
    st.builds(lambda b: b"IDENTIFY\n" + sized(b), bodies),
    st.builds(lambda b: b"AUTH\n" + sized(b), bodies),
    st.sampled_from([b"NOP\n", b"CLS\n"]),
)


@pytest.mark.slow
@given(stream=st.lists(commands, max_size=20), data=st.data())
def test_random_commands_cut_at_random_are_the_commands_fed_one_at_a_time(stream, data):
    whole = b"".join(stream)
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=10).map(sorted))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]

    at_once = feed_all(make_parser(), whole)
    cut = feed_all(make_parser(), *pieces)
    one_at_a_time = feed_all(make_parser(), *stream)

    assert not any(isinstance(command, ParseError) for command in at_once)
    assert flatten(at_once) == flatten(cut) == flatten(one_at_a_time)


# ------------------------------------------------------------------ IDENTIFY and AUTH


def test_identify_and_auth_end_a_batch_and_the_rest_waits():
    parser = make_parser()
    rest = b"AUTH\n" + sized(b"s") + b"NOP\nFIN 01"
    assert parser.feed(b"NOP\nIDENTIFY\n" + sized(b"{}") + rest) == [Nop(), Identify(b"{}")]
    assert parser.resume() == [Auth(b"s")]
    assert parser.resume() == [Nop()]
    assert parser.resume() == []
    assert parser.feed(ID[2:] + b"\n") == [Finish([ID])]


def test_bytes_behind_identify_can_be_taken_out_for_the_upgraded_stream():
    parser = make_parser()
    parser.feed(b"IDENTIFY\n" + sized(b"{}") + b"\x16\x03\x01")
    assert parser.leftover() == b"\x16\x03\x01"
    assert parser.leftover() == b""
    assert parser.feed(b"NOP\n") == [Nop()]


def test_resuming_with_nothing_left_gives_nothing():
    assert make_parser().resume() == []


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (b"", 0),
        (b"0", 0),
        (b"000", 0),
        (b"2500", 2500),
        (b"0" * 30 + b"7", 7),
        (b"-1", None),
        (b"+1", None),
        (b"1 ", None),
        (b"1_0", None),
        (b"0x1", None),
        ("\u0661".encode(), None),
    ],
)
def test_numbers_are_plain_decimal_digits(text, number):
    assert parse_number(text) == number


def test_number_of_thousands_of_digits_is_too_large_and_not_an_error():
    assert parse_number(b"9" * 10_000) > 2**64


# ------------------------------------------------------------------ memory and time


@pytest.mark.parametrize(
    "head",
    [
        b"PUB t\n" + int32(2**31 - 1),
        b"DPUB t 0\n" + int32(2**31 - 1),
        b"MPUB t\n" + int32(2**31 - 1) + int32(400_000_000),
        b"MPUB t\n" + int32(2**31 - 1) + int32(1) + int32(2**31 - 10),
        b"IDENTIFY\n" + int32(2**31 - 1),
        b"AUTH\n" + int32(2**31 - 1),
    ],
)
def test_a_huge_declared_size_takes_no_memory(head):
    parser = make_parser(max_msg_size=2**31 - 1, max_body_size=2**31 - 1)
    tracemalloc.start()
    assert parser.feed(head) == []
    assert parser.feed(bytes(1000)[:3]) == []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000


@pytest.mark.slow
@pytest.mark.parametrize("piece", [1, 100, 16 * 1024, 64 * 1024])
@pytest.mark.parametrize(("count", "size"), [(5, 1_000_000), (25_000, 196)])
def test_five_megabytes_of_mpub_take_time_in_proportion(piece, count, size):
    stream = mpub(b"t", *[b"x" * size] * count)
    parser = make_parser(max_msg_size=1 << 20, max_body_size=6 << 20)
    started = time.process_time()
    found = [
        command
        for at in range(0, len(stream), piece)
        for command in parser.feed(stream[at : at + piece])
    ]
    assert [(len(command.bodies), command.replies) for command in found] == [(count, 1)]
    # it takes about a second byte by byte; looking at everything again each time takes minutes
    assert time.process_time() - started < 20
