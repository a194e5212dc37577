"""A session as its driver sees it: magic, heartbeats, commands that wait, and the end."""

import pytest
import trio
import trio.testing
from tests.nsqd.client.conftest import Wire, bodies, body, identify, mpub

from nsqcore.net.effects import Close, Peer
from nsqcore.wire.frames import Message
from nsqd.client.client import State, host_of
from nsqd.engine.delivery.consumer import MAX_UNREAD

HEARTBEAT = "_heartbeat_"
SUB = b"SUB t c\n"


class TestBeginning:
    def test_the_magic_may_come_in_pieces(self, world):
        session = world.session()
        for byte in b"  V2":
            assert session.received(bytes([byte])) is None
        session.received(b"PUB t\n" + body(b"x"))
        world.end_tick()
        assert world.broker.topics["t"].depth == 1

    def test_another_protocol_is_refused(self, world):
        session = world.session()
        assert isinstance(session.received(b"GET / HTTP/1.1\r\n\r\n"), Close)
        assert session.outbox.take()[8:] == b"E_BAD_PROTOCOL"

    def test_a_client_that_leaves_before_its_magic_is_let_go(self, world):
        session = world.session()
        session.received(b"  ")
        assert isinstance(session.received(b""), Close)
        assert session.outbox.size == 0

    @pytest.mark.parametrize(
        ("address", "host"),
        [
            ("1.2.3.4:5", "1.2.3.4"),
            ("[::1]:5", "::1"),
            ("[fe80::1%eth0]:5", "fe80::1%eth0"),
            ("@", ""),
        ],
    )
    def test_a_client_is_known_by_its_address_until_it_says_otherwise(self, world, address, host):
        client = world.connect(address=address).client
        assert (client.identity.client_id, client.identity.hostname) == (host, host)
        assert (client.host, client.name) == (host, address)
        assert host_of(Peer(address)) == host


@pytest.mark.parametrize("name", ["IDENTIFY", "AUTH"])
def test_what_may_not_come_now_is_refused_by_its_line(world, name):
    client = world.connect()
    assert client.send(SUB) == ["OK"]
    assert client.send(name.encode() + b"\n") == [f"E_INVALID cannot {name} in current state"]
    assert isinstance(client.effect, Close)


class TestHeartbeats:
    def test_a_silent_client_is_sent_heartbeats_and_then_closed(self, world):
        client = world.connect()
        world.advance(30)
        assert client.taken() == [HEARTBEAT]
        world.advance(29.9)
        assert client.taken() == []
        assert client.session.outbox.closing is None
        world.advance(0.1)
        assert client.session.outbox.closing == "heartbeats unanswered"

    def test_a_client_that_dies_after_an_answer_is_closed_two_intervals_after_it(self, world):
        client = world.connect()
        for _ in range(3):
            world.advance(29.9)
            assert client.taken() == []
            world.advance(0.1)
            assert client.taken() == [HEARTBEAT]
            client.send(b"NOP\n")
        world.advance(30)
        assert client.taken() == [HEARTBEAT]
        world.advance(29.9)
        assert client.session.outbox.closing is None
        world.advance(0.1)
        assert client.session.outbox.closing == "heartbeats unanswered"

    def test_silence_is_counted_from_the_last_sign_whenever_it_came(self, world):
        client = world.connect()
        world.advance(30)
        world.advance(5)
        client.send(b"NOP\n")
        world.advance(25)
        world.advance(30)
        assert client.session.outbox.closing is None
        world.advance(4.9)
        assert client.session.outbox.closing is None
        world.advance(0.1)
        assert client.session.outbox.closing == "heartbeats unanswered"

    @pytest.mark.parametrize("sign", [b"NOP\n", b"PUB t\n" + body(b"x"), b"half a command "])
    def test_whatever_a_client_sends_keeps_it_alive(self, world, sign):
        client = world.connect()
        for _ in range(10):
            world.advance(30)
            client.send(sign)
        assert client.session.outbox.closing is None

    def test_identify_changes_the_interval(self, world):
        client = world.connect(identify(heartbeat_interval=1000))
        client.taken()
        world.advance(1)
        assert client.taken() == [HEARTBEAT]
        world.advance(1)
        assert client.session.outbox.closing == "heartbeats unanswered"

    def test_identify_turns_heartbeats_off(self, world):
        client = world.connect(identify(heartbeat_interval=-1))
        client.taken()
        world.advance(3600)
        assert client.taken() == []
        assert client.session.outbox.closing is None

    def test_a_client_that_is_gone_gets_no_more_of_them(self, world):
        client = world.connect()
        client.hang_up()
        world.advance(100)
        assert client.taken() == []

    async def test_a_client_silent_for_two_heartbeats_is_disconnected(self, join, autojump_clock):
        client = await join()
        assert await client.rest() == [HEARTBEAT]
        assert 60 <= trio.current_time() < 60.1

    async def test_heartbeats_do_not_depend_on_messages_being_there(self, join, autojump_clock):
        client = await join()
        await client.send(identify(heartbeat_interval=5000), SUB)
        assert await client.many(2) == ["OK", "OK"]
        for _ in range(5):
            assert await client.next() == HEARTBEAT
            await client.send(b"NOP\n")
        assert 25 <= trio.current_time() < 25.1


class TestPipelining:
    def test_commands_behind_an_identify_are_acted_on_in_their_order(self, world):
        client = world.connect()
        stream = identify(client_id="me") + SUB + b"RDY 1\n" + b"PUB t\n" + body(b"x")
        answers = client.send(stream)
        assert answers[:3] == ["OK", "OK", "OK"]
        assert bodies(answers) == [b"x"]
        assert client.client.identity.client_id == "me"

    def test_several_identifies_in_one_chunk_are_all_answered(self, world):
        client = world.connect()
        answers = client.send(identify(client_id="1"), identify(client_id="2"), b"NOP\n", SUB)
        assert answers == ["OK", "OK", "OK"]
        assert client.client.identity.client_id == "2"

    def test_nothing_behind_a_failing_identify_is_done(self, world):
        client = world.connect()
        answers = client.send(identify(sample_rate=500), b"PUB t\n", body(b"x"))
        assert answers == ["E_BAD_BODY IDENTIFY sample rate (500) is invalid"]
        assert not world.broker.topics

    def test_what_an_ended_stream_cut_short_is_reported(self, world):
        client = world.connect(b"PUB t\n" + body(b"hello")[:-1])
        assert client.send(b"") == ["E_BAD_MESSAGE PUB failed to read message body"]
        assert isinstance(client.effect, Close)

    def test_a_line_without_end_closes_the_connection_without_a_word(self, world):
        client = world.connect()
        assert client.send(b"PUB " + b"x" * 20_000) == []
        assert isinstance(client.effect, Close)


class TestEnd:
    def test_what_a_client_held_is_delivered_to_another_with_one_attempt_more(self, world):
        holder, other = world.connect(SUB, b"RDY 5\n"), world.connect(SUB)
        world.publish("t", b"1", b"2")
        other.send(b"RDY 5\n")
        holder.hang_up()
        again = [answer for answer in other.taken() if isinstance(answer, Message)]
        assert [(message.body, message.attempts) for message in again] == [(b"1", 2), (b"2", 2)]
        assert world.ended == [holder.session]

    def test_a_deleted_channel_closes_its_clients(self, world):
        client, other = world.connect(SUB, b"RDY 1\n"), world.connect(b"SUB t other\n")
        world.publish("t", b"x")
        topic = world.broker.topics["t"]
        world.broker.delete_channel(topic, topic.channels["c"])
        assert client.session.outbox.closing == "channel deleted"
        assert other.session.outbox.closing is None
        client.hang_up()
        assert "c" not in topic.channels

    def test_a_deleted_topic_closes_the_clients_of_all_its_channels(self, world):
        clients = [world.connect(b"SUB t %b\n" % name) for name in (b"a", b"b")]
        world.broker.delete_topic(world.broker.topics["t"])
        assert [client.session.outbox.closing for client in clients] == ["channel deleted"] * 2
        for client in clients:
            client.hang_up()
        assert not world.broker.topics

    def test_an_ephemeral_channel_goes_with_its_last_client(self, world):
        first, second = (world.connect(b"SUB t c#ephemeral\n") for _ in range(2))
        first.hang_up()
        assert list(world.broker.topics["t"].channels) == ["c#ephemeral"]
        second.hang_up()
        assert not world.broker.topics["t"].channels

    def test_a_client_that_never_subscribed_leaves_nothing_behind(self, world):
        client = world.connect(b"PUB t\n" + body(b"x"))
        client.hang_up()
        assert world.ended == [client.session]
        assert client.client.state is State.INIT


class TestSlowReaders:
    def test_a_client_that_does_not_read_is_given_no_more_than_the_bound(self, world):
        slow = world.connect(SUB, b"RDY 2500\n")
        message = bytes(10_000)
        world.publish("t", *[message] * 1000)
        channel = world.broker.topics["t"].channels["c"]
        # one slice may go over the bound
        assert MAX_UNREAD <= slow.session.outbox.size < MAX_UNREAD + 600_000
        assert channel.depth > 800

        quick = world.connect(SUB, b"RDY 2500\n")
        assert len(bodies(quick.taken())) > 50  # the others are served meanwhile

        slow.taken()
        world.end_tick()
        assert slow.session.outbox.size > 500_000  # it goes on once there is room again

    async def test_a_slow_reader_gets_everything_in_the_end(self, trio_world, nursery):
        wire = Wire(await trio_world.serve(nursery, trio_world.session()))
        await wire.send(b"  V2", SUB)
        assert await wire.next() == "OK"
        await wire.send(b"RDY 2500\n")
        trio_world.publish("t", *[b"%04d" % n + bytes(10_000) for n in range(300)])
        channel = trio_world.broker.topics["t"].channels["c"]
        await trio.testing.wait_all_tasks_blocked()
        assert channel.depth > 0
        received = bodies(await wire.many(300))
        assert sorted(body[:4] for body in received) == [b"%04d" % n for n in range(300)]
        assert channel.depth == 0

    @pytest.mark.slow
    async def test_a_publisher_that_does_not_read_its_answers_is_not_read_from(
        self, trio_world, nursery
    ):
        session = trio_world.session()
        ours = await trio_world.serve(nursery, session, max_outbox=1000)
        await ours.send_all(b"  V2")
        sent = []

        async def flood():
            while True:
                await ours.send_all(mpub("t", b"x") * 50)
                sent.append(50)

        nursery.start_soon(flood)
        await trio.testing.wait_all_tasks_blocked()
        # the kernel keeps some hundred answers, and some of what is to be read
        assert 100 <= sum(sent) <= 50_000
        assert trio_world.broker.topics["t"].depth <= sum(sent) + 50
        assert session.outbox.size < 10_000
        nursery.cancel_scope.cancel()
