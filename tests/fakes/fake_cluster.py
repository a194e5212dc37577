"""What nsqd and nsqlookupd answer by HTTP, for tests of what asks many of them.

`FakeNsqd` and `FakeLookupd` have these as their HTTP halves.

Statistics have the shapes of the real ones. An action changes them, so that a test sees its
outcome.
"""

import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import attrs
from tests.fakes.fake_http import Answer, Asked, FakeServer, fake_server

from nsqd.policies.errors import AmbiguousPolicy, InvalidPolicy, UnknownPolicy
from nsqd.policies.policies import Policies
from nsqd.policies.policy import parse_policy


def client(number: int = 0, **changes: Any) -> dict[str, Any]:
    """An entry of a channel's ``clients``."""
    return {
        "client_id": f"c{number}", "hostname": f"worker-{number}", "version": "V2",
        "remote_address": f"10.0.0.1:{40000 + number}", "state": 3, "ready_count": 10,
        "in_flight_count": 1, "message_count": 7, "finish_count": 6, "requeue_count": 0,
        "connect_ts": int(time.time_ns() // 1_000_000_000) - 60, "sample_rate": 0,
        "deflate": False, "snappy": False, "user_agent": "fake/1", "tls": False,
        "tls_cipher_suite": "", "tls_version": "", "tls_negotiated_protocol": "",
        "tls_negotiated_protocol_is_mutual": False, "topology_zone": "", "topology_region": "",
    } | changes  # fmt: skip


def channel(name: str, clients: Sequence[dict[str, Any]] = (), **changes: Any) -> dict[str, Any]:
    """An entry of a topic's ``channels``."""
    return {
        "channel_name": name, "depth": 0, "backend_depth": 0, "in_flight_count": 0,
        "deferred_count": 0, "message_count": 0, "requeue_count": 0, "timeout_count": 0,
        "client_count": len(clients), "clients": list(clients), "paused": False,
        "e2e_processing_latency": {"count": 0, "percentiles": None},
    } | changes  # fmt: skip


def topic(name: str, channels: Sequence[dict[str, Any]] = (), **changes: Any) -> dict[str, Any]:
    """An entry of ``topics``."""
    return {
        "topic_name": name, "channels": list(channels), "depth": 0, "backend_depth": 0,
        "message_count": 0, "message_bytes": 0, "paused": False,
        "e2e_processing_latency": {"count": 0, "percentiles": None},
    } | changes  # fmt: skip


def message(number: int, body: str = "", **changes: Any) -> dict[str, Any]:
    """An entry of ``messages``."""
    return {
        "id": f"{number:016x}", "timestamp": 1_790_000_000_000_000_000 + number, "attempts": 0,
        "state": "queued", "size": len(body), "encoding": "text", "body": body,
    } | changes  # fmt: skip


@attrs.define(eq=False)
class NsqdHttp:
    """The HTTP half of an nsqd: what its statistics say, and whether it answers."""

    topics: list[dict[str, Any]] = attrs.field(factory=list)
    hostname: str = "host"
    version: str = "1.3.0"
    region: str = ""
    zone: str = ""
    broken: bool = False
    health: str = "OK"
    readyz: dict[str, Any] | None = None  # None: it has none, as the original
    policies: Policies = attrs.field(factory=Policies)
    #: By topic, as /message/list tells them; it shows as many as are asked for at once.
    messages: dict[str, list[dict[str, Any]]] = attrs.field(factory=dict)
    refuses_cursors: bool = False  # as after a restart
    server: FakeServer | None = None
    address: str = ""  # of its HTTP, while it is `running`

    def info(self) -> dict[str, Any]:
        """What ``/info`` answers, and nsqlookupd lists."""
        host, _, port = self.address.rpartition(":")
        return {
            "version": self.version, "broadcast_address": host, "hostname": self.hostname,
            "http_port": int(port), "tcp_port": int(port) + 1, "topology_region": self.region,
            "topology_zone": self.zone,
        }  # fmt: skip

    def answer(self, asked: Asked) -> Answer:
        """Answer as nsqd does."""
        if self.broken:
            return 500, {"message": "INTERNAL_ERROR"}
        if asked.path == "/info":
            return 200, self.info()
        if asked.path == "/stats":
            topics = self._stats(asked)
            return 200, {"version": self.version, "health": self.health, "topics": topics}
        if asked.path == "/readyz":
            return (404, {"message": "NOT_FOUND"}) if self.readyz is None else (503, self.readyz)
        if asked.path == "/pub":
            return 200, b"OK"
        if asked.path.startswith("/policy/"):
            return self._policy(asked)
        if asked.path.startswith("/message/") and self.messages:
            return self._message(asked)
        return self._act(asked)

    def _message(self, asked: Asked) -> Answer:
        name = asked.query["topic"] + (".dead" if asked.query.get("state") == "dead" else "")
        there = self.messages.get(name, [])
        limit = int(asked.query.get("limit", len(there)))
        if asked.path == "/message/list":
            if self.refuses_cursors and asked.query.get("next"):
                return 400, {"message": "INVALID_CURSOR"}
            start = int(asked.query.get("next") or 0)
            shown = there[start : start + limit]
            following = str(start + limit) if len(there) >= start + limit else ""
            told = {"topic": name, "messages": shown, "next": following, "total": len(there)}
            return 200, {**told, "scanned": len(shown)}
        taken = [one for one in there if asked.query.get("id") in (None, one["id"])][:limit]
        self.messages[name] = [one for one in there if one not in taken]
        return 200, {"moved": len(taken), "left": len(self.messages[name])}

    def _policy(self, asked: Asked) -> Answer:
        name = asked.query.get("name", "")
        try:
            if asked.path == "/policy/list":
                return 200, {"policies": [policy.to_json() for policy in self.policies.all()]}
            if asked.path == "/policy/set":
                policy = parse_policy(name, json.loads(asked.body))
                self.policies.set_own(self.policies.with_policy(policy))
            elif asked.path == "/policy/delete":
                self.policies.set_own(self.policies.without(name))
            else:
                about = asked.query["topic"], asked.query.get("channel")
                values = self.policies.effective(*about).values
                return 200, {"values": {key: value.to_json() for key, value in values.items()}}
        except UnknownPolicy:
            return 404, {"message": "POLICY_NOT_FOUND"}
        except (InvalidPolicy, AmbiguousPolicy) as error:
            return 400, {"message": "INVALID_POLICY", "detail": str(error)}
        return 200, None

    def _stats(self, asked: Asked) -> list[dict[str, Any]] | None:
        wanted, part = asked.query.get("topic"), asked.query.get("channel")
        found = [item for item in self.topics if not wanted or item["topic_name"] == wanted]
        shown = []
        for item in found:
            channels = [
                inner
                if asked.query.get("include_clients") != "false"
                else inner | {"clients": None}
                for inner in item["channels"]
                if not part or inner["channel_name"] == part
            ]
            shown.append(item | {"channels": channels})
        return shown or None

    def _act(self, asked: Asked) -> Answer:
        _, what, verb = asked.path.split("/")
        name, part = asked.query.get("topic", ""), asked.query.get("channel", "")
        found = next((item for item in self.topics if item["topic_name"] == name), None)
        if verb == "create":
            if found is None:
                found = topic(name)
                self.topics.append(found)
            if what == "channel":
                found["channels"].append(channel(part))
            return 200, None
        if found is None:
            return 404, {"message": "TOPIC_NOT_FOUND"}
        holder, target = self.topics, found
        if what == "channel":
            holder = found["channels"]
            inner = [item for item in holder if item["channel_name"] == part]
            if not inner:
                return 404, {"message": "CHANNEL_NOT_FOUND"}
            target = inner[0]
        if verb == "delete":
            holder.remove(target)
        elif verb == "empty":
            target["depth"] = target["backend_depth"] = 0
        else:
            target["paused"] = verb == "pause"
        return 200, None


@attrs.define(eq=False)
class LookupdHttp:
    """The HTTP half of an nsqlookupd that knows ``nsqds``, and topics that nobody produces."""

    nsqds: list[NsqdHttp] = attrs.field(factory=list)
    inactive: dict[str, list[str]] = attrs.field(factory=dict)
    tombstones: set[tuple[str, str]] = attrs.field(factory=set)
    broken: bool = False
    server: FakeServer | None = None
    address: str = ""  # of its HTTP, while it is `running`

    def _producer(self, nsqd: NsqdHttp) -> dict[str, Any]:
        names = sorted(item["topic_name"] for item in nsqd.topics)
        marks = [(name, nsqd.address) in self.tombstones for name in names]
        remote = {"remote_address": f"{nsqd.address}9"}
        return nsqd.info() | remote | {"topics": names, "tombstones": marks}

    def answer(self, asked: Asked) -> Answer:
        """Answer as nsqlookupd does."""
        if self.broken:
            return 500, {"message": "INTERNAL_ERROR"}
        name, part = asked.query.get("topic", ""), asked.query.get("channel", "")
        having = [
            nsqd
            for nsqd in self.nsqds
            if any(item["topic_name"] == name for item in nsqd.topics)
            and (name, nsqd.address) not in self.tombstones
        ]
        match asked.path:
            case "/nodes":
                return 200, {"producers": [self._producer(nsqd) for nsqd in self.nsqds]}
            case "/topics":
                names = {item["topic_name"] for nsqd in self.nsqds for item in nsqd.topics}
                return 200, {"topics": sorted(names | set(self.inactive))}
            case "/channels":
                return 200, {"channels": self.inactive.get(name, [])}
            case "/lookup":
                if not having and name not in self.inactive:
                    return 404, {"message": "TOPIC_NOT_FOUND"}
                return 200, {"channels": [], "producers": [self._producer(n) for n in having]}
            case "/topic/create":
                self.inactive.setdefault(name, [])
            case "/channel/create":
                self.inactive.setdefault(name, []).append(part)
            case "/topic/delete":
                self.inactive.pop(name, None)
            case "/channel/delete":
                self.inactive[name] = [c for c in self.inactive.get(name, []) if c != part]
            case "/topic/tombstone":
                self.tombstones.add((name, asked.query["node"]))
        return 200, None


@asynccontextmanager
async def running(*daemons: NsqdHttp | LookupdHttp) -> AsyncIterator[None]:
    """Have all of ``daemons`` listen for HTTP."""
    async with AsyncExitStack() as stack:
        for daemon in daemons:
            daemon.server = await stack.enter_async_context(fake_server(daemon.answer))
            daemon.address = daemon.server.address
        yield
