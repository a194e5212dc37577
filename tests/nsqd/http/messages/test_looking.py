"""Looking changes nothing, over HTTP: of two nsqds that are used alike, one is looked at all the
time, in each state, by each filter, by page and by id. Whatever can be told of them stays equal."""

import json
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
import trio
from attrs import Factory, define
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.nsqd.http.conftest import Nsqd, tick

SECOND = 1_000_000_000
LISTS = [
    "topic=t&channel=c",
    "topic=t&channel=c&state=in_flight",
    "topic=t&channel=c&state=deferred",
    "topic=t&channel=c&state=dead",
    "topic=t&channel=c&state=log",
    "topic=t",
    "topic=t&state=deferred",
    "topic=t&state=log",
    "topic=t.dead",
]
FILTERS = ["", "&contains=1", "&id=0", "&min_age=5s", "&max_age=5s", "&body=text", "&max_body=0"]


@define(eq=False)
class Life:
    """An nsqd with two consumers of channel ``c`` of topic ``t``, and what they got."""

    nsqd: Nsqd
    sessions: list[Any] = Factory(list)
    got: list[bytes] = Factory(lambda: [b"", b""])
    cursors: dict[str, str] = Factory(dict)  # of what is being looked through
    ids: list[str] = Factory(list)  # seen there

    async def begin(self, durability: str) -> None:
        policies = {
            "dead": ("t:c", {"max_attempts": 2}),
            "kept": ("t*", {"durability": durability}),
        }
        for name, (pattern, definition) in policies.items():
            policy = json.dumps({"pattern": pattern, "definition": definition}).encode()
            answer = await self.nsqd.put(f"/policy/set?name={name}", policy)
            assert answer.status == 200, answer.text
        await self.nsqd.post("/topic/create?topic=t")
        await self.nsqd.post("/channel/create?topic=t&channel=c")
        self.sessions = [self.nsqd.connect(b"SUB t c\n", port) for port in (1, 2)]
        self.tick()

    def tick(self) -> None:
        nsqd = self.nsqd
        nsqd.broker.dispatch(nsqd.time[0])
        tick(nsqd.broker, nsqd.durability.store, nsqd.time[0])
        for number, session in enumerate(self.sessions):
            self.got[number] += session.outbox.take()

    def act(self, kind: str, number: int) -> None:
        nsqd, now = self.nsqd, self.nsqd.time[0]
        session = self.sessions[number % 2]
        held = list(session.client.consumer.in_flight)[: number // 2]
        if kind == "publish":
            bodies = [b"body %d" % at for at in range(number)] or [b"\xff\x00"]
            nsqd.broker.publish("t", bodies, now, lambda failure: None)
        elif kind == "defer":
            delay = number * SECOND
            nsqd.broker.publish("t", [b"late"], now, lambda failure: None, delay=delay)
        elif kind == "ready":
            session.received(b"RDY %d\n" % number)
        elif kind == "finish":
            session.received(b"".join(b"FIN %s\n" % id for id in held))
        elif kind == "requeue":
            delay = number % 3 * 1000
            session.received(b"".join(b"REQ %s %d\n" % (id, delay) for id in held))
        elif kind == "touch":
            session.received(b"".join(b"TOUCH %s\n" % id for id in held))
        elif kind == "wait":
            nsqd.time[0] += number * SECOND
            while nsqd.broker.expire(nsqd.time[0]):
                pass
        elif kind == "pause":
            nsqd.broker.pause_topic(nsqd.broker.topics["t"], paused=bool(number % 2))
        self.tick()

    async def look(self, number: int) -> None:
        """A page of a list, the one behind what was seen before if there was one; and messages."""
        query = LISTS[number % len(LISTS)] + FILTERS[number // len(LISTS) % len(FILTERS)]
        following = self.cursors.get(query, "")
        path = f"/message/list?{query}&limit={1 + number % 4}&next={following}"
        answer = await self.nsqd.get(path)
        if answer.status == 200:
            self.cursors[query] = answer.json["next"]
            self.ids += [message["id"] for message in answer.json["messages"]]
        else:
            assert answer.status in (404, 409, 410), answer.text
            self.cursors.pop(query, None)
        for id in (*self.ids[-1:], "f" * 16):
            for where in ("topic=t&channel=c", "topic=t", "topic=t.dead&format=raw"):
                answer = await self.nsqd.get(f"/message/get?{where}&id={id}")
                assert answer.status in (200, 404), answer.text

    async def all(self) -> Any:
        stats = (await self.nsqd.get("/stats?format=json&include_mem=false")).json["topics"]
        return stats, self.got


kinds = st.sampled_from(
    ["publish", "publish", "defer", "ready", "finish", "requeue", "touch", "wait", "pause"]
)
steps = st.lists(
    st.tuples(kinds, st.integers(0, 12), st.lists(st.integers(0, 10_000), max_size=4)), max_size=30
)


async def compare(lives: list[Life], durability: str, given_steps: Any) -> None:
    for life in lives:
        await life.begin(durability)
    watched, alone = lives
    for kind, number, looks in given_steps:
        watched.act(kind, number)
        alone.act(kind, number)
        for look in looks:
            await watched.look(look)
        assert await watched.all() == await alone.all()
    for life in lives:  # whatever is left comes as well, in the same order
        for _ in range(4):
            life.act("ready", 12)
            life.act("ready", 11)
            life.act("finish", 24)
            life.act("finish", 25)
    assert await watched.all() == await alone.all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("memory", "durability"), [(1000, "none"), (2, "none"), (0, "none"), (1000, "os"), (2, "os")]
)
def test_looking_changes_nothing_that_can_be_told(make_nsqd, tmp_path, memory, durability):
    @settings(
        max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(steps)
    def run(given_steps: Any) -> None:
        folders = [Path(mkdtemp(dir=tmp_path)) for _ in range(2)]
        lives = [Life(make_nsqd(directory=each, mem_queue_size=memory)) for each in folders]
        trio.run(compare, lives, durability, given_steps)

    run()
