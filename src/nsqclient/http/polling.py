"""Asking nsqlookupds again and again, for consumers and for producers.

Each nsqlookupd is asked in a loop of its own, with jitter, so that a slow or
dead one delays nobody. What counts is what those say that answer; only if none
does, what they said last.
"""

import logging
import ssl
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import anyio

from nsqclient.connection.stream import check_address
from nsqclient.core.arguments import Duration, Secret, instance, seconds
from nsqclient.core.errors import HttpError, without_traceback
from nsqclient.core.options import ConnectionOptions
from nsqclient.core.reconnect import ReconnectDelay, jittered
from nsqclient.http.lookupd import LookupdHttp
from nsqclient.http.producers import Producer
from nsqcore.classes import Factory, define, field, frozen
from nsqcore.redaction import redact

log = logging.getLogger("nsqclient")

# What answers for so long (s) as no nsqlookupd does, and never did otherwise, is none.
WRONG_FOR = 3.0

T = TypeVar("T")


@frozen(kw_only=True)
class LookupdSettings:
    """How nsqlookupds are asked. Seconds; ``jitter`` is the largest part added to ``interval``."""

    interval: float = 60.0
    jitter: float = 0.3
    timeout: float = 5.0
    tls: ssl.SSLContext | None = None
    auth_secret: Secret | None = field(default=None, repr=False)

    def open(self, lookupd: str) -> LookupdHttp:
        """The HTTP interface of the nsqlookupd at ``lookupd``, to be entered."""
        return LookupdHttp(
            lookupd, timeout=self.timeout, tls=self.tls, auth_secret=self.auth_secret
        )


def lookupd_settings(
    options: ConnectionOptions,
    interval: Duration,
    jitter: float,
    timeout: Duration,
    tls: ssl.SSLContext | None,
) -> LookupdSettings:
    """The arguments ``lookupd_…`` of a consumer or a producer, checked."""
    if tls is not None:
        instance(tls, ssl.SSLContext, "lookupd_tls")
    return LookupdSettings(
        interval=seconds(interval, "lookupd_poll_interval", above=True),
        jitter=seconds(jitter, "lookupd_poll_jitter"),
        timeout=seconds(timeout, "lookupd_timeout", above=True),
        tls=tls,
        auth_secret=options.auth_secret if options.lookupd_authorization else None,
    )


@define(eq=False, repr=False)
class Polling(Generic[T]):
    """Asks nsqlookupds and reports all that they name, whenever that changes.

    ``ask`` gets one answer, ``failed`` is called with the error if nothing that was asked turns
    out to be an nsqlookupd that takes us, ``changed`` after every answer and every failure.

    Attributes:
        answers: what each nsqlookupd said last.
        errors: why those do not answer that are silent now.
        heard: how often each has answered or failed.
    """

    lookupds: list[str]
    settings: LookupdSettings
    ask: Callable[[LookupdHttp], Awaitable[set[T]]]
    report: Callable[[set[T]], None]
    failed: Callable[[HttpError], None] | None = None
    changed: Callable[[], None] | None = None
    answers: dict[str, set[T]] = Factory(dict)
    errors: dict[str, str] = Factory(dict)
    heard: dict[str, int] = field(init=False)
    _wrong_since: dict[str, float] = Factory(dict)
    _reported: set[T] | None = None
    _soon: anyio.Event = Factory(anyio.Event)
    _gone: set[T] = Factory(set)
    _held_off: dict[T, float] = Factory(dict)

    def __attrs_post_init__(self) -> None:
        self.heard = dict.fromkeys(self.lookupds, 0)

    async def poll(self, lookupd: str) -> None:
        """Ask the nsqlookupd at ``lookupd`` for ever."""
        shown = redact(lookupd)
        interval = self.settings.interval
        failing, hurry = ReconnectDelay(interval), ReconnectDelay(interval)
        async with self.settings.open(lookupd) as api:
            while True:
                soon = self._soon
                try:
                    answer = await self.ask(api)
                except HttpError as error:
                    delay = failing.delay()
                    log.warning("lookupd(%s): %s; asking again in %.1f s", shown, error, delay)
                    without_traceback(error)
                    self.errors[lookupd] = str(error)
                    self.update()
                    self._note_wrong(lookupd, error)
                else:
                    failing.succeeded()
                    self.errors.pop(lookupd, None)
                    self.answers[lookupd] = answer
                    self.update()
                    # What nobody has yet, or what has just gone, is about to come: look for it
                    # more often.
                    self._gone -= answer
                    missing = not answer or bool(self._gone)
                    delay = hurry.delay() if missing else jittered(interval, self.settings.jitter)
                    if delay >= interval / 2:
                        self._gone.clear()
                self.heard[lookupd] += 1
                if self.changed is not None:
                    self.changed()
                with anyio.move_on_after(delay):
                    await soon.wait()
                    hurry.succeeded()

    def ask_all(self) -> None:
        """Ask every nsqlookupd at once."""
        self._soon.set()
        self._soon = anyio.Event()

    def forget(self, name: T) -> None:
        """Drop what was named: an nsqlookupd has it no longer; look for it again soon."""
        for answer in self.answers.values():
            answer.discard(name)
        self._gone.add(name)
        self.update()
        self.ask_all()

    def miss(self, names: set[T]) -> None:
        """Look for ``names``, which were there, more often for a while."""
        self._gone |= names

    def hold_off(self, name: T) -> None:
        """Report ``name`` as not there for one interval, whatever is said of it."""
        self._held_off[name] = anyio.current_time() + self.settings.interval
        self.update()

    def update(self) -> None:
        """Report what is named now, if that has changed."""
        living = [answer for name, answer in self.answers.items() if name not in self.errors]
        named: set[T] = set().union(*(living or self.answers.values()))
        now = anyio.current_time()
        self._held_off = {name: until for name, until in self._held_off.items() if now < until}
        named -= self._held_off.keys()
        if named != self._reported:
            log.debug("lookupd: %d nsqds are named", len(named))
            self._reported = named
            self.report(named)

    def _note_wrong(self, lookupd: str, error: HttpError) -> None:
        if not error.wrong_server:
            self._wrong_since.pop(lookupd, None)
            return
        now = anyio.current_time()
        self._wrong_since.setdefault(lookupd, now)
        if self.answers or len(self._wrong_since) < len(set(self.lookupds)):
            return
        if self.failed is not None and now - max(self._wrong_since.values()) >= WRONG_FOR:
            self.failed(error)


def tcp_addresses(producers: list[Producer]) -> set[str]:
    """Where the TCP clients of ``producers`` connect; those that nobody could dial are logged."""
    found = set()
    for producer in producers:
        try:
            found.add(check_address(producer.tcp_address))
        except ValueError as error:
            log.warning("nsqlookupd names an nsqd wrongly: %s", error)
    return found
