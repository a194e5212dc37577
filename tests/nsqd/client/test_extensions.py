"""What clients get only if they ask for it in IDENTIFY: TERM, errors that end no connection."""

import json

import pytest
from tests.nsqd.client.conftest import body, identify

from nsqcore.net.effects import Close
from nsqd.policies.policy import parse_policy

PUB = b"PUB t\n" + body(b"x")


def ask(talk, **fields):
    """The keys of the answer to an IDENTIFY with ``fields``."""
    (answer,) = talk.send(identify(feature_negotiation=True, **fields))
    return json.loads(answer)


@pytest.mark.parametrize("key", ["headers", "terminate", "soft_errors"])
def test_the_answer_has_a_key_only_if_it_was_asked_for(make_world, key):
    world = make_world()
    plain = ask(world.connect())
    assert key not in plain
    assert ask(world.connect(), **{key: True}) == {**plain, key: True}
    assert ask(world.connect(), **{key: "yes"}) == plain  # another program's key of that name
    (answer,) = world.connect().send(identify(**{key: True}))
    assert answer == "OK"


class TestTerm:
    def consumer(self, world, **asked):
        talk = world.connect()
        ask(talk, **asked)
        talk.send(b"SUB t c\n")
        talk.send(b"RDY 5\n")
        (message,) = talk.send(PUB)[1:]
        return talk, message.id

    def test_a_message_that_is_given_up_goes_to_the_dead_letter_topic(self, make_world):
        world = make_world()
        talk, id = self.consumer(world, terminate=True)
        assert talk.send(b"TERM %s no such order\n" % id) == []
        world.broker.dispatch(0)
        assert world.broker.topics["t.dead"].depth == 1
        assert talk.send(b"FIN %s\n" % id) == [
            f"E_FIN_FAILED FIN {id.decode()} failed ID not in flight"
        ]

    def test_for_a_stock_client_there_is_no_such_command(self, make_world):
        world = make_world()
        talk, id = self.consumer(world)
        assert talk.send(b"TERM %s\n" % id) == ["E_INVALID invalid command TERM"]
        assert isinstance(talk.effect, Close)
        assert world.connect().send(b"TERM\n") == ["E_INVALID invalid command TERM"]

    def test_what_a_client_does_not_hold_it_cannot_give_up(self, make_world):
        world = make_world()
        _, id = self.consumer(world, terminate=True)
        other = world.connect()
        ask(other, terminate=True)
        other.send(b"SUB t c\n")
        assert other.send(b"TERM %s\n" % id) == [
            f"E_TERM_FAILED TERM {id.decode()} failed client does not own message"
        ]
        assert other.effect is None

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            (b"TERM\n", "E_INVALID TERM insufficient number of params"),
            (b"TERM short\n", "E_INVALID invalid message ID"),
        ],
    )
    def test_a_line_that_is_none_ends_the_connection(self, make_world, line, said):
        world = make_world()
        talk, _ = self.consumer(world, terminate=True)
        assert talk.send(line) == [said]
        assert isinstance(talk.effect, Close)

    def test_before_a_subscription_it_is_out_of_place(self, make_world):
        talk = make_world().connect()
        ask(talk, terminate=True)
        assert talk.send(b"TERM %s\n" % (b"0" * 16)) == ["E_INVALID cannot TERM in current state"]


def test_who_asks_for_soft_errors_stays_connected_when_a_topic_is_full(make_world):
    world = make_world()
    policy = parse_policy("p", {"pattern": "t", "definition": {"max_depth": 1}})
    world.broker.policies.set_own({"p": policy})
    talk = world.connect()
    ask(talk, soft_errors=True)
    full = "E_PUB_FAILED PUB failed topic full"
    assert talk.send(PUB) == ["OK"]
    assert talk.send(PUB + PUB) == [full, full]
    assert talk.send(b"PUB other\n" + body(b"x")) == ["OK"]
    assert talk.effect is None
