"""The session of one nsqd at nsqlookupd."""

import json
from struct import pack

import pytest

from nsqcore.net.effects import Close, Peer
from nsqcore.wire.lookup import ReplyParser, identify_command
from nsqlookupd.dispatch import LookupSession
from nsqlookupd.registry import Registry

FIELDS = {"broadcast_address": "h", "tcp_port": 1, "http_port": 2, "version": "1.3.0"}
ABOUT = {"tcp_port": 4160}


class Nsqd:
    """One end of a session: says things, hears replies."""

    def __init__(self, registry, address="10.0.0.1:1"):
        self.now = 0
        self.session = LookupSession(Peer(address), registry, lambda: ABOUT, lambda: self.now)
        self.effect = None

    def say(self, data, *, identified=True):
        if identified is not None:
            before = b"  V1" + (identify_command(FIELDS) if identified else b"")
            self.session.received(before)
            self.session.outbox.take()
        self.effect = self.session.received(data)
        return ReplyParser().feed(self.session.outbox.take())


@pytest.fixture
def registry():
    return Registry(300_000_000_000, 45_000_000_000)


@pytest.fixture
def nsqd(registry):
    return Nsqd(registry)


def test_identify_is_answered_with_what_nsqlookupd_is(nsqd, registry):
    (answer,) = nsqd.say(b"  V1" + identify_command(FIELDS), identified=None)
    assert json.loads(answer) == ABOUT
    assert [producer.peer.broadcast_address for producer in registry.producers] == ["h"]


def test_every_command_of_a_chunk_is_answered(nsqd, registry):
    stream = b"".join(b"REGISTER t%d c\n" % n for n in range(40)) + b"PING\n"
    assert nsqd.say(stream) == [b"OK"] * 41
    assert len(registry.topics) == 40
    assert nsqd.effect is None


def test_a_ping_before_identify_is_answered(nsqd):
    assert nsqd.say(b"PING\nPING\n", identified=False) == [b"OK", b"OK"]


def test_a_ping_shows_that_the_producer_is_alive(nsqd, registry):
    nsqd.say(b"REGISTER t\n")
    nsqd.now = 5
    nsqd.say(b"PING\n", identified=None)
    assert [producer.seen for producer in registry.producers] == [5]


def test_unregister_takes_the_topic_back(nsqd, registry):
    assert nsqd.say(b"REGISTER t c\nUNREGISTER t\nUNREGISTER t\n") == [b"OK"] * 3
    assert registry.topics["t"].producers == []


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"BOGUS\n", b"E_INVALID invalid command BOGUS"),
        (b"REGISTER b%d\n", b"E_BAD_TOPIC REGISTER topic name 'b%d' is not valid"),
        (identify_command(FIELDS), b"E_INVALID cannot IDENTIFY again"),
    ],
)
def test_a_fault_is_told_and_ends_the_connection(nsqd, said, answer):
    assert nsqd.say(b"PING\n" + said + b"PING\n") == [b"OK", answer]
    assert isinstance(nsqd.effect, Close)


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        ({}, b"E_BAD_BODY IDENTIFY missing fields"),
        ([], b"E_BAD_BODY IDENTIFY failed to decode JSON body"),
    ],
)
def test_a_producer_that_does_not_say_who_it_is_is_refused(nsqd, registry, fields, answer):
    body = json.dumps(fields).encode()
    said = b"IDENTIFY\n" + pack(">i", len(body)) + body + b"REGISTER t\n"
    assert nsqd.say(said, identified=False) == [answer]
    assert isinstance(nsqd.effect, Close)
    assert not registry.producers


def test_a_broken_off_identify_is_told(nsqd):
    nsqd.say(b"IDENTIFY\n\0\0\0\x09{}", identified=False)
    assert nsqd.say(b"", identified=None) == [b"E_BAD_BODY IDENTIFY failed to read body"]
    assert isinstance(nsqd.effect, Close)


def test_whatever_ends_the_connection_the_producer_is_forgotten(nsqd, registry):
    nsqd.say(b"REGISTER t c\n")
    nsqd.session.closed(ConnectionResetError())
    assert not registry.producers
    assert registry.topics["t"].channels == {"c": []}


def test_two_connections_of_one_nsqd_are_two_producers(registry):
    one, two = Nsqd(registry, "10.0.0.1:1"), Nsqd(registry, "10.0.0.1:2")
    one.say(b"REGISTER t\n")
    two.say(b"REGISTER t\n")
    assert len(registry.topics["t"].producers) == 2
    one.session.closed(None)
    assert len(registry.topics["t"].producers) == 1
