"""The cluster as a drawing: nsqlookupd, nsqd, topics, channels and consumers, from left to right.

`lay_out` chooses what is drawn and where; the template makes SVG of that. Channels give the rows; a
topic stands in the middle of its channels, nsqd and nsqlookupd spread over the height. A big
cluster is not drawn whole: the topics with the most traffic are, or those that a search finds, and
how many are left out is said.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from nsqadmin.collect.order import natural
from nsqadmin.collect.snapshot import NodeState, Snapshot, channel_parts, topic_parts, total_depth
from nsqadmin.drawing.formats import commas, rate, short
from nsqadmin.drawing.told import notes
from nsqadmin.language.spoken import N_
from nsqadmin.language.spoken import gettext as _
from nsqcore.classes import frozen
from nsqcore.cluster.stats import ChannelStats, TopicStats

# Beyond this a drawing is wallpaper: 48 rows of 30 px are two screens.
MAX_ROWS = 48
_UNDER_WAY = 10  # messages that are no backlog, however little flows
_MANY_LINES = 250  # where lines at full strength become a grey wall
_SCREEN = 600  # in the middle of no more than this stand nsqlookupds, lest one has to scroll
ROW, GAP, TOP = 30, 8, 44
BOX = 26
_COLUMNS = {  # left edge and width
    "lookupd": (8, 176),
    "node": (228, 190),
    "topic": (530, 236),
    "channel": (830, 220),
    "consumer": (1110, 242),
}
_TITLES = {
    "lookupd": "nsqlookupd",
    "node": "nsqd",
    "topic": N_("Topics"),
    "channel": N_("Channels"),
    "consumer": N_("Consumers"),
}
WIDTH = 1360
# Sizes of the letters of names and notes, as in the stylesheet, and how wide letters are in the
# widest of the fonts that browsers fall back to. A letter of the Far East is a square.
_NAME, _NOTE = 12.5, 11.0
_MARGINS = 24  # left of the name, between it and the note, right of the note
_WIDTHS = (
    dict.fromkeys("ijl.,:;'|!/· ", 0.34) | dict.fromkeys("frt-()[]", 0.42) | {"_": 0.5}
    | dict.fromkeys("mwMW@%…", 1.0) | dict.fromkeys("#ABCDEGHKNOQRUVXY", 0.8)
)  # fmt: skip
_LETTER, _SQUARE = 0.64, 1.0
_SHORTEST = 5  # letters that a name keeps, whatever room there is


@frozen(kw_only=True)
class Box:
    """A daemon, topic, channel or group of consumers. ``target`` is what a click leads to."""

    id: str
    kind: str
    name: str
    shown: str  # the name, cut to fit
    note: str  # numbers
    x: float
    y: float
    width: float
    target: tuple[str, ...]
    state: str = ""  # "down", "paused", "backlog", "idle"
    title: str = ""

    @property
    def middle(self) -> float:
        """The height at which lines meet it."""
        return self.y + BOX / 2


@frozen(kw_only=True)
class Edge:
    """A line between two boxes; ``weight`` from 0 to 4 says how much flows."""

    start: str
    end: str
    path: str
    weight: int = 0
    state: str = ""


@frozen(kw_only=True)
class Drawing:
    """All that is drawn."""

    boxes: Sequence[Box]
    edges: Sequence[Edge]
    height: int
    width: int = WIDTH
    topics: int = 0  # drawn
    left_out: int = 0  # topics not drawn
    dense: bool = False  # so many lines that each has to be faint
    columns: Sequence[tuple[str, int]] = tuple(
        (_TITLES[kind], left) for kind, (left, _) in _COLUMNS.items()
    )


def lay_out(snapshot: Snapshot, query: str = "") -> Drawing:
    """The drawing of a cluster, or of what fits all words of ``query``."""
    fitting = [topic for topic in snapshot.topics.values() if _fits(topic, query)]
    topics = _most_important(fitting)
    hosts = {part.node for topic in topics for part in topic_parts(topic)}
    nodes = [node for node in snapshot.nodes if not query or node.address in hosts]
    rows = sum(max(1, len(topic.channels)) for topic in topics)
    height = max(
        rows * ROW + len(topics) * GAP, len(nodes) * ROW, len(snapshot.lookupds) * (ROW + GAP), 120
    )
    placed = _place_topics(topics, (height - rows * ROW - len(topics) * GAP) / 2)
    placed += _place_nodes(nodes, height)
    placed += _place_lookupds(snapshot, height)
    boxes = {box.id: box for box in placed}
    edges = [*_registrations(snapshot, nodes, boxes), *_flows(topics, boxes)]
    return Drawing(
        boxes=placed,
        edges=edges,
        height=int(height) + TOP + 20,
        topics=len(topics),
        left_out=len(fitting) - len(topics),
        dense=len(edges) > _MANY_LINES,
    )


def _fits(topic: TopicStats, query: str) -> bool:
    parts = topic_parts(topic)
    names = [topic.topic_name, *(channel.channel_name for channel in topic.channels)]
    names += [f"{part.hostname} {part.node}" for part in parts]
    text = " ".join(names).lower()
    return all(word in text for word in query.lower().split())


def _most_important(topics: Sequence[TopicStats]) -> list[TopicStats]:
    """Those with the most traffic that fit, in the order of their names."""
    chosen: list[TopicStats] = []
    room = MAX_ROWS
    for topic in sorted(topics, key=lambda item: (-item.rate, -total_depth(item), item.topic_name)):
        rows = max(1, len(topic.channels))
        if rows > room and chosen:
            break
        chosen.append(topic)
        room -= rows
    return sorted(chosen, key=lambda item: natural(item.topic_name))


def _place_topics(topics: Sequence[TopicStats], offset: float) -> list[Box]:
    boxes: list[Box] = []
    y = TOP + offset
    for topic in topics:
        top = y
        for channel in topic.channels[:MAX_ROWS]:
            boxes += [_channel_box(channel, y), _consumer_box(channel, y)]
            y += ROW
        y = max(y, top + ROW)
        boxes.append(_topic_box(topic, (top + y - ROW) / 2))
        y += GAP
    return boxes


def _box(
    kind: str,
    y: float,
    key: str,
    name: str,
    note: str,
    *,
    target: tuple[str, ...],
    title: str,
    state: str = "",
) -> Box:
    x, width = _COLUMNS[kind]
    room = (width - _MARGINS - breadth(note) * _NOTE) / _NAME
    return Box(
        id=f"{kind}:{key}",
        kind=kind,
        name=name,
        shown=fit(name, room, cut if kind in ("topic", "channel") else cut_host),
        note=note,
        x=x,
        y=y,
        width=width,
        target=target,
        state=state,
        title=title,
    )


def breadth(text: str) -> float:
    """How wide ``text`` is at most, in heights of a letter."""
    return sum(_WIDTHS.get(letter, _LETTER if letter < "\u1100" else _SQUARE) for letter in text)


def fit(name: str, room: float, shorten: Callable[[str, int], str]) -> str:
    """As much of ``name`` as is no wider than ``room``; ``shorten`` is `cut` or `cut_host`."""
    whole = breadth(name)
    if whole <= room:
        return name
    # As many letters as would fit if all were alike, and then fewer.
    letters = min(len(name), int(len(name) * room / whole) + 2)
    shown = shorten(name, letters)
    while breadth(shown) > room and letters > _SHORTEST:
        letters -= 1
        shown = shorten(name, letters)
    return shown


def cut(name: str, room: int) -> str:
    """``name`` in ``room`` letters; what is lost is lost in the middle."""
    room = max(room, _SHORTEST)
    if len(name) <= room:
        return name
    end = (room - 1) // 2
    return f"{name[: room - 1 - end]}…{name[-end:]}"


def cut_host(name: str, room: int) -> str:
    """A host's ``name`` in ``room`` letters; its domain, which hosts have in common, goes first.

    A port at its end stays.
    """
    host, colon, port = name.partition(":")
    labels = host.split(".")
    if len(name) <= room or len(labels) == 1 or labels[0].isdecimal():
        return cut(name, room)
    end = f"…{colon}{port}"
    while len(labels) > 1 and len(".".join(labels) + end) > room:
        labels.pop()
    return cut(".".join(labels) + end, room)


def _topic_box(topic: TopicStats, y: float) -> Box:
    hosts = len(topic_parts(topic))
    behind = _is_behind(topic.depth, topic.rate)
    state = "paused" if topic.paused else "idle" if not hosts else "backlog" if behind else ""
    note = f"{rate(topic.rate)}/s" + (f" · {short(topic.depth)}" if topic.depth else "")
    title = _(
        "topic %(name)s: %(rate)s messages/s, depth %(depth)s",
        name=topic.topic_name,
        rate=rate(topic.rate),
        depth=commas(topic.depth),
    )
    return _box(
        "topic", y, topic.topic_name, topic.topic_name, note if hosts else _("no producers"),
        target=("topic", topic.topic_name), state=state, title=title + _pause_text(topic.paused),
    )  # fmt: skip


def _channel_box(channel: ChannelStats, y: float) -> Box:
    key = f"{channel.topic_name}/{channel.channel_name}"
    behind = _is_behind(channel.depth, channel.rate)
    state = "paused" if channel.paused else "backlog" if behind else ""
    note = f"{rate(channel.rate)}/s · {short(channel.depth)}"
    title = _(
        "channel %(name)s: depth %(depth)s, %(in_flight)s in flight, %(rate)s messages/s",
        name=key,
        depth=commas(channel.depth),
        in_flight=commas(channel.in_flight_count),
        rate=rate(channel.rate),
    )
    return _box(
        "channel", y, key, channel.channel_name, note, state=state,
        target=("channel", channel.topic_name, channel.channel_name),
        title=title + _pause_text(channel.paused),
    )  # fmt: skip


def _is_behind(depth: int, flow: float) -> bool:
    """Whether more waits than what comes in a second: less is only what is just under way."""
    return depth > max(_UNDER_WAY, flow)


def _pause_text(paused: bool) -> str:
    return _(", paused") if paused else ""


def _consumer_box(channel: ChannelStats, y: float) -> Box:
    key = f"{channel.topic_name}/{channel.channel_name}"
    clients = [client for part in channel_parts(channel) for client in part.clients or ()]
    hosts = Counter(client.hostname or client.client_id for client in clients).most_common()
    name = hosts[0][0] if hosts else _("no consumers") if not channel.client_count else "…"
    more = f"+{len(hosts) - 1} · " if len(hosts) > 1 else ""
    note = f"{more}{channel.client_count:,}" if channel.client_count else ""
    title = ", ".join(f"{host} ({count})" for host, count in hosts[:12]) or _("no consumers")
    return _box(
        "consumer", y, key, name, note, title=title, state="" if channel.client_count else "none",
        target=("channel", channel.topic_name, channel.channel_name),
    )  # fmt: skip


def _spread(count: int, height: float, largest: float) -> list[float]:
    """``count`` heights spread over ``height``, no farther apart than ``largest``."""
    step = min(largest, height / max(1, count))
    first = TOP + (height - step * count) / 2 + (step - ROW) / 2
    return [first + step * index for index in range(count)]


def _place_nodes(nodes: Sequence[NodeState], height: float) -> list[Box]:
    boxes = []
    heights = _spread(len(nodes), height, 90)
    for node, shown, y in zip(nodes, _node_names(nodes), heights, strict=True):
        name = node.name
        depth = node.depth
        found = notes(node.health)
        note = _("down") if node.error else _health_note(node) or f"{rate(node.rate)}/s"
        flow = _("%(rate)s messages/s, depth %(depth)s", rate=rate(node.rate), depth=commas(depth))
        title = f"nsqd {name} ({node.address}): " + (node.error or _("; ").join([*found, flow]))
        boxes.append(
            _box(
                "node",
                y,
                node.address,
                shown,
                note,
                target=("node", node.address),
                state="down" if node.error else "unwell" if found else "",
                title=title,
            )
        )
    return boxes


def _health_note(node: NodeState) -> str:
    """The most important of what is wrong with a node, in a word or two."""
    health = node.health
    if health.problems:
        return _("not well")
    return _("draining") if health.draining else _("disk nearly full") if health.disk_low else ""


def _node_names(nodes: Sequence[NodeState]) -> list[str]:
    """Host names; with ports where a host has several nsqd, addresses where even that is alike."""
    hosts = [node.name for node in nodes]
    ports = [
        f"{host}:{node.producer.tcp_port or node.producer.http_port}"
        for host, node in zip(hosts, nodes, strict=True)
    ]
    host_counts, port_counts = Counter(hosts), Counter(ports)
    return [
        host if host_counts[host] == 1 else port if port_counts[port] == 1 else node.address
        for host, port, node in zip(hosts, ports, nodes, strict=True)
    ]


def _place_lookupds(snapshot: Snapshot, height: float) -> list[Box]:
    lookupds = snapshot.lookupds
    boxes = []
    heights = _spread(len(lookupds), min(height, _SCREEN), 120)
    for item, y in zip(lookupds, heights, strict=True):
        more = item.error or f"{len(item.nodes)} nsqd"
        boxes += [_box(
            "lookupd", y, item.address, item.address, _("down") if item.error else "",
            target=("lookup",), state="down" if item.error else "",
            title=f"nsqlookupd {item.address}: {more}",
        )]  # fmt: skip
    return boxes


def _registrations(
    snapshot: Snapshot, nodes: Sequence[NodeState], boxes: Mapping[str, Box]
) -> Iterable[Edge]:
    for lookupd in snapshot.lookupds:
        for node in nodes:
            if not lookupd.error:
                state = "registered" if node.address in lookupd.nodes else "missing"
                yield _edge(boxes, f"lookupd:{lookupd.address}", f"node:{node.address}", state)


def _flows(topics: Sequence[TopicStats], boxes: Mapping[str, Box]) -> Iterable[Edge]:
    for topic in topics:
        target = f"topic:{topic.topic_name}"
        for part in topic_parts(topic):
            if f"node:{part.node}" in boxes:
                yield _edge(boxes, f"node:{part.node}", target, "", part.rate)
        for channel in topic.channels:
            key = f"{topic.topic_name}/{channel.channel_name}"
            yield _edge(boxes, target, f"channel:{key}", "", channel.rate)
            state = "" if channel.client_count else "missing"
            yield _edge(boxes, f"channel:{key}", f"consumer:{key}", state, channel.rate)


def _edge(boxes: Mapping[str, Box], start: str, end: str, state: str, flow: float = 0.0) -> Edge:
    left, right = boxes[start], boxes[end]
    x1, x2 = left.x + left.width, right.x
    middle = (x1 + x2) / 2
    path = (
        f"M{x1:.0f} {left.middle:.0f}C{middle:.0f} {left.middle:.0f}"
        f" {middle:.0f} {right.middle:.0f} {x2:.0f} {right.middle:.0f}"
    )
    weight = 0 if flow < 0.05 else min(4, 1 + max(0, int(math.log10(max(flow, 1)))))
    return Edge(start=start, end=end, path=path, weight=weight, state=state)
