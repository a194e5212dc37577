"""An nsqd with messages to be seen and acted on."""

import json
from typing import Any

import pytest
from attrs import define
from tests.nsqd.http.conftest import Nsqd


@define(eq=False)
class Shelf:
    """Topic ``t`` of an nsqd, and what users ask of it."""

    nsqd: Nsqd

    async def fill(self, *bodies: bytes, channel: str = "c", topic: str = "t") -> None:
        """Publish one by one, to a topic with a channel (or with none)."""
        nsqd = self.nsqd
        await nsqd.post(f"/topic/create?topic={topic}")
        if channel:
            await nsqd.post(f"/channel/create?topic={topic}&channel={channel}")
        for body in bodies:
            nsqd.broker.publish(topic, [body], nsqd.time[0], lambda failure: None)
            nsqd.broker.dispatch(nsqd.time[0])
            nsqd.commit()

    async def make_durable(self) -> None:
        policy = {"pattern": "t", "definition": {"durability": "os"}}
        answer = await self.nsqd.put("/policy/set?name=p", json.dumps(policy).encode())
        assert answer.status == 200

    async def listed(self, query: str = "&channel=c", topic: str = "t") -> Any:
        answer = await self.nsqd.get(f"/message/list?topic={topic}{query}")
        assert answer.status == 200, answer.text
        return answer.json

    async def pages(self, query: str, following: str = "", topic: str = "t") -> list[str]:
        """The bodies of all pages."""
        bodies = []
        while True:
            page = await self.listed(f"{query}&body=text&next={following}", topic)
            bodies += [message["body"] for message in page["messages"]]
            following = page["next"]
            if not following:
                return bodies

    async def ids(self, query: str = "&channel=c") -> dict[str, str]:
        """Body to id, of all that is in a channel or a topic."""
        found = {}
        for state in ("queued", "deferred", "in_flight") if "channel" in query else ("queued",):
            page = await self.listed(f"{query}&state={state}&body=text&limit=1000")
            found |= {message["body"]: message["id"] for message in page["messages"]}
        return found

    async def act(self, verb: str, ids: list[str], query: str = "&channel=c") -> Any:
        many = "".join(f"&id={id}" for id in ids)
        answer = await self.nsqd.post(f"/message/{verb}?topic=t{query}{many}")
        assert answer.status == 200, answer.text
        return answer.json


@pytest.fixture
def make_shelf(make_nsqd):
    return lambda **options: Shelf(make_nsqd(**options))


@pytest.fixture
def shelf(make_shelf) -> Shelf:
    return make_shelf()
