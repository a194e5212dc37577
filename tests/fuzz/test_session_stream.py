"""Plural is not visible: cutting a client's stream changes no reply and no queue.

Three worlds are fed the same bytes, tick by tick: at once, cut anywhere, and one command
at a time. A tick ends with a pump in all of them, for when messages are sent depends on
ticks, and is meant to.
"""

import json
import struct
import tempfile
from contextlib import ExitStack
from itertools import pairwise

import pytest
from attrs import Factory, define, field
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.nsqd.broker import open_broker

from nsqcore.net.effects import Close, Peer
from nsqcore.wire.frames import ErrorFrame, FrameParser, Messages, parse_record
from nsqcore.wire.identify import Limits
from nsqd.client.client import ClientSettings, Services
from nsqd.client.session import Session, open_session
from nsqd.engine.broker import Broker
from nsqd.storage.diskqueue.store import DiskStore

SECOND = 1_000_000_000
WALL = 1_700_000_000 * SECOND


@define
class NoTimer:
    """Heartbeats are of no interest here."""

    def cancel(self) -> None:
        pass


@define(eq=False)
class World:
    """A broker and the one session it has."""

    directory: str
    now: int = 0
    sent: bytes = b""
    closing: bool = False
    warnings: list[str] = Factory(list)
    broker: Broker = field(init=False)
    session: Session = field(init=False)

    def __attrs_post_init__(self) -> None:
        store = DiskStore(self.directory, warn=self.warnings.append)
        self.broker = open_broker(store, mem_queue_size=3, wall_offset=WALL)
        services = Services(
            broker=self.broker,
            settings=ClientSettings(
                limits=Limits(msg_timeout=1000), max_msg_size=100, max_body_size=300
            ),
            now=lambda: self.now,
            call_at=lambda when, call: NoTimer(),
            upgrade=None,
            authorize=None,
            request_tick=lambda: None,
        )
        self.session = open_session(services, WALL, lambda session: None, Peer("1.2.3.4:5"))

    def tick(self, chunks: list[bytes], now: int) -> bytes:
        """What the client is sent for ``chunks``, all of one tick."""
        self.now = now
        self.broker.expire(now)
        for chunk in chunks:
            if chunk and not self.closing:
                effect = self.session.received(chunk)
                assert effect is None or isinstance(effect, Close)
                self.closing = effect is not None
        while self.broker.dispatch(now):
            pass
        return self.session.outbox.take()

    def end(self) -> bytes:
        """What the client is sent for the end of its stream; then it is gone."""
        if not self.closing:
            assert isinstance(self.session.received(b""), Close)
        last = self.session.outbox.take()
        self.session.closed(None)
        return last

    def queues(self) -> dict[str, object]:
        """Everything the broker holds; the queues have nothing left then."""
        found = {}
        for topic in self.broker.topics.values():
            for queue in (topic, *topic.channels.values()):
                counts = (queue.depth, queue.backend_depth, queue.message_count)
                found[topic.name, queue.name] = (*counts, queue.queue.take(1000))
            found[topic.name] = topic.message_bytes
        return found


def sized(body: bytes) -> bytes:
    return struct.pack(">i", len(body)) + body


def mpub(topic: bytes, bodies: list[bytes]) -> bytes:
    payload = struct.pack(">i", len(bodies)) + b"".join(map(sized, bodies))
    return b"MPUB " + topic + b"\n" + sized(payload)


names = st.sampled_from([b"t", b"t", b"u", b"e#ephemeral"])
bodies = st.binary(min_size=1, max_size=12)
numbers = st.integers(0, 30)  # of messages received so far
single = st.one_of(
    st.builds(lambda t, b: b"PUB " + t + b"\n" + sized(b), names, bodies),
    st.builds(mpub, names, st.lists(bodies, min_size=1, max_size=4)),
    st.builds(lambda d, b: b"DPUB t %d\n" % d + sized(b), st.integers(0, 3000), bodies),
    st.builds(lambda n: b"RDY %d\n" % n, st.integers(0, 8)),
    st.just(b"NOP\n"),
    # about messages in flight, given by number
    st.tuples(
        st.sampled_from([b"FIN %b\n", b"REQ %b 0\n", b"REQ %b 1500\n", b"TOUCH %b\n"]), numbers
    ),
)
runs = st.one_of(
    st.lists(bodies, min_size=2, max_size=5).map(
        lambda found: [b"PUB t\n" + sized(body) for body in found]
    ),
    st.lists(bodies, min_size=2, max_size=5).map(lambda found: [mpub(b"t", [b]) for b in found]),
    st.lists(st.tuples(st.just(b"FIN %b\n"), numbers), min_size=2, max_size=5),
)
good = st.one_of(single.map(lambda command: [command]), runs)
bad = st.sampled_from(
    [
        b"PUB bad!\n",
        b"PUB t\n" + struct.pack(">i", 101),
        b"PUB t\n" + struct.pack(">i", 0),
        b"MPUB new\n" + sized(struct.pack(">i", 2) + sized(b"fine") + sized(b"")),
        b"MPUB new\n" + struct.pack(">i", 301),
        b"FIN short\n",
        b"REQ 0123456789abcdef soon\n",
        b"RDY many\n",
        b"SUB t again\n",
        b"CLS\n",
        b"IDENTIFY\n" + sized(b"{}"),
        b"FOO\n",
        b"DPUB t 10\n" + struct.pack(">i", 50) + b"cut short",
    ]
).map(lambda command: [command])
tick = st.lists(st.one_of(good, good, good, good, bad), max_size=8).map(
    lambda groups: [command for group in groups for command in group]
)
ticks = st.lists(tick, min_size=1, max_size=5)
openings = st.sampled_from(
    [
        [b"  V2"],
        [b"  V2", b"SUB t c\n", b"RDY 3\n"],
        [
            b"  V2",
            b"IDENTIFY\n" + sized(json.dumps({"feature_negotiation": True}).encode()),
            b"SUB t c#ephemeral\n",
            b"RDY 5\n",
        ],
    ]
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(opening=openings, ticks=ticks, data=st.data())
def test_replies_and_queues_do_not_depend_on_how_the_stream_is_cut(opening, ticks, data):
    with ExitStack() as stack:
        at_once, cut, one_by_one = (
            World(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(3)
        )
        ids: list[bytes] = [b"0123456789abcdef"]
        frames = FrameParser()
        for number, commands in enumerate([opening, *ticks]):
            stream = [
                command if isinstance(command, bytes) else command[0] % ids[command[1] % len(ids)]
                for command in commands
            ]
            whole = b"".join(stream)
            places = st.lists(st.integers(0, len(whole)), max_size=6).map(sorted)
            cuts = [0, *data.draw(places), len(whole)]
            now = number * SECOND * 7 // 10  # messages time out after a second

            replies = at_once.tick([whole], now)
            assert cut.tick([whole[a:b] for a, b in pairwise(cuts)], now) == replies
            assert one_by_one.tick(stream, now) == replies
            for frame in frames.feed(replies):
                if isinstance(frame, Messages):
                    ids += [parse_record(record).id for record in frame.records]

        last = at_once.end()
        assert cut.end() == one_by_one.end() == last
        found = at_once.queues()
        assert cut.queues() == one_by_one.queues() == found


def test_the_streams_reach_what_they_are_to_test(tmp_path):
    world = World(str(tmp_path))
    stream = b"  V2SUB t c\nRDY 2\n" + b"".join(b"PUB t\n" + sized(b"%d" % n) for n in range(6))
    frames = FrameParser().feed(world.tick([stream], now=0))
    (messages,) = [frame for frame in frames if isinstance(frame, Messages)]
    first, second = (parse_record(record).id for record in messages.records)
    assert world.broker.topics["t"].channels["c"].backend_depth > 0
    stream = b"FIN %b\nFIN %b\nREQ %b 0\nNOPE\n" % (first, first, second)
    frames = FrameParser().feed(world.tick([stream], now=1))
    assert [frame.code for frame in frames if isinstance(frame, ErrorFrame)] == [
        "E_FIN_FAILED",
        "E_INVALID",
    ]
    assert world.closing
