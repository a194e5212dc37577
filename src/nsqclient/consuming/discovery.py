"""Finding the nsqds that have a topic, by asking nsqlookupd again and again.

Each nsqlookupd is asked in a loop of its own, with jitter, so that a slow or
dead one delays nobody. What one said last stands until it says something else:
an nsqlookupd that cannot be reached, or answers nonsense, takes no connection away.
"""

import logging
import re
from collections.abc import Callable
from fnmatch import translate

import anyio
from attrs import Factory, define, field, frozen, validators

from nsqclient.core.errors import HttpError
from nsqclient.core.reconnect import ReconnectDelay, jittered
from nsqclient.http.lookupd import LookupdHttp
from nsqcore.names import is_valid_name
from nsqcore.redaction import redact

log = logging.getLogger("nsqclient")


@frozen
class Source:
    """A topic at an nsqd: what one connection subscribes to."""

    topic: str
    address: str


def topic_filter(pattern: str | re.Pattern[str]) -> Callable[[str], bool]:
    """Whether a topic's whole name fits: ``*`` and ``?`` in a string, or a compiled expression."""
    compiled = re.compile(translate(pattern)) if isinstance(pattern, str) else pattern
    return lambda name: compiled.fullmatch(name) is not None


@define(eq=False)
class Discovery:
    """Asks nsqlookupds and reports all that they name, whenever that changes.

    ``topic`` is a name, or tells which names are meant. ``interval`` is in
    seconds, ``jitter`` the largest part of it added at random.
    """

    topic: str | Callable[[str], bool]
    interval: float = field(validator=validators.gt(0))
    jitter: float = field(validator=validators.ge(0))
    timeout: float = field(validator=validators.gt(0))
    found: Callable[[set[Source]], None]
    _answers: dict[str, set[Source]] = Factory(dict)

    async def poll(self, lookupd: str) -> None:
        """Ask the nsqlookupd at ``lookupd`` for ever."""
        shown = redact(lookupd)
        failing, empty = ReconnectDelay(self.interval), ReconnectDelay(self.interval)
        async with LookupdHttp(lookupd, timeout=self.timeout) as api:
            while True:
                try:
                    answer = await self._ask(api)
                except HttpError as error:
                    delay = failing.delay()
                    log.warning("lookupd(%s): %s; asking again in %.1f s", shown, error, delay)
                else:
                    failing.succeeded()
                    # A topic nobody has yet is about to come: look for it more often.
                    delay = jittered(self.interval, self.jitter) if answer else empty.delay()
                    if answer:
                        empty.succeeded()
                    self._report(lookupd, answer)
                await anyio.sleep(delay)

    async def _ask(self, api: LookupdHttp) -> set[Source]:
        if isinstance(self.topic, str):
            return await self._producers(api, self.topic)
        answer: set[Source] = set()
        for name in await api.topics():
            if is_valid_name(name) and self.topic(name):
                answer |= await self._producers(api, name)
        return answer

    async def _producers(self, api: LookupdHttp, topic: str) -> set[Source]:
        found = (await api.lookup(topic)).producers
        return {Source(topic, producer.tcp_address) for producer in found}

    def _report(self, lookupd: str, answer: set[Source]) -> None:
        if answer != self._answers.get(lookupd):
            log.debug("lookupd(%s): names %d nsqds", redact(lookupd), len(answer))
            self._answers[lookupd] = answer
            self.found(set().union(*self._answers.values()))
