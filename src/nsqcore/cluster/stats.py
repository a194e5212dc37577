"""Statistics of topics, channels and clients, as one nsqd tells them or as many together.

``from_json`` turns what `/stats?format=json` of one nsqd answers into these values,
`nsqcore.cluster.merge` adds up those of several, ``to_json`` gives the shapes of nsqadmin's API.
``node`` is the HTTP address of the nsqd, or ``*`` for a sum. Nothing here does I/O or reads a
clock.
"""

from collections.abc import Callable
from typing import Any

import attrs

from nsqcore.classes import define, field
from nsqcore.cluster.latency import Latency
from nsqcore.cluster.producer import Producer
from nsqcore.readers import Json, count, flag, is_name, objects, text
from nsqcore.units import SECOND

_DISCARD = "discard"  # no topic: what is dead is dropped

# Characters of what a topic promises that are kept; daemons may tell anything.
MAX_PROMISE = 64

_READERS: dict[type | None, Callable[[Json, str], str | int | bool]] = {
    str: text,
    int: count,
    bool: flag,
}
_OPTIONAL = frozenset(
    ("topology_region", "topology_zone", "node_topology_region", "node_topology_zone")
)


@define(eq=False, repr=False, kw_only=True)
class ClientStats:
    """One consumer's connection to a channel on one nsqd. ``connect_ts`` is in Unix seconds.

    The fields without ``node`` in their names are those that nsqd tells, under the same names.
    """

    node: str
    node_topology_region: str = ""
    node_topology_zone: str = ""
    remote_address: str = ""
    version: str = ""
    client_id: str = ""
    hostname: str = ""
    user_agent: str = ""
    auth_identity: str = ""
    auth_identity_url: str = ""
    topology_region: str = ""
    topology_zone: str = ""
    tls_cipher_suite: str = ""
    tls_version: str = ""
    tls_negotiated_protocol: str = ""
    connect_ts: int = 0
    in_flight_count: int = 0
    ready_count: int = 0
    finish_count: int = 0
    requeue_count: int = 0
    message_count: int = 0
    sample_rate: int = 0
    deflate: bool = False
    snappy: bool = False
    authed: bool = False
    tls: bool = False
    tls_negotiated_protocol_is_mutual: bool = False

    @classmethod
    def from_json(cls, raw: Json, producer: Producer) -> "ClientStats":
        """One entry of ``clients``."""
        told: dict[str, Any] = {name: read(raw, name) for name, read in _CLIENT_FIELDS}
        return cls(
            node=producer.http_address,
            node_topology_region=producer.topology_region,
            node_topology_zone=producer.topology_zone,
            **told,
        )

    def to_json(self, now: int) -> dict[str, Any]:
        """The shape of nsqadmin's API; ``now`` is Unix time in nanoseconds."""
        shown = attrs.asdict(self, filter=lambda a, v: bool(v) or a.name not in _OPTIONAL)
        shown["connected"] = (now // SECOND - self.connect_ts) * SECOND
        return shown

    @property
    def zone_local(self) -> bool:
        """The client is in the nsqd's own zone and region, and these are known."""
        return self.region_local and self.topology_zone == self.node_topology_zone != ""

    @property
    def region_local(self) -> bool:
        """The client is in the nsqd's own region, and that is known."""
        return self.topology_region == self.node_topology_region != ""

    @property
    def locality(self) -> tuple[str, int, str, str]:
        """A key that sorts clients by nsqd, and there from near to far."""
        same_region = self.topology_region == self.node_topology_region
        same_zone = same_region and self.topology_zone == self.node_topology_zone
        far = 0 if same_zone else 1 if same_region else 2
        return (self.node, far, self.topology_region, self.topology_zone)


# Made once: a round of nsqadmin may read thousands of clients.
_CLIENT_FIELDS = [
    (one.name, _READERS[one.type])
    for one in attrs.fields(ClientStats)
    if not one.name.startswith("node")
]


@define(eq=False, repr=False, kw_only=True)
class Counts:
    """What topics and channels have in common."""

    node: str
    hostname: str = ""
    topic_name: str
    depth: int = 0
    backend_depth: int = 0
    message_count: int = 0
    zone_local_msg_count: int = 0
    region_local_msg_count: int = 0
    global_msg_count: int = 0
    paused: bool = False
    latency: Latency = field(factory=Latency)
    rate: float = 0.0  # messages per second, where somebody has computed it

    @property
    def memory_depth(self) -> int:
        """Messages in memory."""
        return self.depth - self.backend_depth

    @property
    def delivery_msg_count(self) -> int:
        """Messages delivered whose way (zone, region, farther) is known."""
        return self.zone_local_msg_count + self.region_local_msg_count + self.global_msg_count


@define(eq=False, repr=False, kw_only=True)
class ChannelStats(Counts):
    """A channel on one nsqd, or on all of them (``node`` is ``*`` and ``nodes`` has the parts)."""

    channel_name: str
    in_flight_count: int = 0
    deferred_count: int = 0
    requeue_count: int = 0
    timeout_count: int = 0
    dead_count: int = 0  # dead-lettered, where a policy speaks of it
    dead_letter_topic: str = ""  # where a policy names another than `TOPIC.dead`
    client_count: int = 0
    clients: list[ClientStats] | None = None  # None: not asked for
    nodes: list["ChannelStats"] | None = None

    @classmethod
    def from_json(cls, raw: Json, topic: str, producer: Producer) -> "ChannelStats":
        """One entry of ``channels``."""
        listed = isinstance(raw.get("clients"), list)
        sums: dict[str, Any] = {key: count(raw, key) for key in CHANNEL_SUMS}
        clients = [ClientStats.from_json(item, producer) for item in objects(raw, "clients")]
        named = text(raw, "dead_letter_topic")
        return cls(
            node=producer.http_address,
            hostname=producer.hostname,
            topic_name=topic,
            channel_name=text(raw, "channel_name"),
            client_count=count(raw, "client_count") or len(clients),
            paused=flag(raw, "paused"),
            latency=Latency.from_json(raw.get("e2e_processing_latency")),
            clients=clients if listed else None,
            dead_letter_topic=named if is_name(named) and named != _DISCARD else "",
            **sums,
        )

    def to_json(self, now: int) -> dict[str, Any]:
        """The shape of nsqadmin's API; ``now`` is Unix time in nanoseconds."""
        whole = self.node == "*" and self.nodes is not None
        shown: dict[str, Any] = {
            "node": self.node,
            "hostname": self.hostname,
            "topic_name": self.topic_name,
            "channel_name": self.channel_name,
            "memory_depth": self.memory_depth,
            "client_count": self.client_count,
            "paused": self.paused,
            **{key: getattr(self, key) for key in CHANNEL_SUMS if key not in _UNTOLD},
            **_deliveries(self),
            "nodes": None if self.nodes is None else [node.to_json(now) for node in self.nodes],
            "clients": None
            if self.clients is None
            else [client.to_json(now) for client in self.clients],
            "e2e_processing_latency": self.latency.to_json(
                topic=self.topic_name, channel=self.channel_name, host="*"
            )
            if whole
            else self.latency.to_json(),
        }
        if self.delivery_msg_count:
            shown["delivery_msg_count"] = self.delivery_msg_count
        if self.dead_count:
            shown["dead_count"] = self.dead_count
        return shown


@define(eq=False, repr=False, kw_only=True)
class TopicStats(Counts):
    """A topic on one nsqd, or on all of them (``node`` is ``*`` and ``nodes`` has the parts).

    ``durability`` and ``promise``, which says it in words, are empty where nothing is durable.
    """

    message_bytes: int = 0
    channels: list[ChannelStats] = field(factory=list)
    nodes: list["TopicStats"] | None = None
    durability: str = ""
    promise: str = ""

    @classmethod
    def from_json(cls, raw: Json, producer: Producer) -> "TopicStats":
        """One entry of ``topics``."""
        name = text(raw, "topic_name")
        durability = text(raw, "durability", longest=MAX_PROMISE)
        durable = durability not in ("", "none")
        sums: dict[str, Any] = {key: count(raw, key) for key in TOPIC_SUMS}
        return cls(
            node=producer.http_address,
            hostname=producer.hostname,
            topic_name=name,
            paused=flag(raw, "paused"),
            latency=Latency.from_json(raw.get("e2e_processing_latency")),
            channels=[
                ChannelStats.from_json(item, name, producer)
                for item in objects(raw, "channels")
                if is_name(item.get("channel_name"))
            ],
            durability=durability if durable else "",
            promise=text(raw, "promise", longest=MAX_PROMISE) if durable else "",
            **sums,
        )

    def to_json(self, now: int) -> dict[str, Any]:
        """The shape of nsqadmin's API; ``now`` is Unix time in nanoseconds."""
        whole = self.node == "*" and self.nodes is not None
        return {
            "node": self.node,
            "hostname": self.hostname,
            "topic_name": self.topic_name,
            "depth": self.depth,
            "memory_depth": self.memory_depth,
            "backend_depth": self.backend_depth,
            "message_count": self.message_count,
            "delivery_msg_count": self.delivery_msg_count,
            **_deliveries(self),
            "paused": self.paused,
            **self._durable_json(),
            "nodes": None if self.nodes is None else [node.to_json(now) for node in self.nodes],
            "channels": [channel.to_json(now) for channel in self.channels]
            or (None if whole else []),
            "e2e_processing_latency": self.latency.to_json(topic=self.topic_name, host="*")
            if whole
            else self.latency.to_json(),
        }

    def _durable_json(self) -> dict[str, str]:
        """Nothing of a plain topic, as the original knows no other."""
        if not self.durability:
            return {}
        return {"durability": self.durability, "promise": self.promise}


_DELIVERIES = ("zone_local_msg_count", "region_local_msg_count", "global_msg_count")
CHANNEL_SUMS = (
    "depth", "backend_depth", "in_flight_count", "deferred_count", "requeue_count",
    "timeout_count", "message_count", "dead_count", *_DELIVERIES,
)  # fmt: skip
# Not in the API of the original: left out, or told only where there is something to tell.
_UNTOLD = frozenset((*_DELIVERIES, "dead_count"))
TOPIC_SUMS = ("depth", "backend_depth", "message_count", "message_bytes", *_DELIVERIES)


def _deliveries(stats: Counts) -> dict[str, int]:
    return {key: value for key in _DELIVERIES if (value := getattr(stats, key))}
