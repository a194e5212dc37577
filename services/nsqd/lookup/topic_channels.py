"""A new topic gets the channels that it has elsewhere, before its messages go anywhere."""

import logging
from collections.abc import Callable

import trio

from nsqcore.classes import define, field
from nsqd.engine.broker import Broker
from nsqd.engine.topic import Topic
from nsqd.lookup.registrar import LookupRegistrar

logger = logging.getLogger(__name__)

# New topics whose channels are asked for at the same time: what a round of the loop has time for.
MAX_QUESTIONS = 64


@define(eq=False, repr=False)
class TopicChannels:
    """Creates the channels of new topics of ``broker``, and opens the topics.

    ``opened`` is called after a topic was opened: what waited in it can be delivered.
    """

    broker: Broker
    registrar: LookupRegistrar
    opened: Callable[[], None]
    _nursery: trio.Nursery | None = field(default=None, init=False)
    _questions: trio.CapacityLimiter = field(init=False)
    _waiting: dict[Topic, trio.Event] = field(factory=dict, init=False)
    _line: set[trio.CancelScope] = field(factory=set, init=False)

    def __attrs_post_init__(self) -> None:
        self._questions = trio.CapacityLimiter(MAX_QUESTIONS)

    def created(self, topic: Topic) -> None:
        """Take care of a topic that was created shut."""
        if self._nursery is None:
            self.broker.open_topic(topic)
        else:
            self._waiting[topic] = trio.Event()
            self._nursery.start_soon(self._open, topic)

    async def wait(self, topic: Topic) -> None:
        """Return once ``topic`` has the channels that it has elsewhere."""
        if topic in self._waiting:
            await self._waiting[topic].wait()

    async def run(self) -> None:
        """Ask until cancelled; without it topics are opened at once."""
        try:
            async with trio.open_nursery() as self._nursery:
                await trio.sleep_forever()
        finally:
            self._nursery = None
            for topic in list(self._waiting):
                self._done(topic)

    async def _open(self, topic: Topic) -> None:
        try:
            names = await self._ask(topic)
            for name in names if not topic.deleted else ():
                self.broker.create_channel(topic.name, name)
        except Exception as error:  # those who subscribe create their channels themselves
            logger.error("TOPIC(%s): failed to create its channels - %r", topic.name, error)
        finally:
            self._done(topic)
        self.opened()

    async def _ask(self, topic: Topic) -> list[str]:
        """The channels that ``topic`` has elsewhere, once there is a place to ask.

        Who stands in line when no nsqlookupd answers another's question in time asks none: a stuck
        nsqlookupd holds a publish up for one timeout, however many topics are new.
        """
        with trio.CancelScope() as scope:
            self._line.add(scope)
            try:
                await self._questions.acquire()
            finally:
                self._line.discard(scope)
        if scope.cancelled_caught:
            logger.error("TOPIC(%s): no nsqlookupd answers, its channels are not known", topic.name)
            return []
        try:
            names = await self.registrar.existing_channels(topic.name)
            if names is None:  # before the place is free for the next in line
                for waiting in self._line:
                    waiting.cancel()
            return names or []
        finally:
            self._questions.release()

    def _done(self, topic: Topic) -> None:
        self._waiting.pop(topic).set()
        if not topic.deleted:
            self.broker.open_topic(topic)
