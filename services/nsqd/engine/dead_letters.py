"""Dead letters: what becomes of messages that are not to be delivered again.

A channel tells of them as they come; at the tick's end they go to their dead-letter topics, many at
a time. Where both topics are durable that is one step, which a crash makes or does not make. Else a
message is published first and let go of then, so that a crash may leave it in both.

What can't be moved goes back to where it was, and is tried again a little later.

A message that is too old, or too much, may be so again where it goes, and come back. One that
nobody has failed makes no second round: it is dropped where it would come to a topic again.
"""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial

from nsqcore.classes import Factory, define
from nsqcore.wire.hot import HEADER_SIZE
from nsqd.engine.channel import Channel
from nsqd.engine.departures import Death, Parting
from nsqd.engine.epitaphs import Epitaph
from nsqd.engine.errors import Exiting
from nsqd.engine.messages.message import body, message_id, requeued
from nsqd.engine.publisher import Publisher
from nsqd.engine.rules import DEAD_LETTER, Rules
from nsqd.engine.topic import Topic
from nsqd.policies.keys import DISCARD, dead_letter_topic

# How soon what could not be moved is tried again, in ns.
RETRY = 1_000_000_000
# Messages that may go round, and whose way is remembered: some MB. Others make one round more.
MOST_ROUNDS = 20_000


@define(eq=False, repr=False)
class DeadLetters:
    """Moves what is dead, by way of ``publisher``. ``warn`` tells an operator."""

    publisher: Publisher
    warn: Callable[[str], None]
    #: Has a topic be as durable as is said; raises OSError.
    make_as_safe: Callable[[Topic, str], None]
    waiting: dict[Channel, None] = Factory(dict)
    #: The topics that messages have left unfailed, where these lead round; by their ids now.
    _ways: OrderedDict[bytes, frozenset[str]] = Factory(OrderedDict)

    def add(self, channel: Channel) -> None:
        """Something is to leave ``channel``."""
        self.waiting[channel] = None

    def bury(self, now: int, wall: int) -> None:
        """Move all that waits. ``wall`` is the wall clock in ns."""
        waiting, self.waiting = self.waiting, {}
        for channel in waiting:
            departures = channel.departures
            partings, departures.partings = departures.partings, []
            for parting in partings:
                self._bury(channel, parting, now, wall)

    def _bury(self, channel: Channel, parting: Parting, now: int, wall: int) -> None:
        name = dead_letter_topic(channel.topic, channel.rules.dead_letter_topic)
        if channel.deleted:
            return
        records = parting.records
        dropped = records if name == DISCARD else self._gone_round(channel, parting, name)
        if dropped:
            channel.queue.finish([message_id(record) for record in dropped])
            _gone(channel, parting, dropped, moved=False)
            if len(dropped) == len(records):
                return
            ids = set(map(message_id, dropped))
            records = [record for record in records if message_id(record) not in ids]
        if not name:
            self._stays(
                channel,
                parting,
                records,
                now,
                f"{channel.topic}.dead is too long for a topic",
            )
            return
        try:
            self._move(channel, parting, records, self.publisher.topic(name), now, wall)
        except OSError as error:
            self.publisher.health.failed(error)
            self._stays(channel, parting, records, now, str(error))
        except Exiting as error:
            self._stays(channel, parting, records, now, str(error))

    def _gone_round(self, channel: Channel, parting: Parting, name: str) -> list[bytes]:
        """Those that have been in the topic ``name``, and which nobody has failed since."""
        if parting.death not in (Death.EXPIRED, Death.OVERFLOW):
            return []
        if name == channel.topic:
            return parting.records
        ways = self._ways
        return [one for one in parting.records if name in ways.get(message_id(one), ())]

    def _note_way(
        self, channel: Channel, parting: Parting, old: list[bytes], new: list[bytes], name: str
    ) -> None:
        """``new`` records are in the topic ``name`` in place of the ``old`` ones."""
        unfailed = parting.death in (Death.EXPIRED, Death.OVERFLOW)
        if not unfailed or not self._leads_to(channel.topic, name):
            return
        here, ways = frozenset((channel.topic,)), self._ways
        for before, after in zip(old, new, strict=True):
            ways[message_id(after)] = here | ways.get(message_id(before), here)
        while len(ways) > MOST_ROUNDS:
            ways.popitem(last=False)

    def _leads_to(self, wanted: str, name: str) -> bool:
        """Whether what is in the topic ``name`` may come to the topic ``wanted`` unfailed."""
        todo, seen = [name], set[str]()
        while todo:
            name = todo.pop()
            if name == wanted:
                return True
            topic = self.publisher.topics.get(name)
            if topic is not None and name not in seen:
                seen.add(name)
                every = [channel.rules for channel in topic.channels.values()]
                todo += [
                    dead_letter_topic(name, rules.dead_letter_topic)
                    for rules in every
                    if _sends_on(rules)
                ]
        return False

    def _move(
        self,
        channel: Channel,
        parting: Parting,
        old: list[bytes],
        owner: Topic,
        now: int,
        wall: int,
    ) -> None:
        """Move ``old`` records, of ``parting``, to ``owner``. Raises OSError, Exiting."""
        source = self.publisher.topics[channel.topic]
        if source.log is not None and source.durable and not owner.durable:
            self.make_as_safe(owner, source.log.promise)
        if not owner.durable:
            bodies = [body(each) if channel.headed else each[HEADER_SIZE:] for each in old]
            records = self.publisher.put(owner, bodies, wall)
            self._note_way(channel, parting, old, records, owner.name)
            channel.queue.finish([message_id(record) for record in old])
            _gone(channel, parting, old, moved=True)
            return
        epitaph = Epitaph(channel.topic, channel.name, parting, wall)
        letters = epitaph.letters(old, headed=channel.headed)
        records = self.publisher.make_records(letters, wall, headed=True)
        self._note_way(channel, parting, old, records, owner.name)
        moved = partial(self._moved, channel, parting, now)
        owner.move(channel.queue, old, records, moved)

    def _moved(
        self, channel: Channel, parting: Parting, now: int, taken: list[bytes], failure: str | None
    ) -> None:
        if failure is None:
            _gone(channel, parting, taken, moved=True)
        else:
            self._stays(channel, parting, taken, now, failure)

    def _stays(
        self, channel: Channel, parting: Parting, taken: list[bytes], now: int, failure: str
    ) -> None:
        self.warn(
            f"CHANNEL({channel.topic}:{channel.name}): {len(taken)} dead messages"
            f" stay where they are for now - {failure}"
        )
        _back(channel, parting, taken, now + RETRY, failure)


def _sends_on(rules: Rules) -> bool:
    """Whether messages die of it which nobody has failed, and go elsewhere."""
    return bool(rules.message_ttl) or (rules.trims and rules.overflow == DEAD_LETTER)


def _gone(channel: Channel, parting: Parting, taken: list[bytes], *, moved: bool) -> None:
    """The messages ``taken`` have left: they were ``moved``, or dropped."""
    gone = channel.departures.arrived(taken)
    channel.departures.deaths.count(parting.death, len(gone), moved=moved)
    parting.went(len(taken))


def _back(channel: Channel, parting: Parting, taken: list[bytes], due: int, failure: str) -> None:
    """The messages ``taken`` could not be moved: they are queued again at ``due``."""
    if back := channel.departures.arrived(taken):
        channel.queue.defer([requeued(record) for record in back], due)
        channel.deadlines.arm(channel, due)
    parting.failed(failure)
