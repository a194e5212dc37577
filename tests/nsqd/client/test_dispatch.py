"""What commands do, and how they are refused: the state checks and texts of the protocol."""

import json
import struct

import pytest
import trustme
from tests.nsqd.client.conftest import SECOND, bodies, body, identify, mpub

from nsqcore.net.effects import Close, Upgrade
from nsqcore.net.tls import ServerTls
from nsqcore.wire.frames import Message
from nsqcore.wire.identify import Limits
from nsqd.client.client import State

ID = b"0123456789abcdef"
SUB = b"SUB t c\n"


class TestRefusals:
    @pytest.mark.parametrize(
        ("before", "command", "text"),
        [
            (b"", b"RDY 1\n", "E_INVALID cannot RDY in current state"),
            (b"", b"RDY nonsense\n", "E_INVALID cannot RDY in current state"),
            (b"", b"FIN %b\n" % ID, "E_INVALID cannot FIN in current state"),
            (b"", b"FIN short\n", "E_INVALID cannot FIN in current state"),
            (b"", b"REQ %b 0\n" % ID, "E_INVALID cannot REQ in current state"),
            (b"", b"REQ\n", "E_INVALID cannot REQ in current state"),
            (b"", b"TOUCH %b\n" % ID, "E_INVALID cannot TOUCH in current state"),
            (b"", b"CLS\n", "E_INVALID cannot CLS in current state"),
            (SUB, SUB, "E_INVALID cannot SUB in current state"),
            (SUB, b"SUB bad! c\n", "E_INVALID cannot SUB in current state"),
            (SUB, identify(), "E_INVALID cannot IDENTIFY in current state"),
            (SUB, b"IDENTIFY\n" + body(b"junk"), "E_INVALID cannot IDENTIFY in current state"),
            (SUB, b"AUTH\n" + body(b"x"), "E_INVALID cannot AUTH in current state"),
            (SUB + b"CLS\n", b"CLS\n", "E_INVALID cannot CLS in current state"),
            (SUB + b"CLS\n", SUB, "E_INVALID cannot SUB in current state"),
            (b"", b"SUB bad$ c\n", 'E_BAD_TOPIC SUB topic name "bad$" is not valid'),
            (b"", b"SUB t bad$\n", 'E_BAD_CHANNEL SUB channel name "bad$" is not valid'),
            (b"", b"SUB t\n", "E_INVALID SUB insufficient number of parameters"),
            (SUB, b"RDY many\n", "E_INVALID RDY could not parse count many"),
            (SUB, b"RDY -1\n", "E_INVALID RDY could not parse count -1"),
            (SUB, b"RDY 2501\n", "E_INVALID RDY count 2501 out of range 0-2500"),
            (SUB, b"REQ %b soon\n" % ID, "E_INVALID REQ could not parse timeout soon"),
            (SUB, b"REQ %b\n" % ID, "E_INVALID REQ insufficient number of params"),
            (SUB, b"FIN short\n", "E_INVALID invalid message ID"),
            (b"", b"AUTH\n" + body(b"x"), "E_AUTH_DISABLED AUTH disabled"),
            (b"", b"FOO\n", "E_INVALID invalid command FOO"),
            (b"", identify(sample_rate=100), "E_BAD_BODY IDENTIFY sample rate (100) is invalid"),
            (
                b"",
                identify(feature_negotiation=True, snappy=True, deflate=True),
                "E_IDENTIFY_FAILED cannot enable both deflate and snappy compression",
            ),
            (b"", mpub("t", b"fine", b""), "E_BAD_MESSAGE MPUB invalid message(1) body size 0"),
        ],
    )
    def test_a_command_out_of_place_or_order_is_refused_and_ends_the_connection(
        self, world, before, command, text
    ):
        client = world.connect(before)
        assert client.send(command) == [text]
        assert isinstance(client.effect, Close)

    @pytest.mark.parametrize(
        ("command", "text"),
        [
            (b"FIN %b\n", "E_FIN_FAILED FIN 0123456789abcdef failed ID not in flight"),
            (b"REQ %b 0\n", "E_REQ_FAILED REQ 0123456789abcdef failed ID not in flight"),
            (b"TOUCH %b\n", "E_TOUCH_FAILED TOUCH 0123456789abcdef failed ID not in flight"),
        ],
    )
    def test_a_failure_about_one_message_leaves_the_connection_open(self, world, command, text):
        client = world.connect(SUB)
        assert client.send(command % ID) == [text]
        assert client.effect is None
        assert client.send(b"PUB t\n" + body(b"x")) == ["OK"]

    def test_of_a_run_of_reqs_each_that_fails_is_told(self, world):
        client = world.connect(SUB + b"RDY 2\n")
        world.publish("t", b"x")
        (message,) = [answer for answer in client.taken() if isinstance(answer, Message)]
        last = b"f" * 16
        sent = client.send(b"".join(b"REQ %b 0\n" % id for id in (ID, message.id, ID, last)))
        *failed, again = sent
        assert failed == [
            f"E_REQ_FAILED REQ {id.decode()} failed ID not in flight" for id in (ID, ID, last)
        ]
        assert (again.id, again.attempts) == (message.id, 2)

    def test_a_message_of_another_client_is_not_ones_own(self, world):
        holder, other = world.connect(SUB + b"RDY 1\n"), world.connect(SUB)
        world.publish("t", b"x")
        (message,) = [answer for answer in holder.taken() if isinstance(answer, Message)]
        id, text = message.id, message.id.decode()
        assert other.send(b"FIN %b\nREQ %b 0\nTOUCH %b\n" % (id, id, id)) == [
            f"E_FIN_FAILED FIN {text} failed client does not own message",
            f"E_REQ_FAILED REQ {text} failed client does not own message",
            f"E_TOUCH_FAILED TOUCH {text} failed client does not own message",
        ]
        assert holder.send(b"FIN %b\n" % id) == []

    def test_the_commands_before_a_refused_one_are_done_and_those_behind_it_are_not(self, world):
        client = world.connect()
        stream = b"PUB a\n" + body(b"x") + b"RDY 1\n" + b"PUB b\n" + body(b"x")
        assert client.send(stream) == ["OK", "E_INVALID cannot RDY in current state"]
        assert list(world.broker.topics) == ["a"]

    def test_a_run_of_finishes_reports_each_that_fails(self, world):
        client = world.connect(SUB)
        ids = [b"%016d" % n for n in range(3)]
        answers = client.send(b"".join(b"FIN %b\n" % id for id in ids))
        assert answers == [f"E_FIN_FAILED FIN {id.decode()} failed ID not in flight" for id in ids]

    def test_the_limit_of_rdy_is_the_servers(self, make_world):
        world = make_world(limits=Limits(max_rdy_count=5))
        client = world.connect(SUB)
        assert client.send(b"RDY 5\n") == []
        assert client.send(b"RDY 6\n") == ["E_INVALID RDY count 6 out of range 0-5"]


class TestPublishing:
    def test_every_publish_is_answered_and_counted(self, world):
        client = world.connect()
        pub = b"PUB t\n" + body(b"x")
        assert (
            client.send(pub, pub, mpub("t", b"y", b"z"), b"DPUB u 1000\n", body(b"d")) == ["OK"] * 4
        )
        assert client.client.pub_counts == {"t": 4, "u": 1}
        assert world.broker.topics["t"].depth == 4

    def test_a_deferred_message_comes_when_its_time_has_come(self, world):
        consumer = world.connect(SUB + b"RDY 5\n")
        consumer.taken()
        assert world.connect().send(b"DPUB t 1500\n", body(b"later")) == ["OK"]
        world.advance(1.4)
        assert consumer.taken() == []
        world.advance(0.2)
        assert bodies(consumer.taken()) == [b"later"]

    @pytest.mark.parametrize(
        ("command", "text"),
        [
            (b"PUB t\n" + body(b"x"), "E_PUB_FAILED PUB failed draining"),
            (mpub("t", b"x"), "E_MPUB_FAILED MPUB failed draining"),
            (b"DPUB t 5\n" + body(b"x"), "E_DPUB_FAILED DPUB failed draining"),
        ],
    )
    def test_a_draining_nsqd_refuses_publishes_and_makes_no_topic(self, world, command, text):
        world.broker.draining = True
        assert world.connect().send(command) == [text]
        assert not world.broker.topics

    def test_a_draining_nsqd_still_serves_consumers(self, world):
        world.publish("t", b"x")
        world.broker.draining = True
        consumer = world.connect(SUB, b"RDY 1\n")
        (message,) = world.broker.topics["t"].channels["c"].consumers[0].in_flight
        assert consumer.send(b"FIN %b\n" % message) == []
        assert world.broker.topics["t"].channels["c"].in_flight_count == 0

    @pytest.mark.parametrize(
        ("command", "code"),
        [
            (b"PUB t\n" + body(b"x"), "E_PUB_FAILED PUB failed "),
            (mpub("t", b"x"), "E_MPUB_FAILED MPUB failed "),
        ],
    )
    def test_a_disk_that_refuses_is_told_to_the_publisher(self, make_world, command, code):
        world = make_world(engine={"mem_queue_size": 0})
        world.directory.rmdir()
        (answer,) = world.connect().send(command)
        assert answer.startswith(code)
        assert "No such file" in answer

    def test_publishes_of_one_tick_are_each_answered_and_counted(self, world):
        one, two, three = world.connect(), world.connect(), world.connect()
        one.session.received(b"PUB t\n" + body(b"1"))
        two.session.received(mpub("t", b"2", b"3"))
        three.session.received(b"PUB u\n" + body(b"4"))
        world.end_tick()
        assert [client.taken() for client in (one, two, three)] == [["OK"]] * 3
        counts = [client.client.pub_counts for client in (one, two, three)]
        assert counts == [{"t": 1}, {"t": 2}, {"u": 1}]
        assert bodies(world.connect().send(SUB, b"RDY 5\n")) == [b"1", b"2", b"3"]

    def test_all_whose_publishes_the_disk_refused_together_are_told_and_closed(self, make_world):
        world = make_world(engine={"mem_queue_size": 0})
        world.directory.rmdir()
        one, two = world.connect(), world.connect()
        one.session.received(b"PUB t\n" + body(b"1"))
        two.session.received(mpub("t", b"2", b"3"))
        world.end_tick()
        assert one.taken()[0].startswith("E_PUB_FAILED PUB failed [Errno 2] No such file")
        assert two.taken()[0].startswith("E_MPUB_FAILED MPUB failed [Errno 2] No such file")
        assert {client.session.outbox.closing for client in (one, two)} == {"publish failed"}
        assert not one.client.pub_counts

    def test_what_a_client_sends_after_a_publish_is_answered_after_it(self, world):
        client = world.connect()
        client.session.received(b"PUB t\n" + body(b"x"))
        client.session.received(b"SUB t c\nPUB u\n" + body(b"y") + b"FIN 0123456789abcdef\n")
        client.session.received(b"PUB u\n" + body(b"y"))
        client.session.received(b"IDENTIFY\n")
        world.end_tick()
        assert client.taken() == [
            *["OK"] * 3,
            "E_FIN_FAILED FIN 0123456789abcdef failed ID not in flight",
            "OK",
            "E_INVALID cannot IDENTIFY in current state",
        ]

    def test_a_faulty_mpub_makes_its_topic(self, world):
        assert world.connect().send(b"MPUB t\n", struct.pack(">i", 0)) == [
            "E_BAD_BODY MPUB invalid body size 0"
        ]
        assert "t" in world.broker.topics

    def test_a_closing_nsqd_refuses_publishes(self, world):
        world.broker.close()
        for command, code in (
            (b"PUB t\n" + body(b"x"), "E_PUB_FAILED PUB failed exiting"),
            (b"DPUB t 5\n" + body(b"x"), "E_DPUB_FAILED DPUB failed exiting"),
            (b"MPUB t\n" + struct.pack(">i", 0), "E_BAD_BODY MPUB invalid body size 0"),
        ):
            assert world.connect().send(command) == [code]
        assert not world.broker.topics

    def test_an_mpub_cut_short_makes_its_topic_and_is_reported(self, world):
        client = world.connect()
        assert client.send(mpub("t", b"one", b"two")[:-1]) == []
        assert client.send(b"") == ["E_BAD_MESSAGE MPUB failed to read message body"]
        assert isinstance(client.effect, Close)
        assert world.broker.topics["t"].depth == 0


class TestConsuming:
    def test_rdy_bounds_what_is_in_flight(self, world):
        client = world.connect(SUB, b"RDY 2\n")
        world.publish("t", b"1", b"2", b"3")
        messages = client.taken()[-2:]
        assert bodies(messages) == [b"1", b"2"]
        assert bodies(client.send(b"FIN %b\n" % messages[0].id)) == [b"3"]

    def test_rdy_without_a_count_is_one(self, world):
        client = world.connect(SUB, b"RDY\n")
        world.publish("t", b"1", b"2")
        assert len(bodies(client.taken())) == 1

    def test_a_requeued_message_comes_again_with_one_attempt_more(self, world):
        client = world.connect(SUB, b"RDY 1\n")
        world.publish("t", b"x")
        first = client.taken()[-1]
        (again,) = client.send(b"REQ %b 0\n" % first.id)
        assert (again.id, again.body, again.attempts) == (first.id, b"x", 2)

    def test_the_longest_deferral_of_a_publish_is_not_that_of_a_requeue(self, make_world):
        world = make_world(
            settings={"max_req_timeout": 10 * SECOND, "max_defer_timeout": 20 * SECOND}
        )
        client = world.connect(SUB, b"RDY 1\n")
        assert world.connect().send(b"DPUB t 20000\n", body(b"x")) == ["OK"]
        (refused,) = world.connect().send(b"DPUB t 20001\n", body(b"x"))
        assert refused == "E_INVALID DPUB timeout 20001 out of range 0-20000"
        world.advance(20)
        message = client.taken()[-1]
        assert client.send(b"REQ %b 20000\n" % message.id) == []
        world.advance(10)
        assert bodies(client.taken()) == [b"x"]

    def test_a_delay_over_the_limit_is_clamped_to_it(self, make_world):
        world = make_world(settings={"max_req_timeout": 10 * SECOND})
        client = world.connect(SUB, b"RDY 1\n")
        world.publish("t", b"x")
        message = client.taken()[-1]
        assert client.send(b"REQ %b 99999999\n" % message.id) == []
        world.advance(9)
        assert client.taken() == []
        world.advance(1)
        assert bodies(client.taken()) == [b"x"]

    def test_touch_starts_the_timeout_anew(self, world):
        client = world.connect(SUB, b"RDY 1\n")
        world.publish("t", b"x")
        message = client.taken()[-1]
        world.advance(50)
        client.send(b"TOUCH %b\n" % message.id)
        world.advance(50)
        assert bodies(client.taken()) == []
        world.advance(10)
        (again,) = [answer for answer in client.taken() if isinstance(answer, Message)]
        assert again.attempts == 2

    def test_after_cls_nothing_more_is_sent_and_what_is_in_flight_can_be_finished(self, world):
        client = world.connect(SUB, b"RDY 5\n")
        world.publish("t", b"1")
        message = client.taken()[-1]
        assert client.send(b"CLS\n") == ["CLOSE_WAIT"]
        assert client.client.state is State.CLOSING
        world.publish("t", b"2")
        assert client.taken() == []
        # whatever RDY says now, it is too late to be wrong
        assert client.send(b"RDY 5\nRDY 99999\nRDY many\nRDY -1\n") == []
        assert client.send(b"FIN %b\n" % message.id) == []
        assert client.effect is None
        assert world.broker.topics["t"].channels["c"].depth == 1

    def test_after_cls_a_message_can_be_given_back(self, world):
        client, other = world.connect(SUB, b"RDY 1\n"), world.connect(SUB)
        world.publish("t", b"1")
        message = client.taken()[-1]
        client.send(b"CLS\n", b"REQ %b 0\n" % message.id)
        assert bodies(other.send(b"RDY 1\n")) == [b"1"]

    def test_a_client_with_heartbeats_off_may_publish_but_not_subscribe(self, world):
        client = world.connect(identify(heartbeat_interval=-1))
        client.taken()
        assert client.send(b"PUB t\n", body(b"x")) == ["OK"]
        assert client.send(SUB) == ["E_INVALID cannot SUB with heartbeats disabled"]
        assert isinstance(client.effect, Close)

    @pytest.mark.parametrize("command", [b"SUB bad! c\n", b"SUB t bad!\n", b"SUB t\n"])
    def test_that_heartbeats_are_off_matters_more_than_bad_names(self, world, command):
        client = world.connect(identify(heartbeat_interval=-1))
        client.taken()
        assert client.send(command) == ["E_INVALID cannot SUB with heartbeats disabled"]

    def test_one_consumer_more_than_a_channel_may_have_is_refused(self, make_world):
        world = make_world(engine={"max_channel_consumers": 1})
        first = world.connect(SUB)
        assert world.connect().send(SUB) == [
            "E_SUB_FAILED SUB failed consumers for t:c exceeds limit of 1"
        ]
        first.hang_up()
        assert world.connect().send(SUB) == ["OK"]

    def test_a_queue_that_cannot_be_opened_fails_the_subscription(self, world):
        # what an earlier run left of the channel is no file
        (world.directory / "t:c.diskqueue.meta.dat").mkdir()
        (answer,) = world.connect().send(SUB)
        assert answer.startswith("E_SUB_FAILED SUB failed ")

    def test_a_closing_nsqd_takes_no_new_consumer(self, world):
        world.broker.close()
        assert world.connect().send(SUB) == [
            "E_SUB_FAILED SUB failed to deal with exiting topic/channel"
        ]

    def test_sampling_drops_the_rest(self, world):
        client = world.connect(identify(sample_rate=50), SUB, b"RDY 2500\n")
        client.taken()
        world.publish("t", *[b"x"] * 1000)
        assert 300 < len(bodies(client.taken())) < 700
        assert world.broker.topics["t"].channels["c"].depth == 0

    def test_a_client_is_served_as_near_as_its_topology_says(self, make_world):
        limits = Limits(topology_region="r", topology_zone="z")
        world = make_world(limits=limits, engine={"topology_aware": True})
        far = world.connect(SUB, b"RDY 9\n")
        region = world.connect(identify(topology_region="r"), SUB, b"RDY 9\n")
        zone = world.connect(identify(topology_region="r", topology_zone="z"), SUB, b"RDY 1\n")
        for client in (far, region, zone):
            client.taken()
        world.publish("t", b"1")
        world.publish("t", b"2")
        assert bodies(zone.taken()) == [b"1"]
        assert bodies(region.taken()) == [b"2"]
        assert far.taken() == []

    @pytest.mark.parametrize(
        ("theirs", "counts"),
        [
            ({"topology_zone": "z"}, [1, 0, 0]),
            ({"topology_region": "other", "topology_zone": "z"}, [1, 0, 0]),
            ({"topology_region": "other"}, [0, 0, 1]),
        ],
    )
    @pytest.mark.parametrize("region", ["r", ""])
    def test_a_zone_counts_without_a_region(self, make_world, region, theirs, counts):
        limits = Limits(topology_region=region, topology_zone="z")
        world = make_world(limits=limits, engine={"topology_aware": True})
        world.connect(identify(**theirs), SUB, b"RDY 9\n")
        world.publish("t", b"1")
        assert world.broker.topics["t"].channels["c"].local_counts == counts

    @pytest.mark.parametrize(
        ("ours", "theirs", "counts"),
        [
            (("", ""), ("", ""), [1, 0, 0]),
            (("", "r"), ("", "r"), [1, 0, 0]),
            (("", "r"), ("z", "r"), [0, 1, 0]),
            (("z", ""), ("", ""), [0, 1, 0]),
            (("", "r"), ("z", ""), [0, 0, 1]),
            (("z", "r"), ("", ""), [0, 0, 1]),
            (("", ""), None, [0, 0, 1]),  # it has not said where it is
        ],
    )
    def test_what_has_no_name_is_the_same_for_the_counts(self, make_world, ours, theirs, counts):
        names = ("topology_zone", "topology_region")
        limits = Limits(**dict(zip(names, ours, strict=True)))
        world = make_world(limits=limits, engine={"topology_aware": True})
        said = [] if theirs is None else [identify(**dict(zip(names, theirs, strict=True)))]
        world.connect(*said, SUB, b"RDY 9\n")
        world.publish("t", b"1")
        assert world.broker.topics["t"].channels["c"].local_counts == counts

    def test_what_has_no_name_makes_nobody_served_first(self, make_world):
        limits = Limits(topology_region="r")
        world = make_world(limits=limits, engine={"topology_aware": True})
        nowhere = world.connect(identify(), SUB, b"RDY 9\n")
        region = world.connect(identify(topology_region="r", topology_zone="z"), SUB, b"RDY 9\n")
        for client in (nowhere, region):
            client.taken()
        world.publish("t", b"1")
        assert nowhere.taken() == []
        assert bodies(region.taken()) == [b"1"]

    def test_without_the_experiment_every_delivery_is_from_elsewhere(self, make_world):
        world = make_world(limits=Limits(topology_region="r", topology_zone="z"))
        world.connect(identify(topology_region="r", topology_zone="z"), SUB, b"RDY 9\n")
        world.publish("t", b"1")
        assert world.broker.topics["t"].channels["c"].local_counts == [0, 0, 1]


class TestIdentify:
    def test_without_negotiation_the_answer_is_ok(self, world):
        assert world.connect().send(identify(snappy=True, tls_v1=True)) == ["OK"]

    def test_with_negotiation_the_answer_tells_what_was_agreed(self, make_world):
        world = make_world(limits=Limits(max_rdy_count=7, version="9"))
        (answer,) = world.connect().send(identify(feature_negotiation=True, msg_timeout=5000))
        agreed = json.loads(answer)
        assert (agreed["max_rdy_count"], agreed["msg_timeout"]) == (7, 5000)
        assert (agreed["version"], agreed["tls_v1"], agreed["auth_required"]) == ("9", False, False)

    def test_a_second_identify_replaces_the_first(self, world):
        client = world.connect(identify(client_id="one", user_agent="a", msg_timeout=5000))
        client.taken()
        assert client.send(identify(client_id="two")) == ["OK"]
        identity = client.client.identity
        assert (identity.client_id, identity.user_agent) == ("two", "")
        assert identity.msg_timeout == 5000

    def test_the_agreed_timeout_is_the_consumers(self, world):
        client = world.connect(identify(msg_timeout=2000), SUB, b"RDY 1\n")
        world.publish("t", b"x")
        client.taken()
        world.advance(2)
        assert [answer.attempts for answer in client.taken()] == [2]

    @pytest.mark.parametrize("wish", [{"tls_v1": True}, {"snappy": True}, {"deflate": True}])
    def test_an_agreed_upgrade_is_asked_for_and_what_follows_is_kept_for_it(
        self, make_world, wish, tmp_path
    ):
        world = make_world(limits=Limits(tls=True))
        path = str(tmp_path / "server.pem")
        certificate = trustme.CA().issue_cert("localhost")
        certificate.private_key_and_cert_chain_pem.write_to_path(path)
        world.tls = ServerTls(path, path)
        world.tls.load()
        client = world.connect()
        (answer,) = client.send(identify(feature_negotiation=True, **wish), b"\x16\x03 not ours")
        assert json.loads(answer)[next(iter(wish))] is True
        assert isinstance(client.effect, Upgrade)
        assert client.effect.first == b"\x16\x03 not ours"

    def test_where_tls_is_required_nothing_else_is_understood(self, make_world):
        world = make_world(limits=Limits(tls=True), settings={"tls_required": True})
        assert world.connect().send(b"NOP\n") == [
            "E_INVALID cannot NOP in current state (TLS required)"
        ]
        for line in (b"RDY 1", b"FIN 0123456789abcdef", b"REQ 0123456789abcdef 0", b"CLS"):
            name = line.partition(b" ")[0].decode()
            assert world.connect().send(line + b"\n") == [
                f"E_INVALID cannot {name} in current state (TLS required)"
            ]
        client = world.connect()
        assert client.send(identify(heartbeat_interval=-1)) == ["OK"]
        assert client.send(b"SUB t c\n") == ["E_INVALID cannot SUB in current state (TLS required)"]
        client = world.connect()
        assert client.send(identify()) == ["OK"]
        assert client.send(b"PUB t\n") == ["E_INVALID cannot PUB in current state (TLS required)"]


class TestNewTopics:
    def test_sub_is_answered_when_the_channels_known_elsewhere_are_made(self, world):
        world.broker.hold_new_topics = True
        talk = world.connect()
        assert talk.send(b"SUB t c\n") == []
        assert talk.send(b"RDY 5\nNOP\n") == []
        other = world.connect()
        other.send(b"PUB t\n" + body(b"x"))
        assert talk.taken() == []
        world.broker.open_topic(world.broker.topics["t"])
        world.end_tick()
        ok, message = talk.taken()
        assert (ok, message.body) == ("OK", b"x")

    def test_sub_is_answered_when_its_topic_is_deleted_meanwhile(self, world):
        world.broker.hold_new_topics = True
        talk = world.connect()
        assert talk.send(b"SUB t c\n") == []
        world.broker.delete_topic(world.broker.topics["t"])
        assert talk.taken() == ["OK"]
        assert talk.client.outbox.closing == "channel deleted"


class TestLocality:
    @pytest.mark.parametrize(
        ("ours", "theirs", "locality"),
        [
            ({"topology_zone": "z"}, {"topology_zone": "z"}, 0),
            (
                {"topology_zone": "z", "topology_region": "r"},
                {"topology_zone": "z", "topology_region": "other"},
                0,
            ),
            ({"topology_region": "r"}, {"topology_region": "r", "topology_zone": "z"}, 1),
            ({"topology_zone": "z"}, {"topology_zone": "other"}, 2),
            ({}, {}, 2),
        ],
    )
    def test_a_zone_needs_no_region(self, make_world, ours, theirs, locality):
        world = make_world(limits=Limits(**ours))
        talk = world.connect(identify(**theirs), b"SUB t c\n")
        assert talk.client.consumer.locality == locality


def test_refusals_by_the_thousand_are_a_few_lines_of_the_log(world, caplog):
    client = world.connect(b"SUB t c\n")
    answers = client.send(b"FIN 0123456789abcdef\n" * 5000)
    assert len(answers) == 5000
    assert len(caplog.messages) < 50
    world.advance(2)
    client.send(b"FIN 0123456789abcdef\n")
    assert "4990 more refusals" in caplog.text


class TestOrderOfReplies:
    def test_replies_keep_their_order_though_publishes_are_answered_at_the_end_of_the_tick(
        self, world
    ):
        talk = world.connect(b"SUB s c\n")
        pub = b"PUB t\n" + body(b"x")
        fin = b"FIN 0123456789abcdef\n"
        failed = "E_FIN_FAILED FIN 0123456789abcdef failed ID not in flight"
        assert talk.send(pub, fin, mpub("u", b"y"), fin, pub, pub) == [
            *("OK", failed, "OK", failed, "OK", "OK")
        ]

    def test_a_publish_that_fails_ends_the_connection_with_one_error(self, make_world):
        world = make_world(engine={"mem_queue_size": 0})
        talk = world.connect()
        world.directory.rmdir()
        (error,) = talk.send(b"PUB t\n" + body(b"x"), mpub("u", b"y"), b"PUB v\n" + body(b"z"))
        assert error.startswith("E_PUB_FAILED PUB failed [Errno 2]")
        assert talk.client.outbox.closing == "publish failed"
