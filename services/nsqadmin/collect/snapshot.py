"""The cluster as it was at one moment: what every page is drawn from.

The collector makes a `Snapshot` from one round of questions; pages, charts and the topology read
it. It is never changed afterwards, so that a page may take its time. Rates are messages per second.
"""

import re
from collections.abc import Mapping

from nsqcore.addresses import is_literal
from nsqcore.classes import field, frozen
from nsqcore.cluster.health import NsqdHealth
from nsqcore.cluster.producer import Producer
from nsqcore.cluster.stats import ChannelStats, TopicStats

# What Docker gives a container for a host name.
_CONTAINER_ID = re.compile("[0-9a-f]{12}")


@frozen(kw_only=True, eq=False)
class NodeState:
    """One nsqd. One that does not answer keeps its producer and has no topics."""

    producer: Producer
    topics: tuple[TopicStats, ...] = ()
    error: str = ""
    health: NsqdHealth = field(factory=NsqdHealth)

    @property
    def address(self) -> str:
        """Its HTTP address, which is its name on pages."""
        return self.producer.http_address

    @property
    def name(self) -> str:
        """What people call it: its host name, but for the ids that containers have for one."""
        hostname, advertised = self.producer.hostname, self.producer.broadcast_address
        if _CONTAINER_ID.fullmatch(hostname) and advertised and not is_literal(advertised):
            return advertised
        return hostname or self.address

    @property
    def depth(self) -> int:
        """Messages waiting in all topics and channels."""
        return sum(topic.depth + channels_sum(topic, "depth") for topic in self.topics)

    @property
    def in_flight(self) -> int:
        """Messages that consumers hold."""
        return sum(channels_sum(topic, "in_flight_count") for topic in self.topics)

    @property
    def client_count(self) -> int:
        """Consumers' connections."""
        return sum(channels_sum(topic, "client_count") for topic in self.topics)

    @property
    def message_count(self) -> int:
        """Messages published since it started."""
        return sum(topic.message_count for topic in self.topics)

    @property
    def rate(self) -> float:
        """Messages published per second."""
        return sum(topic.rate for topic in self.topics)


@frozen(kw_only=True, eq=False)
class LookupdState:
    """One nsqlookupd."""

    address: str
    error: str = ""
    nodes: frozenset[str] = frozenset()  # HTTP addresses of the nsqd registered there


@frozen(kw_only=True, eq=False)
class Snapshot:
    """The cluster at one moment. ``taken`` is Unix time in nanoseconds."""

    version: int = 0  # grows by one with each
    taken: int = 0
    nodes: tuple[NodeState, ...] = ()  # by host name
    lookupds: tuple[LookupdState, ...] = ()
    topics: Mapping[str, TopicStats] = field(factory=dict)  # sums, by name
    inactive: Mapping[str, tuple[str, ...]] = field(factory=dict)  # registered, no producer

    @property
    def failures(self) -> tuple[str, ...]:
        """Every daemon that did not answer, and why, as texts."""
        lookupds = (
            f"nsqlookupd {item.address}: {item.error}" for item in self.lookupds if item.error
        )
        nodes = (f"nsqd {item.address}: {item.error}" for item in self.nodes if item.error)
        return (*lookupds, *nodes)

    @property
    def unwell(self) -> tuple[NodeState, ...]:
        """Every nsqd that answers and says that something is wrong with it."""
        return tuple(node for node in self.nodes if not node.error and node.health.notes)

    def node(self, address: str) -> NodeState | None:
        """The nsqd with this HTTP address."""
        return next((node for node in self.nodes if node.address == address), None)

    def channel(self, topic: str, channel: str) -> ChannelStats | None:
        """A channel, summed over its nsqd."""
        found = self.topics.get(topic)
        if found is None:
            return None
        return next((item for item in found.channels if item.channel_name == channel), None)


def channels_sum(topic: TopicStats, name: str) -> int:
    """The sum of the numbers ``name`` over the topic's channels."""
    return sum(getattr(channel, name) for channel in topic.channels)


def total_depth(topic: TopicStats) -> int:
    """Messages waiting in the topic and in its channels."""
    return topic.depth + channels_sum(topic, "depth")


def channel_parts(channel: ChannelStats) -> list[ChannelStats]:
    """The channel on each of its nsqd; one that is on a single nsqd is its own part."""
    return [channel] if channel.nodes is None else channel.nodes


def topic_parts(topic: TopicStats) -> list[TopicStats]:
    """The topic on each of its nsqd."""
    return [topic] if topic.nodes is None else topic.nodes
