"""Pushes the statistics to a statsd daemon, over UDP, every so often.

Names and types are the original's. Counters carry what was added since the last push; a topic or
channel that was deleted and made anew counts from zero. Lines are made in slices, and packets
are spread over the interval, so that neither messages nor the network notice a push.

What can't be sent is lost, as is usual with statsd; the next push comes at its time.
"""

import logging
from collections.abc import Callable, Mapping

import trio

from nsqcore.addresses import AddressError, split_host_port
from nsqcore.classes import define, field
from nsqcore.metrics.quantile import LatencySummary
from nsqcore.metrics.statsd import Packets, expand_prefix
from nsqd.engine.broker import Broker
from nsqd.engine.channel import Channel
from nsqd.engine.stats import ChannelStats, TopicStats, select_channels, select_topics
from nsqd.engine.topic import Topic
from nsqd.statsd.settings import StatsdSettings

logger = logging.getLogger(__name__)

# Channels told of between two chances for others to run: below a millisecond.
SLICE = 50
# What the original keeps free of sending at the end of an interval, in seconds.
MARGIN = 1.0
# --statsd-interval=0 must not become a loop that does nothing else.
SHORTEST_INTERVAL = 0.01

Counts = tuple[int, ...]


@define(eq=False, repr=False)
class StatsdReporter:
    """Tells the statsd daemon in ``settings`` of ``broker``.

    ``host`` gives what stands for this host in names. ``wall`` is the wall clock in ns. ``memory``
    gives the memory section of /stats.
    """

    settings: StatsdSettings
    broker: Broker
    wall: Callable[[], int]
    memory: Callable[[], Mapping[str, int]] | None = None
    host: Callable[[], str] = str
    _last: dict[object, Counts] = field(factory=dict, init=False)
    _now: dict[object, Counts] = field(factory=dict, init=False)

    async def run(self) -> None:
        """Push until cancelled."""
        interval = max(self.settings.interval, SHORTEST_INTERVAL)
        due = trio.current_time() + interval
        while True:
            await trio.sleep_until(due)
            due = max(due + interval, trio.current_time())
            try:
                await self._push(interval)
            except (OSError, ValueError, AddressError) as error:  # ValueError: it is no host name
                logger.error("STATSD: failed to push to %s - %s", self.settings.address, error)

    async def packets(self) -> list[bytes]:
        """One push, as packets."""
        prefix = expand_prefix(self.settings.prefix, self.host())
        packets = Packets(prefix, self.settings.packet_size)
        self._now = {}
        for topic in select_topics(self.broker, "") or []:
            if not self._excluded(topic):
                await self._add_topic(packets, topic)
        if self.settings.memory and self.memory is not None:
            self._add_memory(packets, self.memory())
        self._last = self._now
        return packets.take()

    async def _push(self, interval: float) -> None:
        host, port = split_host_port(self.settings.address)
        # no host is this machine, as in the original
        found = await trio.socket.getaddrinfo(
            host or "127.0.0.1", port, type=trio.socket.SOCK_DGRAM
        )
        family, kind, protocol, _, address = found[0]
        with trio.socket.socket(family, kind, protocol) as sender:
            await sender.connect(address)
            logger.info("STATSD: pushing stats to %s", self.settings.address)
            packets = await self.packets()
            pause = max(interval - MARGIN, 0) / max(len(packets), 1)
            for packet in packets:
                try:
                    await sender.send(packet)
                except ConnectionRefusedError:
                    logger.debug("STATSD: nobody listens at %s", self.settings.address)
                await trio.sleep(pause)

    def _excluded(self, owner: Topic | Channel) -> bool:
        return self.settings.exclude_ephemeral and owner.ephemeral

    def _added(self, owner: object, counts: Counts) -> Counts:
        """What was added to the ``counts`` of ``owner`` since the last push."""
        self._now[owner] = counts
        last = self._last.get(owner)
        return counts if last is None else tuple(a - b for a, b in zip(counts, last, strict=True))

    async def _add_topic(self, packets: Packets, topic: Topic) -> None:
        stats, name = TopicStats.of(topic, self.wall()), f"topic.{topic.name}"
        added = self._added(topic, (stats.message_count, stats.message_bytes))
        packets.count(f"{name}.message_count", added[0])
        packets.count(f"{name}.message_bytes", added[1])
        packets.gauge(f"{name}.depth", stats.depth)
        packets.gauge(f"{name}.backend_depth", stats.backend_depth)
        _add_latency(packets, name, stats.latency)
        await trio.lowlevel.checkpoint()
        for number, channel in enumerate(select_channels(topic, "") or [], 1):
            if not self._excluded(channel):
                self._add_channel(packets, f"{name}.channel.{channel.name}", channel)
            if not number % SLICE:
                await trio.lowlevel.checkpoint()

    def _add_channel(self, packets: Packets, name: str, channel: Channel) -> None:
        stats = ChannelStats.of(channel, self.wall())
        counts = (stats.message_count, stats.requeue_count, stats.timeout_count)
        messages, requeues, timeouts = self._added(channel, counts)
        packets.count(f"{name}.message_count", messages)
        packets.gauge(f"{name}.depth", stats.depth)
        packets.gauge(f"{name}.backend_depth", stats.backend_depth)
        packets.gauge(f"{name}.in_flight_count", stats.in_flight_count)
        packets.gauge(f"{name}.deferred_count", stats.deferred_count)
        packets.count(f"{name}.requeue_count", requeues)
        packets.count(f"{name}.timeout_count", timeouts)
        packets.gauge(f"{name}.clients", stats.client_count)
        _add_latency(packets, name, stats.latency)

    def _add_memory(self, packets: Packets, memory: Mapping[str, int]) -> None:
        for name, value in memory.items():
            if name == "gc_total_runs":
                packets.count("mem.gc_runs", self._added("memory", (value,))[0])
            else:
                packets.gauge(f"mem.{name}", value)


def _add_latency(packets: Packets, name: str, latency: LatencySummary) -> None:
    for quantile, value in latency.percentiles or ():
        packets.gauge(f"{name}.e2e_processing_latency_{quantile * 100:.0f}", round(value))


async def report(
    settings: StatsdSettings,
    broker: Broker,
    wall: Callable[[], int],
    memory: Callable[[], Mapping[str, int]],
    host: Callable[[], str],
) -> None:
    """Push until cancelled; the arguments are those of `StatsdReporter`."""
    await StatsdReporter(settings, broker, wall, memory, host).run()
