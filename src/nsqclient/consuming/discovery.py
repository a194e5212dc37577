"""Finding the nsqds that have a topic, by asking nsqlookupd again and again.

Each nsqlookupd is asked in a loop of its own, with jitter, so that a slow or
dead one delays nobody. What counts is what those say that answer; only if none
does, what they said last.

Before an nsqd is dialled again, the nsqlookupds are asked whether it still has
the topic, and whether the channel still exists: subscribing would make anew
what somebody has deleted.
"""

import logging
import re
import ssl
from collections.abc import Callable
from fnmatch import translate

import anyio
from attrs import Factory, define, frozen

from nsqclient.connection.stream import check_address
from nsqclient.core.errors import HttpError, without_traceback
from nsqclient.core.reconnect import ReconnectDelay, jittered
from nsqclient.http.lookupd import LookupdHttp
from nsqclient.http.producers import Found
from nsqcore.names import is_valid_name
from nsqcore.redaction import redact

log = logging.getLogger("nsqclient")

# What answers for so long (s) as no nsqlookupd does, and never did otherwise, is none.
WRONG_FOR = 3.0

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


@frozen(kw_only=True)
class LookupdSettings:
    """How nsqlookupds are asked. Seconds; ``jitter`` is the largest part added to ``interval``."""

    interval: float = 60.0
    jitter: float = 0.3
    timeout: float = 5.0
    tls: ssl.SSLContext | None = None
    auth_secret: str | None = None


@define(eq=False)
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
    _wrong_since: dict[str, float] = Factory(dict)
    _answers: dict[str, set[Source]] = Factory(dict)
    _silent: set[str] = Factory(set)
    _reported: set[Source] | None = None
    _soon: anyio.Event = Factory(anyio.Event)
    _registered: set[str] = Factory(set)
    _gone: set[Source] = Factory(set)
    _held_off: dict[Source, float] = Factory(dict)

    async def poll(self, lookupd: str) -> None:
        """Ask the nsqlookupd at ``lookupd`` for ever."""
        shown = redact(lookupd)
        interval = self.settings.interval
        failing, hurry = ReconnectDelay(interval), ReconnectDelay(interval)
        async with self._open(lookupd) as api:
            while True:
                soon = self._soon
                try:
                    answer = await self._ask(api)
                except HttpError as error:
                    delay = failing.delay()
                    log.warning("lookupd(%s): %s; asking again in %.1f s", shown, error, delay)
                    self._silent.add(lookupd)
                    self._update()
                    self._note_wrong(lookupd, error)
                else:
                    failing.succeeded()
                    # A topic nobody has yet, or that an nsqd had, is about to come: look for it
                    # more often.
                    self._gone -= answer
                    missing = not answer or bool(self._gone)
                    delay = hurry.delay() if missing else jittered(interval, self.settings.jitter)
                    if delay >= interval / 2:
                        self._gone.clear()
                    self._silent.discard(lookupd)
                    self._answers[lookupd] = answer
                    self._update()
                with anyio.move_on_after(delay):
                    await soon.wait()
                    hurry.succeeded()

    def _note_wrong(self, lookupd: str, error: HttpError) -> None:
        if not error.wrong_server:
            self._wrong_since.pop(lookupd, None)
            return
        now = anyio.current_time()
        self._wrong_since.setdefault(lookupd, now)
        if self._answers or len(self._wrong_since) < len(set(self.lookupds)):
            return
        if self.failed is not None and now - max(self._wrong_since.values()) >= WRONG_FOR:
            without_traceback(error)
            self.failed(error)

    async def has(self, source: Source) -> bool:
        """Whether ``source`` is still to be dialled, after its connection has ended."""
        answers = await self._lookups(source.topic)
        if not answers:
            return True  # nobody knows better
        if not any(_names(found, source) for found in answers):
            for answer in self._answers.values():
                answer.discard(source)
            self._gone.add(source)
            self._update()
            self._soon.set()
            self._soon = anyio.Event()
            return False
        if self._is_deleted(source.topic, answers):
            # What nsqlookupd says of the topic makes it dialled again, but not at once.
            self._held_off[source] = anyio.current_time() + self.settings.interval
            self._update()
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
                async with self._open(lookupd) as api:
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

    def _open(self, lookupd: str) -> LookupdHttp:
        settings = self.settings
        return LookupdHttp(
            lookupd, timeout=settings.timeout, tls=settings.tls, auth_secret=settings.auth_secret
        )

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
        answer |= {Source(topic, address) for address in _addresses(found)}

    def _update(self) -> None:
        """Report what is named now, if that has changed."""
        living = [answer for name, answer in self._answers.items() if name not in self._silent]
        named = set().union(*(living or self._answers.values()))
        now = anyio.current_time()
        self._held_off = {s: until for s, until in self._held_off.items() if now < until}
        named -= self._held_off.keys()
        if named != self._reported:
            log.debug("lookupd: %d nsqds are named", len(named))
            self._reported = named
            self.report(named)


def _names(found: Found, source: Source) -> bool:
    return source.address in _addresses(found)


def _addresses(found: Found) -> set[str]:
    addresses = set()
    for producer in found.producers:
        try:
            addresses.add(check_address(producer.tcp_address))
        except ValueError as error:
            log.warning("nsqlookupd names an nsqd wrongly: %s", error)
    return addresses
