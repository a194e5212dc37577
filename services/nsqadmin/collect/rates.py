"""Messages per second, from counters that were read a few seconds apart.

One `RateWindow` per nsqd holds the counters of the last few looks. For a daemon that was restarted
the rule is that of `nsqcore.cluster.rates`. Times are nanoseconds of the monotonic clock, given by
the caller.
"""

from collections import deque

from nsqcore.classes import define, field
from nsqcore.cluster.rates import since
from nsqcore.cluster.stats import TopicStats
from nsqcore.units import SECOND

# Short enough to follow what one sees happen, long enough that 1/s is no flicker of 0 and 2.
WINDOW = 5 * SECOND
Key = tuple[str, str]  # topic and channel; an empty channel is the topic itself


@define(eq=False, repr=False)
class RateWindow:
    """The message counters of one nsqd, of late."""

    _looks: deque[tuple[int, dict[Key, int]]] = field(factory=deque)

    def fill_in(self, topics: tuple[TopicStats, ...], *, now: int) -> None:
        """Set ``rate`` of the topics and their channels, just read from this nsqd."""
        counts: dict[Key, int] = {}
        for topic in topics:
            counts[topic.topic_name, ""] = topic.message_count
            for channel in topic.channels:
                counts[topic.topic_name, channel.channel_name] = channel.message_count
        # The oldest look inside the window, or the last one if all are older.
        while len(self._looks) > 1 and self._looks[0][0] < now - WINDOW:
            self._looks.popleft()
        if self._looks:
            then, before = self._looks[0]
            seconds = max(now - then, 1) / SECOND
            for topic in topics:
                topic.rate = _rate(before, counts, (topic.topic_name, ""), seconds)
                for channel in topic.channels:
                    key = (topic.topic_name, channel.channel_name)
                    channel.rate = _rate(before, counts, key, seconds)
        self._looks.append((now, counts))


def _rate(before: dict[Key, int], after: dict[Key, int], key: Key, seconds: float) -> float:
    return since(before.get(key, 0), after[key]) / seconds
