"""A durable topic does, and counts, what a plain one does, whatever is asked of them.

Two topics of one nsqd, of which one is durable, go through the same life: what users are answered,
what consumers get, and the numbers of `/stats` are the same after each step.
"""

import json
import random
from typing import Any

import pytest
from attrs import Factory, define, field
from tests.nsqd.http.conftest import SECOND, Nsqd, take

from nsqcore.net.effects import Wait
from nsqd.client.session import Session

CHANNELS = ("a", "b")
SAME_OF_TOPIC = ("depth", "message_count", "message_bytes", "paused")
SAME_OF_CHANNEL = (
    "depth",
    "in_flight_count",
    "message_count",
    "requeue_count",
    "timeout_count",
    "client_count",
    "paused",
)
SAME_OF_CLIENT = (
    "ready_count",
    "in_flight_count",
    "message_count",
    "finish_count",
    "requeue_count",
)


@define(eq=False)
class Consumer:
    """A client, and the messages that it was sent and has not finished: body to id."""

    session: Session
    held: dict[bytes, bytes] = Factory(dict)

    def read(self) -> list[tuple[int, int, bytes]]:
        """What has come: kind, attempts and body of each frame."""
        data, at, found = bytes(self.session.outbox.take()), 0, []
        while at < len(data):
            size, kind = (int.from_bytes(data[at + i : at + i + 4], "big") for i in (0, 4))
            part = data[at + 8 : at + 4 + size]
            at += 4 + size
            if kind == 2:
                self.held[part[26:]] = part[10:26]
                found.append((kind, int.from_bytes(part[8:10], "big"), part[26:]))
            else:
                found.append((kind, 0, part.split()[0]))
        return found


def settle(nsqd: Nsqd) -> None:
    """Let all that was stirred up come to rest."""
    now = nsqd.time[0]
    for _ in range(4):
        nsqd.broker.flush(now)
        nsqd.commit()
        nsqd.broker.expire(now)
        while nsqd.broker.dispatch(now):
            pass


@define(eq=False)
class Life:
    """One topic, and who is connected to it."""

    nsqd: Nsqd
    topic: str
    consumers: list[Consumer] = Factory(list)

    async def post(self, path: str, body: bytes = b"") -> tuple[int, bytes]:
        nsqd = self.nsqd
        request = nsqd.start(path.replace("TOPIC", self.topic), "POST", body)
        if isinstance(nsqd.effect, Wait):
            await nsqd.effect.run()
            nsqd.effect.resume()
        settle(nsqd)
        answer = take(request)
        return answer.status, answer.body

    def subscribe(self, channel: str, ready: int) -> None:
        commands = f"SUB {self.topic} {channel}\nRDY {ready}\n".encode()
        self.consumers.append(Consumer(self.nsqd.connect(commands, len(self.consumers) + 1)))

    async def numbers(self) -> dict[str, Any]:
        """What `/stats` says of it."""
        (topic,) = (await self.nsqd.stats(f"&topic={self.topic}"))["topics"]
        numbers = {key: topic[key] for key in SAME_OF_TOPIC}
        for channel in topic["channels"]:
            name = channel["channel_name"]
            numbers |= {f"{name} {key}": channel[key] for key in SAME_OF_CHANNEL}
            # what was deferred while it waited in a durable topic is so when it is read
            numbers[f"{name} depth"] += channel["deferred_count"]
            numbers[f"{name} clients"] = sorted(
                [client[key] for key in SAME_OF_CLIENT] for client in channel["clients"]
            )
        return numbers


def differences(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """What is not the same in both."""
    keys = sorted(one.keys() | other.keys())
    return {key: (one.get(key), other.get(key)) for key in keys if one.get(key) != other.get(key)}


@define(eq=False)
class Lives:
    """Both topics, which are asked the same."""

    nsqd: Nsqd
    choose: random.Random
    both: tuple[Life, Life] = field(init=False)
    count: int = 0

    def __attrs_post_init__(self) -> None:
        self.both = (Life(self.nsqd, "plain"), Life(self.nsqd, "durable"))

    async def ask(self, path: str, body: bytes = b"") -> None:
        answers = [await life.post(path, body) for life in self.both]
        assert answers[0] == answers[1]

    async def step(self) -> None:
        choose = self.choose
        what = choose.choice(
            [
                "pub",
                "pub",
                "mpub",
                "mpub",
                "defer",
                "sub",
                "fin",
                "fin",
                "fin",
                "req",
                "req",
                "reqlater",
                "touch",
                "time",
                "time",
                "channel",
                "pause",
                "unpause",
                "pausetopic",
                "unpausetopic",
                "leave",
                "ready",
                "empty",
                "emptytopic",
                "deletechannel",
            ]
        )
        channel = choose.choice(CHANNELS)
        flowing = self.nsqd.broker.topics["plain"].flowing
        match what:
            case "pub":
                await self.ask("/pub?topic=TOPIC", self.body())
            case "mpub":
                await self.ask("/mpub?topic=TOPIC", b"\n".join(self.body() for _ in range(5)))
            case "defer" if flowing:
                await self.ask(
                    f"/pub?topic=TOPIC&defer={choose.choice((1, 900, 5000))}", self.body()
                )
            case "channel":
                await self.ask(f"/channel/create?topic=TOPIC&channel={channel}")
            case "pause" | "unpause":
                await self.ask(f"/channel/{what}?topic=TOPIC&channel={channel}")
            case "pausetopic" | "unpausetopic":
                await self.ask(f"/topic/{what[:-5]}?topic=TOPIC")
            case "empty":
                await self.ask(f"/channel/empty?topic=TOPIC&channel={channel}")
            case "emptytopic":
                await self.ask("/topic/empty?topic=TOPIC")
            case "deletechannel":
                await self.ask(f"/channel/delete?topic=TOPIC&channel={channel}")
            case "time":
                self.nsqd.time[0] += choose.choice((1, 2, 70)) * SECOND
            case "sub":
                ready = choose.choice((0, 500))
                for life in self.both:
                    life.subscribe(channel, ready)
            case "defer":
                pass
            case _:
                self.speak(what)

    def body(self) -> bytes:
        self.count += 1
        return b"%d" % self.count

    def speak(self, what: str) -> None:
        """Have one of the consumers of each topic do the same."""
        mine = self.both[0]
        if not mine.consumers:
            return
        number = self.choose.randrange(len(mine.consumers))
        held = sorted(mine.consumers[number].held)
        bodies = self.choose.sample(held, min(len(held), 2))
        ready = self.choose.choice((0, 500))
        for life in self.both:
            consumer = life.consumers[number]
            ids = [consumer.held[body] for body in bodies]
            commands = {
                "fin": [b"FIN %s\n" % id for id in ids],
                "req": [b"REQ %s 0\n" % id for id in ids],
                "reqlater": [b"REQ %s 1500\n" % id for id in ids],
                "touch": [b"TOUCH %s\n" % id for id in ids],
                "ready": [b"RDY %d\n" % ready],
                "leave": [],
            }[what]
            if what == "leave":
                consumer.session.closed(None)
                del life.consumers[number]
            else:
                consumer.session.received(b"".join(commands))
                if what in ("fin", "req", "reqlater"):
                    for body in bodies:
                        del consumer.held[body]

    async def compare(self) -> None:
        settle(self.nsqd)
        plain, durable = self.both
        got = [[sorted(consumer.read()) for consumer in life.consumers] for life in self.both]
        assert got[0] == got[1]
        assert differences(await plain.numbers(), await durable.numbers()) == {}


@pytest.mark.parametrize("seed", range(40))
async def test_a_durable_topic_does_what_a_plain_one_does(make_nsqd, seed: int):
    nsqd = make_nsqd()
    policy = {"pattern": "durable", "definition": {"durability": "os"}}
    assert (await nsqd.put("/policy/set?name=p", json.dumps(policy).encode())).status == 200
    lives = Lives(nsqd, random.Random(seed))
    await lives.ask("/topic/create?topic=TOPIC")
    for _ in range(120):
        await lives.step()
        await lives.compare()
