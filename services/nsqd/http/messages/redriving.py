"""POST /message/redrive: dead letters go back to where they come from."""

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import trio

from nsqcore.access.roles import OPERATE_ALL
from nsqcore.classes import define, field
from nsqcore.http.request import Request
from nsqcore.http.responses import HttpError, Response, json
from nsqcore.http.router import Router
from nsqcore.names import is_dead_letter_topic
from nsqcore.wire.headers import split_record
from nsqd.engine.browsing.looking import IN_FLIGHT
from nsqd.engine.browsing.searching import withdraw
from nsqd.engine.channel import Channel
from nsqd.engine.epitaphs import TOPIC, headers_of
from nsqd.engine.errors import Exiting
from nsqd.engine.messages.message import message_id, requeued
from nsqd.engine.messages.queue import Place, Seen
from nsqd.engine.redrive import Redrive
from nsqd.engine.topic import Topic
from nsqd.http.messages import questions
from nsqd.http.messages.listing import SLICE
from nsqd.http.shared.context import NsqdApi
from nsqd.http.shared.slices import join_in_slices

logger = logging.getLogger(__name__)

# Messages that are sent back in one step.
STEP = 500
# The channel that is made where a dead-letter topic has none.
CHANNEL = "redrive"
MOST = 999_999_999
# Seconds after which what is on its way is not waited for any longer.
PATIENCE = 60


def add_routes(router: Router, api: NsqdApi) -> None:
    """Add it to ``router``."""
    # the topics that the letters go back to are named in them, not in the request
    router.add("POST", "/message/redrive", partial(redrive, api), rule=OPERATE_ALL)


async def redrive(api: NsqdApi, request: Request) -> Response:
    """POST /message/redrive?topic=[&channel=][&id=…][&limit=][&to=channel|topic].

    Takes them from ``channel`` of the dead-letter topic: the only one it has, if none is given, or
    one that is made. Answered when all that moved outlives a crash.
    """
    to = request.arg("to") or "channel"
    if to not in ("channel", "topic"):
        raise HttpError(400, "INVALID_ARG_TO", detail="to: expected channel or topic")
    ids = set(questions.ids(request)) if request.arg("id") is not None else None
    limit = questions.number(request, "limit", MOST, 1, MOST)
    topic, channel = _source(api, request)
    run = Run(api, topic, Redrive(api.broker.publisher, channel, to == "topic"))
    if ids is None:
        await run.oldest(limit)
    else:
        await run.chosen(ids)
    logger.info(
        "MESSAGES(%s:%s): redriven %d at the request of %s",
        topic.name,
        channel.name,
        run.redrive.result.moved,
        request.peer.address,
    )
    return run.answer(ids)


def _source(api: NsqdApi, request: Request) -> tuple[Topic, Channel]:
    """What is to be taken from. Raises HttpError."""
    target = questions.target(api.broker, request)
    topic, channel = target.topic, target.channel
    if channel is not None or topic.channels:
        channel = channel or _only_channel(topic)
        # what can't be sent back goes to the end of the queue: one of others keeps its order
        if channel.depth and not _has_letters(topic.name, channel.queue.look, channel.headed):
            raise _no_letters(f"{topic.name}:{channel.name}")
        return topic, channel
    # a channel would take what waits for the first one of others
    if not _has_letters(topic.name, topic.look, headed=True):
        raise _no_letters(topic.name)
    try:
        return topic, api.broker.create_channel(topic.name, CHANNEL)
    except Exiting as error:
        raise HttpError(503, "EXITING") from error
    except OSError as error:
        raise HttpError(500, "INTERNAL_ERROR", detail=str(error)) from error


def _no_letters(where: str) -> HttpError:
    detail = f"nothing that waits in {where} tells where it comes from"
    return HttpError(409, "NO_DEAD_LETTERS", detail=detail)


def _only_channel(topic: Topic) -> Channel:
    """The one to take from where none is named. Raises HttpError."""
    if CHANNEL in topic.channels:
        return topic.channels[CHANNEL]
    if len(topic.channels) > 1:
        detail = f"{topic.name} has several channels: say from which to take"
        raise HttpError(400, "MISSING_ARG_CHANNEL", detail=detail)
    return next(iter(topic.channels.values()))


def _has_letters(topic: str, look: Callable[[Place, int], Seen], headed: bool) -> bool:
    """Whether what waits in ``topic`` are dead letters, by its name, or by the first of them.

    Args:
        headed: whether records have room for headers.
    """
    if is_dead_letter_topic(topic):
        return True
    try:
        first = look((), 1).records if headed else []
    except OSError:
        return False
    return any(TOPIC in headers_of(split_record(each)[1]) for each in first)


@define(eq=False, repr=False)
class Run:
    """One redrive."""

    api: NsqdApi
    topic: Topic
    redrive: Redrive
    _changed: trio.Event = field(factory=trio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self.redrive.changed = self._wake

    def _wake(self) -> None:
        self._changed.set()

    async def oldest(self, limit: int) -> None:
        """Send back ``limit`` messages, the oldest first."""
        channel = self.redrive.source
        await self._drain()
        seen, there = 0, channel.depth
        while seen < min(there, limit) and not channel.deleted:
            records = channel.queue.take(min(STEP, min(there, limit) - seen))
            if not records:
                break
            seen += len(records)
            self.redrive.send(records, self.api.wall)
            await self._completed()

    async def _drain(self) -> None:
        """Have what waits in the topic itself come to its channel."""
        while self.topic.backlog:
            self.api.request_tick()
            await trio.sleep(0.001)

    async def chosen(self, ids: set[bytes]) -> None:
        """Send back those of ``ids`` that are there, whoever holds them; they are taken out."""
        await self._drain()
        channel = self.redrive.source

        def found(records: list[bytes], state: str) -> None:
            records.sort(key=message_id)
            again = [requeued(each) for each in records] if state == IN_FLIGHT else records
            self.redrive.send(again, self.api.wall)

        def steps() -> Iterator[str]:
            for _ in withdraw(channel, ids, found):
                yield ""

        await join_in_slices(steps(), self.api.now, length=SLICE)
        await self._completed()

    async def _completed(self) -> None:
        """Return when nothing is on its way."""
        self.api.request_tick()
        with trio.move_on_after(PATIENCE):
            while self.redrive.result.waiting > 0 and not self.redrive.source.deleted:
                self._changed = trio.Event()
                await self._changed.wait()

    def answer(self, missing: set[bytes] | None) -> Response:
        """How it went."""
        channel, result = self.redrive.source, self.redrive.result
        left = channel.depth + channel.deferred_count + channel.in_flight_count + self.topic.depth
        told: dict[str, Any] = {"moved": result.moved, "left": left, "channel": channel.name}
        if missing is not None:
            told["missing"] = sorted(id.decode() for id in missing)
        if result.kept:
            told["kept"] = result.kept
        if result.waiting > 0:
            told["unknown"] = result.waiting
        return json(told)
