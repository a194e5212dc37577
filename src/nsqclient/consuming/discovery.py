"""Finding the nsqds that have a topic, by asking nsqlookupd again and again.

Before an nsqd is dialled again, the nsqlookupds are asked whether it still has
the topic, and whether the channel still exists: subscribing would make anew
what somebody has deleted.
"""

import logging
import re
from collections.abc import Callable, Mapping
from fnmatch import translate

import anyio

from nsqclient.core.errors import HttpError
from nsqclient.http.lookupd import LookupdHttp
from nsqclient.http.polling import LookupdSettings, Polling, tcp_addresses
from nsqclient.http.producers import Found
from nsqcore.classes import Factory, define, field, frozen
from nsqcore.names import is_valid_name
from nsqcore.redaction import redact

log = logging.getLogger("nsqclient")

# Lookups of different topics under way at one nsqlookupd.
LOOKUPS_AT_ONCE = 10


@frozen
class Source:
    """A topic at an nsqd: what one connection subscribes to."""

    topic: str
    address: str


def topic_filter(pattern: str | re.Pattern[str]) -> Callable[[str], bool]:
    """Whether a topic's whole name fits: ``*`` and ``?`` in a string, or a compiled expression."""
    compiled = re.compile(translate(pattern)) if isinstance(pattern, str) else pattern
    return lambda name: compiled.fullmatch(name) is not None


@define(eq=False, repr=False)
class Discovery:
    """Asks nsqlookupds and reports all that they name, whenever that changes.

    ``topic`` is a name, or tells which names are meant. ``failed`` is called with the error if
    nothing that was asked turns out to be an nsqlookupd that takes us.
    """

    topic: str | Callable[[str], bool]
    channel: str
    lookupds: list[str]
    settings: LookupdSettings
    report: Callable[[set[Source]], None]
    failed: Callable[[HttpError], None] | None = None
    _polling: Polling[Source] = field(init=False)
    _registered: set[str] = Factory(set)

    def __attrs_post_init__(self) -> None:
        self._polling = Polling(self.lookupds, self.settings, self._ask, self.report, self.failed)

    @property
    def errors(self) -> Mapping[str, str]:
        """Why those nsqlookupds do not answer that are silent now."""
        return self._polling.errors

    async def poll(self, lookupd: str) -> None:
        """Ask the nsqlookupd at ``lookupd`` for ever."""
        await self._polling.poll(lookupd)

    async def has(self, source: Source) -> bool:
        """Whether ``source`` is still to be dialled, after its connection has ended."""
        answers = await self._lookups(source.topic)
        if not answers:
            return True  # nobody knows better
        if not any(_names(found, source) for found in answers):
            self._polling.forget(source)
            return False
        if self._is_deleted(source.topic, answers):
            # What nsqlookupd says of the topic makes it dialled again, but not at once.
            self._polling.hold_off(source)
            return False
        return True

    async def subscribed(self, topic: str) -> None:
        """Learn that nsqlookupd knows the channel, so that it is missed when it is deleted."""
        if topic not in self._registered:
            await anyio.sleep(0.1)  # nsqd has registered it by then
            await self._lookups(topic)

    async def _lookups(self, topic: str) -> list[Found]:
        """What the nsqlookupds say of ``topic`` that answer."""
        answers: list[Found] = []

        async def ask(lookupd: str) -> None:
            try:
                async with self.settings.open(lookupd) as api:
                    answers.append(await api.lookup(topic))
            except HttpError as error:
                log.debug("lookupd(%s): %s", redact(lookupd), error)

        async with anyio.create_task_group() as tasks:
            for lookupd in self.lookupds:
                tasks.start_soon(ask, lookupd)
        for found in answers:
            self._learn(topic, found)
        return answers

    def _learn(self, topic: str, found: Found) -> None:
        if self.channel in found.channels:
            self._registered.add(topic)

    def _is_deleted(self, topic: str, answers: list[Found]) -> bool:
        """Whether the channel was registered and is no more; ephemeral ones go by themselves."""
        if self.channel.endswith("#ephemeral") or topic not in self._registered:
            return False
        if any(self.channel in found.channels for found in answers):
            return False
        self._registered.discard(topic)
        return True

    async def _ask(self, api: LookupdHttp) -> set[Source]:
        answer: set[Source] = set()
        if isinstance(self.topic, str):
            await self._producers(api, self.topic, answer)
            return answer
        names = [name for name in await api.topics() if is_valid_name(name) and self.topic(name)]
        errors: list[HttpError] = []
        limit = anyio.Semaphore(LOOKUPS_AT_ONCE)

        async def ask(name: str) -> None:
            async with limit:
                if not errors:
                    try:
                        await self._producers(api, name, answer)
                    except HttpError as error:
                        errors.append(error)

        async with anyio.create_task_group() as tasks:
            for name in names:
                tasks.start_soon(ask, name)
        if errors:
            raise errors[0]
        return answer

    async def _producers(self, api: LookupdHttp, topic: str, answer: set[Source]) -> None:
        found = await api.lookup(topic)
        self._learn(topic, found)
        answer |= {Source(topic, address) for address in tcp_addresses(found.producers)}


def _names(found: Found, source: Source) -> bool:
    return source.address in tcp_addresses(found.producers)
