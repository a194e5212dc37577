"""What of a channel needs a person: no consumers, growing, failing, dead letters that wait.

Dead letters of a channel wait in the topic that nsqds name, or else in ``TOPIC.dead``.
"""

from collections.abc import Mapping, Sequence

from nsqadmin.collect.history import History
from nsqadmin.collect.snapshot import Snapshot, total_depth
from nsqadmin.drawing.formats import commas
from nsqadmin.language.spoken import N_
from nsqadmin.language.spoken import gettext as _
from nsqcore.classes import frozen
from nsqcore.cluster.stats import ChannelStats
from nsqcore.names import dead_letter_topic, is_dead_letter_topic

# Steps of the history, 10 s each: five minutes tell a rise from a wave, a minute tells what fails
# now, and is long enough that rows do not jump.
_RISE, _NOW = 30, 6
_SHORTEST_RISE = 6
# Less than these is the daily noise of a queue.
_LEAST_RISE, _LEAST_FAILURES = 10, 3
_RISE_SHARE, _FAILURE_SHARE = 0.1, 0.05
_STEP = 10


@frozen
class Need:
    """One thing, the worse it is the larger its ``weight``."""

    weight: int
    label: str
    title: str


@frozen(eq=False)
class ChannelRow:
    """A channel in the list of channels, and what it needs, the worst first."""

    stats: ChannelStats
    needs: Sequence[Need] = ()
    letters: int = 0  # that wait where those of its topic go
    buries: bool = False  # it is a channel of a dead-letter topic

    @property
    def weight(self) -> int:
        """How much it needs somebody."""
        return sum(need.weight for need in self.needs)


def channel_rows(snapshot: Snapshot, history: History) -> list[ChannelRow]:
    """Every channel of the cluster."""
    now = snapshot.taken / 1e9
    graves = _graves(snapshot)
    return [
        _row(channel, _letters(snapshot, channel, graves), name in graves, history, now)
        for name, topic in snapshot.topics.items()
        for channel in topic.channels
    ]


def letters_of(snapshot: Snapshot, channel: ChannelStats) -> int:
    """Dead letters that wait and may be those of ``channel``, or are in its topic."""
    return _letters(snapshot, channel, _graves(snapshot))


def _letters(
    snapshot: Snapshot, channel: ChannelStats, graves: Mapping[str, Sequence[ChannelStats]]
) -> int:
    name = channel.topic_name
    if name not in graves:
        name = _grave_of(channel)
        others = graves.get(name, ())
        # nsqds may say whose they were
        if not channel.dead_count and any(other.dead_count for other in others):
            return 0
    topic = snapshot.topics.get(name)
    return total_depth(topic) if topic else 0


def _grave_of(channel: ChannelStats) -> str:
    return channel.dead_letter_topic or dead_letter_topic(channel.topic_name)


def _graves(snapshot: Snapshot) -> Mapping[str, Sequence[ChannelStats]]:
    """The topics of dead letters that there are, with the channels whose go there."""
    found: dict[str, list[ChannelStats]] = {
        name: [] for name in snapshot.topics if is_dead_letter_topic(name)
    }
    for topic in snapshot.topics.values():
        for channel in topic.channels:
            name = _grave_of(channel)
            if name in snapshot.topics:
                found.setdefault(name, []).append(channel)
    return found


def _row(
    channel: ChannelStats, letters: int, buries: bool, history: History, now: float
) -> ChannelRow:
    entity = ("channel", channel.topic_name, channel.channel_name)
    found: list[Need] = []
    if not channel.client_count and channel.depth and not buries:
        found.append(Need(8, N_("no consumers"), _("Messages wait, and nobody takes them")))
    if channel.depth > _LEAST_RISE and not channel.paused and not buries:
        depths = history.latest(entity, "depth", now=now, steps=_RISE)
        if rise := rise_of(depths):
            minutes = max(1, round(len(depths) * _STEP / 60))
            count = commas(rise)
            title = _("%(count)s more than %(minutes)s min ago", count=count, minutes=minutes)
            found.append(Need(4, N_("growing"), title))
    if channel.requeue_count + channel.timeout_count:
        failures = history.latest(entity, "failures", now=now, steps=_NOW)
        failed = int(failures[-1] - failures[0]) if failures else 0
        if failed >= max(_LEAST_FAILURES, _FAILURE_SHARE * channel.rate * _NOW * _STEP):
            title = _("%(count)s requeued or timed out within a minute", count=commas(failed))
            found.append(Need(2, N_("failing"), title))
    if letters:
        title = _("%(count)s dead letters wait", count=commas(letters))
        found.append(Need(1, N_("dead letters"), title))
    return ChannelRow(channel, found, letters, buries)


def rise_of(depths: Sequence[float]) -> int:
    """By how much a queue has grown, step by step; 0 if it goes up and down, or hardly rises."""
    if len(depths) < _SHORTEST_RISE:
        return 0
    third = len(depths) // 3
    parts = [depths[:third], depths[third : 2 * third], depths[2 * third :]]
    first, second, last = (sum(part) / len(part) for part in parts)
    rise = depths[-1] - depths[0]
    if not first < second < last or rise < max(_LEAST_RISE, _RISE_SHARE * depths[0]):
        return 0
    return int(rise)
