"""nsq_to_nsq, as a process."""

from collections.abc import Callable

import pytest
from tests.e2e.daemons import Daemon, wait_until
from tests.nsqtools.tools import Tool, settled

pytestmark = pytest.mark.slow

BODIES = [b"%d" % number for number in range(50)]


def count(nsqd, topic: str) -> int:
    topics = nsqd.get(f"/stats?format=json&topic={topic}")["topics"] or []
    return sum(found["message_count"] for found in topics)


def test_topics_are_relayed_each_to_its_own_name(daemon, tool):
    source, target = daemon("nsqd"), daemon("nsqd")
    for topic in ("a", "b"):
        source.create(topic, "nsq_to_nsq")
        source.post(f"/mpub?topic={topic}", b"\n".join(BODIES))
    relay = tool("nsq_to_nsq", "--topic=a", "--topic=b", f"--nsqd-tcp-address={source.tcp}",
                 f"--destination-nsqd-tcp-address={target.tcp}", "--status-every=100")  # fmt: skip
    for topic in ("a", "b"):
        settled(source, topic, "nsq_to_nsq", 50)
        assert count(target, topic) == 50
    assert "[aggregate]: finished 100 -" in relay.err
    assert relay.end() == 0


@pytest.mark.parametrize("mode", ["round-robin", "hostpool", "epsilon-greedy"])
def test_every_mode_uses_the_destinations(daemon, tool, mode):
    source, targets = daemon("nsqd"), [daemon("nsqd"), daemon("nsqd")]
    source.create("a", "nsq_to_nsq")
    source.post("/mpub?topic=a", b"\n".join(BODIES))
    tool("nsq_to_nsq", "--topic=a", "--destination-topic=b", f"--mode={mode}",
         f"--nsqd-tcp-address={source.tcp}",
         *(f"--destination-nsqd-tcp-address={target.tcp}" for target in targets))  # fmt: skip
    settled(source, "a", "nsq_to_nsq", 50)
    counts = [count(target, "b") for target in targets]
    assert sum(counts) == 50
    if mode != "epsilon-greedy":
        assert counts == [25, 25]


def test_a_destination_that_is_away_gets_the_messages_when_it_is_back(daemon, tool):
    source, target = daemon("nsqd"), daemon("nsqd")
    source.create("a", "nsq_to_nsq")
    target.terminate()
    source.post("/mpub?topic=a", b"\n".join(BODIES))
    relay = tool("nsq_to_nsq", "--topic=a", f"--nsqd-tcp-address={source.tcp}",
                 f"--destination-nsqd-tcp-address={target.tcp}",
                 "--consumer-opt=default_requeue_delay,50ms", "--consumer-opt=max_attempts,0",
                 "--consumer-opt=max_backoff_duration,100ms")  # fmt: skip
    wait_until(lambda: source.channel("a", "nsq_to_nsq")["requeue_count"] >= 50, "it tried")
    target.start()
    settled(source, "a", "nsq_to_nsq", 50)
    assert count(target, "a") >= 50
    assert relay.end() == 0
    assert "Traceback" not in relay.err


def bodies(nsqd: Daemon, tool: Callable[..., Tool], topic: str) -> list[bytes]:
    """What the topic's channel c has, taken out of it."""
    size = nsqd.channel(topic, "c")["depth"]
    tail = tool("nsq_tail", f"--topic={topic}", "--channel=c", f"-n={size}",
                f"--nsqd-tcp-address={nsqd.tcp}")  # fmt: skip
    assert tail.wait() == 0
    return tail.lines


def test_a_message_too_large_for_the_destination_takes_no_other_along(nsqd, daemon, tool):
    target = daemon("nsqd", "--max-msg-size=1000")
    nsqd.create("a", "nsq_to_nsq")
    target.create("a", "c")
    good = [b"%04d" % number for number in range(1000)]
    mixed = [(b"x" * 2000 if number % 50 == 7 else body) for number, body in enumerate(good)]
    good = sorted(body for body in mixed if len(body) < 1000)
    nsqd.post("/mpub?topic=a", b"\n".join(mixed))
    relay = tool("nsq_to_nsq", "--topic=a", f"--nsqd-tcp-address={nsqd.tcp}",
                 f"--destination-nsqd-tcp-address={target.tcp}",
                 "--consumer-opt=default_requeue_delay,1ms", "--consumer-opt=max_attempts,3",
                 "--consumer-opt=max_backoff_duration,0")  # fmt: skip
    settled(nsqd, "a", "nsq_to_nsq", 1000)
    assert relay.end() == 0
    assert relay.err.count("giving up") == 20
    # each of the large ones came three times, and nothing else came again
    assert nsqd.channel("a", "nsq_to_nsq")["requeue_count"] == 40
    assert bodies(target, tool, "a") == good


def test_a_destination_that_takes_nothing_costs_the_other_no_message(nsqd, daemon, tool):
    good, bad = daemon("nsqd"), daemon("nsqd")
    nsqd.create("a", "nsq_to_nsq")
    good.create("a", "c")
    bad.terminate()
    nsqd.post("/mpub?topic=a", b"\n".join(BODIES))
    relay = tool("nsq_to_nsq", "--topic=a", f"--nsqd-tcp-address={nsqd.tcp}",
                 f"--destination-nsqd-tcp-address={bad.tcp}",
                 f"--destination-nsqd-tcp-address={good.tcp}")  # fmt: skip
    settled(nsqd, "a", "nsq_to_nsq", len(BODIES))
    assert relay.end() == 0
    assert nsqd.channel("a", "nsq_to_nsq")["requeue_count"] == 0
    assert bodies(good, tool, "a") == sorted(BODIES)


def test_options_of_producer_and_consumer_are_told_apart(daemon, tool):
    source, target = daemon("nsqd"), daemon("nsqd")
    source.create("a", "nsq_to_nsq")
    tool("nsq_to_nsq", "--topic=a", f"--nsqd-tcp-address={source.tcp}",
         f"--destination-nsqd-tcp-address={target.tcp}",
         "--consumer-opt=client_id,taker", "--producer-opt=client_id,giver",
         "--producer-opt=deflate")  # fmt: skip
    source.post("/mpub?topic=a", b"\n".join(BODIES))
    settled(source, "a", "nsq_to_nsq", 50)
    (taker,) = source.channel("a", "nsq_to_nsq")["clients"]
    (giver,) = target.get("/stats?format=json")["producers"]
    assert (taker["client_id"], taker["deflate"]) == ("taker", False)
    assert (giver["client_id"], giver["deflate"]) == ("giver", True)


@pytest.mark.parametrize(
    "flags",
    [
        ["--channel=bad!"],
        ["--destination-topic=bad!"],
        ["--nsqd-tcp-address=127.0.0.1:1", "--lookupd-http-address=127.0.0.1:1"],
        ["--destination-nsqd-tcp-address=:x"],
        ["--nsqd-tcp-address=127.0.0.1:1"],
    ],
)
def test_wrong_settings_are_one_clear_line(tool, flags):
    relay = tool("nsq_to_nsq", "--topic=t", "--destination-nsqd-tcp-address=127.0.0.1:1", *flags)
    assert relay.wait() == 1
    assert "Traceback" not in relay.err
