"""What comes into a topic, looked at again and again: read-only, by ``/message/list``.

Nothing is consumed, and no channel is made. A durable topic's log has every message; elsewhere one
is seen as long as it is queued, in flight or waits in the topic itself, so that what comes and goes
between two looks is missed. A message is in several channels under one id, and is shown once.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nsqadmin.collect.snapshot import Snapshot
from nsqcore.classes import define, field, frozen
from nsqcore.cluster.each.messages import MessagePage, list_everywhere
from nsqcore.cluster.upstream import AllFailed, Upstream
from nsqcore.readers import count, text

# Seconds that a message may be old: a few looks, for nsqds that answer late.
WINDOW = 10
# Messages of one nsqd in one look at one queue; a page of text a second is more than anybody reads.
PER_LOOK = 50
# Channels that are looked at: all have the same messages, and those without consumers for longest.
MAX_CHANNELS = 3
_MAX_SEEN = 10_000
_LONGEST = 400


@frozen
class Source:
    """One list to look at: a state of the topic, or of a channel of it."""

    state: str
    channel: str = ""

    def params(self, topic: str) -> dict[str, str]:
        """The query for nsqds."""
        of = {"channel": self.channel} if self.channel else {}
        return {"topic": topic, "state": self.state, **of}


@define(eq=False, repr=False)
class Tail:
    """The messages of ``topic``, or of ``channel`` of it, as they come.

    Args:
        nodes: the nsqds that have the topic.
    """

    upstream: Upstream
    topic: str
    channel: str
    nodes: Sequence[str]
    snapshot: Callable[[], Snapshot]
    _seen: OrderedDict[tuple[str, str], None] = field(factory=OrderedDict)
    _cursors: dict[tuple[str, Source], str] = field(factory=dict)

    async def look(self) -> list[dict[str, Any]]:
        """The messages that were not there before, the oldest first.

        Raises:
            AllFailed: no nsqd answers.
        """
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for source in sources(self.snapshot(), self.topic, self.channel):
            for page in await self._pages(source):
                for message in page.messages:
                    key = (page.node, text(message, "id"))
                    if key not in self._seen:
                        found.setdefault(key, {**message, "node": page.node})
        for key in found:
            self._seen[key] = None
        while len(self._seen) > _MAX_SEEN:
            self._seen.popitem(last=False)
        return sorted(found.values(), key=lambda message: count(message, "timestamp"))

    async def _pages(self, source: Source) -> list[MessagePage]:
        asked = {
            **source.params(self.topic),
            "body": "text",
            "max_body": str(_LONGEST),
            "max_age": f"{WINDOW}s",
            "limit": str(PER_LOOK),
        }
        pages: list[MessagePage] = []
        plain = [node for node in self.nodes if (node, source) not in self._cursors]
        if plain:
            pages += (await list_everywhere(self.upstream, plain, asked)).value
        for node in [node for node in self.nodes if (node, source) in self._cursors]:
            pages += await self._continued(node, source, asked)
        for page in pages:
            if page.next:
                # it looked at as many as it may; the others are behind them
                self._cursors[page.node, source] = page.next
        return pages

    async def _continued(
        self, node: str, source: Source, asked: Mapping[str, str]
    ) -> Sequence[MessagePage]:
        """The page that follows the last full one; the first one if that is gone."""
        cursor = self._cursors.pop((node, source))
        try:
            pages = (await list_everywhere(self.upstream, [node], {**asked, "next": cursor})).value
        except AllFailed:  # the queue was emptied or made anew, or nsqd was restarted
            return (await list_everywhere(self.upstream, [node], asked)).value
        if pages and not pages[0].next:
            self._cursors[node, source] = cursor
        return pages


def sources(snapshot: Snapshot, topic: str, channel: str) -> list[Source]:
    """Where the messages of a topic can be seen."""
    found = snapshot.topics.get(topic)
    if channel:
        return [Source("queued", channel), Source("in_flight", channel)]
    if found is not None and found.durability:
        return [Source("log")]
    channels = sorted(found.channels if found else (), key=lambda c: (c.client_count, -c.depth))
    listed = [
        Source(state, one.channel_name)
        for one in channels[:MAX_CHANNELS]
        for state in ("queued", "in_flight")
    ]
    return [*listed, Source("queued")]
