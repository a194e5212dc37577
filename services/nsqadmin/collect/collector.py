"""The one task that looks at the cluster, however many browsers are open.

Each round asks the nsqlookupds who is there and every nsqd for its statistics, concurrently and
with limits, and publishes a new `Snapshot`; what waits in `changed` wakes up. Rounds follow each
other every ``--collect-interval`` while somebody watches and every ``--idle-interval`` otherwise,
for the history. Lists of clients are the bulk of the statistics: each round asks for as many as a
budget allows, and nsqd take turns, so that a cluster of 50,000 clients costs a round no more than
one of 5,000. A daemon that fails is named in the snapshot, and never ends a round; one that hangs
is not waited for (`nsqadmin.collect.polls`).
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial

import attrs
import trio

from nsqadmin.collect.known import CLIENT_BUDGET, KnownLookupd, KnownNode
from nsqadmin.collect.order import natural
from nsqadmin.collect.polls import Polls
from nsqadmin.collect.snapshot import LookupdState, NodeState, Snapshot
from nsqcore.addresses import AddressError, host_of, parse_host_port
from nsqcore.classes import define, field
from nsqcore.cluster.cluster import Cluster
from nsqcore.cluster.health import NsqdHealth, nsqd_health
from nsqcore.cluster.lookupd import lookupd_channels
from nsqcore.cluster.merge import group_topics, merge_topic
from nsqcore.cluster.nsqd import nsqd_info, one_nsqd_report
from nsqcore.cluster.producer import Producer, ProducerTopic, merge_producers
from nsqcore.cluster.stats import TopicStats
from nsqcore.cluster.upstream import AllFailed, UpstreamError
from nsqcore.units import SECOND

logger = logging.getLogger(__name__)

# A page view counts as somebody watching for this long; a reload by hand comes sooner.
_INTEREST = 20 * SECOND
# Addresses, names and versions of nsqd hardly ever change; in nsqd mode they cost a request each.
_INFO_AGE = 30 * SECOND
# Channels of topics nobody produces: a question per topic, for one page.
_INACTIVE_AGE, _INACTIVE_LIMIT = 10 * SECOND, 500
_MERGE_SLICE = 25  # topics merged between two looks at who else wants to run


@define(eq=False, repr=False, kw_only=True)
class Collector:
    """Looks at the cluster and remembers what it last saw."""

    cluster: Callable[[], Cluster]  # asked each round: its nsqlookupds can be configured
    monotonic: Callable[[], int]
    wall: Callable[[], int]
    live: float = 1.0
    idle: float = 10.0
    snapshot: Snapshot = field(factory=Snapshot)
    watchers: int = 0
    _polls: Polls = field(factory=Polls)
    _nodes: dict[str, KnownNode] = field(factory=dict)
    _known_lookupds: dict[str, KnownLookupd] = field(factory=dict)
    _lookupds: tuple[LookupdState, ...] = ()
    _registered: frozenset[str] = frozenset()
    _inactive: dict[str, tuple[str, ...]] = field(factory=dict)
    _inactive_asked: int = 0
    _interest: int = -_INTEREST
    _started: int = 0
    _finished: int = 0
    _changed: trio.Event = field(factory=trio.Event)
    _poked: trio.Event = field(factory=trio.Event)

    async def run(self, on_round: Callable[[Snapshot], None]) -> None:
        """Look at the cluster again and again, until cancelled; ``on_round`` gets each snapshot."""
        async with trio.open_nursery() as self._polls.nursery:
            await self._look_forever(on_round)

    async def _look_forever(self, on_round: Callable[[Snapshot], None]) -> None:
        while True:
            began = self.monotonic()
            try:
                await self.round()
                on_round(self.snapshot)
            except Exception:  # this loop is the supervisor: one strange answer is not the end
                logger.exception("collector: a look at the cluster failed")
            took = (self.monotonic() - began) / SECOND
            # A cluster that takes long to look at is looked at less often: half the time is for
            # pages.
            await self._pause(max(self.live, 2 * took))

    async def _pause(self, live: float) -> None:
        began = self.monotonic()
        while not self._poked.is_set():
            watched = self.watchers or self.monotonic() - self._interest < _INTEREST
            interval = live if watched else max(live, self.idle)
            left = interval - (self.monotonic() - began) / SECOND
            if left <= 0:
                break
            with trio.move_on_after(min(left, live)):
                await self._poked.wait()
        self._poked = trio.Event()

    async def changed(self, version: int) -> Snapshot:
        """The snapshot, once it is newer than ``version``."""
        while self.snapshot.version <= version:
            await self._changed.wait()
        return self.snapshot

    async def fresh(self, *, max_age: float = 2.0, patience: float = 0.7) -> Snapshot:
        """A snapshot no older than ``max_age``, or the last one if that takes too long."""
        self._interest = self.monotonic()
        age = (self.wall() - self.snapshot.taken) / SECOND
        if not 0 <= age <= max_age:
            await self.refresh(patience=patience if self.snapshot.version else 3.0)
        return self.snapshot

    async def refresh(self, *, patience: float = 3.0) -> None:
        """Wait for a round that begins after this call, so that an action just done shows."""
        goal = self._started + 1
        self._poked.set()
        with trio.move_on_after(patience):
            while self._finished < goal:
                await self._changed.wait()

    async def round(self) -> None:
        """Look at the cluster once and publish what is seen."""
        self._started += 1
        number = self._started
        cluster = self.cluster()
        silent: set[str] = set()
        if cluster.lookupds:
            await self._ask_lookupds(cluster)
        else:
            silent = await self._ask_infos(cluster)
        await self._ask_nodes(cluster, silent)
        nodes = self._node_states()  # as they are now: late answers belong to the next snapshot
        topics = await self._merge(nodes)
        if cluster.lookupds:
            await self._ask_inactive(cluster, topics)
        self.snapshot = Snapshot(
            version=self.snapshot.version + 1,
            taken=self.wall(),
            nodes=nodes,
            lookupds=self._lookupds,
            topics=topics,
            inactive=dict(self._inactive) if cluster.lookupds else {},
        )
        self._finished = number
        changed, self._changed = self._changed, trio.Event()
        changed.set()

    async def _ask_lookupds(self, cluster: Cluster) -> None:
        known = {a: self._known_lookupds.get(a) or KnownLookupd() for a in cluster.lookupds}
        self._known_lookupds = known

        async def ask(address: str, lookupd: KnownLookupd) -> None:
            one = attrs.evolve(cluster, lookupds=(address,))
            try:
                producers = (await one.nodes()).value
                topics = (await one.topics()).value
            except AllFailed as error:
                lookupd.error = _why(error)
                return
            lookupd.producers, lookupd.topics, lookupd.error = producers, topics, ""

        await self._polls.ask(
            {f"nsqlookupd {address}": partial(ask, address, known[address]) for address in known},
            doubtful=[f"nsqlookupd {a}" for a, lookupd in known.items() if lookupd.failed],
        )
        states = {address: _lookupd_state(address, known[address]) for address in known}
        self._log_changes(states)
        self._lookupds = tuple(states.values())
        listed = [(a, lookupd) for a, lookupd in known.items() if not lookupd.error]
        if not listed:
            return  # nobody knows better: keep asking the nsqd we knew
        self._registered = frozenset(name for _, lookupd in listed for name in lookupd.topics)
        merged = merge_producers([(address, lookupd.producers) for address, lookupd in listed])
        self._keep({producer.http_address: producer for producer in merged})

    def _log_changes(self, states: dict[str, LookupdState]) -> None:
        before = {state.address: state.error for state in self._lookupds}
        for address, state in states.items():
            if state.error and not before.get(address):
                logger.warning("nsqlookupd(%s): does not answer: %s", address, state.error)
            elif before.get(address) and not state.error:
                logger.info("nsqlookupd(%s): answers again", address)

    async def _ask_infos(self, cluster: Cluster) -> set[str]:
        """Ask nsqd who they are; the addresses of those that do not tell."""
        self._lookupds, self._registered, self._inactive = (), frozenset(), {}
        now = self.monotonic()

        async def ask(address: str) -> None:
            try:
                # Asked at the address that was configured: what nsqd calls itself may not be
                # reachable.
                producer = await nsqd_info(cluster.upstream, address)
            except UpstreamError as error:
                node = self._nodes.get(address) or nobody(address)
                node.informed = 0
                self._failed(address, node, error)
                return
            self._remember(address, producer).informed = self.monotonic()

        def nobody(address: str) -> KnownNode:
            return self._remember(address, _unknown(address))

        nodes = {address: self._nodes.get(address) or nobody(address) for address in cluster.nsqds}
        unsure = [
            address for address, node in nodes.items()
            if node.error or now - node.informed >= _INFO_AGE
        ]  # fmt: skip
        await self._polls.ask(
            {f"info of nsqd {address}": partial(ask, address) for address in unsure},
            doubtful=[f"info of nsqd {a}" for a, node in nodes.items() if node.failed],
        )
        self._keep({address: node.producer for address, node in nodes.items()})
        return {address for address in unsure if not nodes[address].informed}

    def _failed(self, address: str, node: KnownNode, error: UpstreamError) -> None:
        if not node.failed:
            logger.warning("nsqd(%s): does not answer: %s", address, error)
        node.error, node.topics, node.health = str(error), (), NsqdHealth()

    def _remember(self, address: str, producer: Producer) -> KnownNode:
        node = self._nodes.setdefault(address, KnownNode(producer))
        node.producer = producer
        return node

    def _keep(self, producers: dict[str, Producer]) -> None:
        for address in set(self._nodes) - set(producers):
            del self._nodes[address]
        for address, producer in producers.items():
            self._remember(address, producer)

    async def _ask_nodes(self, cluster: Cluster, silent: set[str]) -> None:
        with_clients = self._whose_clients()

        async def ask(address: str, node: KnownNode) -> None:
            clients = address in with_clients
            try:
                report = await one_nsqd_report(cluster.upstream, node.producer, clients=clients)
            except UpstreamError as error:
                self._failed(address, node, error)
                return
            if node.failed:
                logger.info("nsqd(%s): answers again", address)
            node.error = ""
            self._take(node, tuple(report.topics), clients=clients)
            node.health = await nsqd_health(cluster.upstream, address, report.health)

        await self._polls.ask(
            {
                f"nsqd {address}": partial(ask, address, node)
                for address, node in self._nodes.items()
                if address not in silent
            },
            doubtful=[f"nsqd {a}" for a, node in self._nodes.items() if node.failed],
        )

    def _take(self, node: KnownNode, topics: tuple[TopicStats, ...], *, clients: bool) -> None:
        now = self.monotonic()
        if clients:
            node.clients_asked = now
        else:
            _carry_clients(node.topics, topics)
        node.topics = topics
        node.clients = sum(c.client_count for topic in topics for c in topic.channels)
        node.rates.fill_in(topics, now=now)

    def _whose_clients(self) -> set[str]:
        """The nsqd whose lists of clients this round can afford: those not asked for longest."""
        left = CLIENT_BUDGET
        chosen: set[str] = set()
        for address, node in sorted(self._nodes.items(), key=lambda item: item[1].clients_asked):
            if chosen and node.clients > left:
                break
            left -= node.clients
            chosen.add(address)
        return chosen

    async def _merge(self, nodes: Sequence[NodeState]) -> dict[str, TopicStats]:
        answered = [node for node in nodes if not node.error]
        groups = group_topics(topic for node in answered for topic in node.topics)
        topics: dict[str, TopicStats] = {}
        for index, name in enumerate(sorted(set(groups) | self._registered)):
            topics[name] = merge_topic(name, groups.get(name, ()), clients=False)
            if index % _MERGE_SLICE == 0:
                await trio.lowlevel.checkpoint()
        return topics

    async def _ask_inactive(self, cluster: Cluster, topics: dict[str, TopicStats]) -> None:
        produced = {
            topic.topic for node in self._nodes.values() for topic in node.producer.topics
            if not topic.tombstoned
        }  # fmt: skip
        names = [name for name in topics if name in self._registered and name not in produced]
        now = self.monotonic()
        recent = self._inactive_asked and now - self._inactive_asked < _INACTIVE_AGE
        if recent and set(names[:_INACTIVE_LIMIT]) == set(self._inactive):
            return
        self._inactive_asked = now
        answering = [
            address for address, lookupd in self._known_lookupds.items()
            if not lookupd.error and not self._polls.has(f"nsqlookupd {address}")
        ]  # fmt: skip
        found: dict[str, tuple[str, ...]] = {}

        async def ask(name: str) -> None:
            try:
                answer = await lookupd_channels(cluster.upstream, answering, name)
                found[name] = tuple(answer.value)
            except AllFailed:
                found[name] = ()

        async with trio.open_nursery() as nursery:
            for name in names[:_INACTIVE_LIMIT]:
                nursery.start_soon(ask, name)
        self._inactive = {name: found[name] for name in sorted(found)}

    def _node_states(self) -> tuple[NodeState, ...]:
        states = [
            NodeState(
                producer=_with_topics(node.producer, node.topics),
                topics=node.topics,
                error=node.error,
                health=node.health,
            )
            for node in self._nodes.values()
        ]
        return tuple(sorted(states, key=_by_name))


def _by_name(state: NodeState) -> tuple[object, ...]:
    return natural(state.producer.hostname), natural(state.address)


def _lookupd_state(address: str, lookupd: KnownLookupd) -> LookupdState:
    if lookupd.error:
        return LookupdState(address=address, error=lookupd.error)
    nodes = frozenset(producer.http_address for producer in lookupd.producers)
    return LookupdState(address=address, nodes=nodes)


def _carry_clients(before: Sequence[TopicStats], after: Sequence[TopicStats]) -> None:
    """Give channels that were read without clients the clients they had."""
    known = {
        (topic.topic_name, channel.channel_name): channel.clients
        for topic in before
        for channel in topic.channels
    }
    for topic in after:
        for channel in topic.channels:
            clients = known.get((topic.topic_name, channel.channel_name))
            channel.clients = clients if channel.client_count else []


def _with_topics(producer: Producer, topics: Sequence[TopicStats]) -> Producer:
    """In nsqd mode nobody lists a node's topics but its statistics."""
    if producer.topics or not topics:
        return producer
    names = tuple(ProducerTopic(topic.topic_name) for topic in topics)
    return attrs.evolve(producer, topics=names)


def _unknown(address: str) -> Producer:
    try:
        host, port = parse_host_port(address)
    except AddressError:
        host, port = host_of(address), 0
    return Producer(broadcast_address=host, http_port=port, hostname=host)


def _why(error: AllFailed) -> str:
    return str(error.failures[0]) if error.failures else str(error)
