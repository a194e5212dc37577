"""POST /message/finish, requeue, dead and copy: what an operator does with single messages.

Each is answered with how many were done, and the ids that were not found. Which they were and why
goes to the log.
"""

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import trio

from nsqcore.access.roles import OPERATE_BOTH, OPERATE_TOPIC
from nsqcore.classes import Factory, define
from nsqcore.http.request import Request
from nsqcore.http.responses import HttpError, Response, json
from nsqcore.http.router import Router
from nsqcore.names import is_valid_name
from nsqcore.units import SECOND
from nsqcore.wire.headers import has_headers
from nsqcore.wire.hot import HEADER_SIZE
from nsqd.engine.browsing.looking import DEFERRED, IN_FLIGHT
from nsqd.engine.browsing.searching import (
    Found,
    find,
    find_queued,
    find_waiting,
    until,
    withdraw,
    withdraw_waiting,
)
from nsqd.engine.channel import Channel
from nsqd.engine.departures import Death
from nsqd.engine.messages.message import body, message_id, undelivered
from nsqd.http.messages import questions
from nsqd.http.messages.listing import SLICE
from nsqd.http.messages.questions import Target
from nsqd.http.shared.context import NsqdApi
from nsqd.http.shared.slices import join_in_slices

logger = logging.getLogger(__name__)

# For how long messages are searched, in ns: a backlog on disk may be of any size.
PATIENCE = 20 * SECOND
# Ids that a line of the log has at most.
LOGGED_IDS = 20


def add_routes(router: Router, api: NsqdApi) -> None:
    """Add what acts on messages to ``router``."""
    router.add("POST", "/message/finish", partial(finish, api), rule=OPERATE_TOPIC)
    router.add("POST", "/message/requeue", partial(requeue, api), rule=OPERATE_TOPIC)
    router.add("POST", "/message/dead", partial(dead, api), rule=OPERATE_TOPIC)
    router.add("POST", "/message/copy", partial(copy, api), rule=OPERATE_BOTH)


@define(eq=False, repr=False)
class Deed:
    """What is done to ``ids`` of ``target``, and how far it has got.

    ``left`` are those not found yet, ``detail`` is why some were not done.
    """

    api: NsqdApi
    request: Request
    verb: str
    target: Target
    ids: list[bytes]
    left: set[bytes]
    done: list[bytes] = Factory(list)
    failed: list[bytes] = Factory(list)
    detail: str = ""
    _awaited: int = 0
    _completed: trio.Event = Factory(trio.Event)

    @classmethod
    def of(cls, api: NsqdApi, request: Request, verb: str, *, waiting: bool = True) -> "Deed":
        """The deed that ``request`` asks for; without ``waiting`` only in a channel. Raises
        HttpError."""
        target = questions.target(api.broker, request)
        if target.channel is None and not waiting:
            raise HttpError(400, "MISSING_ARG_CHANNEL")
        ids = list(dict.fromkeys(questions.ids(request)))
        return cls(api, request, verb, target, ids, set(ids))

    async def search(self, steps: Iterator[None]) -> None:
        """Do all ``steps``, in slices."""
        now = self.api.now
        try:
            await join_in_slices(
                ("" for _ in until(steps, now() + PATIENCE, now)), now, length=SLICE
            )
        except OSError as error:
            self.detail = str(error)
        if self.target.gone:
            self.detail = "deleted meanwhile"

    def outcome(self, ids: list[bytes]) -> Callable[[str | None], None]:
        """To be called once with what became of ``ids``: None, or why they were not done."""
        self._awaited += 1
        return partial(self._told, ids)

    def _told(self, ids: list[bytes], failure: str | None) -> None:
        if failure is None:
            self.done += ids
        else:
            self.failed += ids
            self.detail = failure
        self._awaited -= 1
        if not self._awaited:
            self._completed.set()

    async def completed(self) -> None:
        """Return once all outcomes are told, and what was done outlives a crash."""
        kept, self._completed = trio.Event(), trio.Event()
        self.api.when_kept(kept.set)
        if self._awaited or not kept.is_set():
            self.api.request_tick()
        if self._awaited:
            await self._completed.wait()
        await kept.wait()

    def answer(self) -> Response:
        """How it went. Logs it, too."""
        why = questions.reason(self.request)
        if self.done:
            some = ", ".join(id.decode() for id in self.done[:LOGGED_IDS])
            logger.info(
                "MESSAGES(%s): %s %d at the request of %s%s: %s%s",
                self.target,
                self.verb,
                len(self.done),
                self.request.peer.address,
                f" ({why})" if why else "",
                some,
                ", …" if len(self.done) > LOGGED_IDS else "",
            )
        told: dict[str, Any] = {
            "done": len(self.done),
            "missing": [id.decode() for id in self.ids if id in self.left],
        }
        if self.failed:
            told["failed"] = [id.decode() for id in self.failed]
        if self.detail:
            told["detail"] = self.detail
        return json(told)


def _ids(records: list[bytes]) -> list[bytes]:
    return list(map(message_id, records))


async def finish(api: NsqdApi, request: Request) -> Response:
    """POST /message/finish: they are done with, as if a consumer had finished them."""
    deed = Deed.of(api, request, "finished")
    topic, channel = deed.target.topic, deed.target.channel

    def found(records: list[bytes], _state: str) -> None:
        ids = _ids(records)
        queue = topic.queue if channel is None else channel.queue
        queue.finish(ids)
        if channel is not None:
            channel.finish_count += len(ids)
        deed.done += ids

    if channel is not None:
        await deed.search(withdraw(channel, deed.left, found))
        if not channel.deleted:
            api.broker.mark_ready(channel)
    else:
        await deed.search(withdraw_waiting(topic, deed.left, found))
        if deed.left and topic.log is not None and topic.log.depth:
            deed.detail = "what a durable topic keeps until it has a channel can't be finished"
    await deed.completed()
    return deed.answer()


async def requeue(api: NsqdApi, request: Request) -> Response:
    """POST /message/requeue: they are to be delivered at once, whoever holds them, and whatever
    they wait for. What is queued is left where it is."""
    deed = Deed.of(api, request, "requeued", waiting=False)
    channel = deed.target.channel
    assert channel is not None

    def found(records: list[bytes], state: str) -> None:
        if state == IN_FLIGHT:
            channel.queue_again(records)
        elif state == DEFERRED:
            channel.queue.give_back(records)
        deed.done += _ids(records)

    await deed.search(_requeue(channel, deed.left, found))
    if not channel.deleted:
        api.broker.mark_ready(channel)
    await deed.completed()
    return deed.answer()


def _requeue(channel: Channel, ids: set[bytes], found: Found) -> Iterator[None]:
    yield from withdraw(channel, ids, found, queued=False)
    yield from find_queued(channel.queue.look, ids, found)


async def dead(api: NsqdApi, request: Request) -> Response:
    """POST /message/dead: they go to the dead-letter topic of their channel."""
    deed = Deed.of(api, request, "declared dead", waiting=False)
    channel = deed.target.channel
    assert channel is not None
    why = questions.reason(request)

    def found(records: list[bytes], state: str) -> None:
        records.sort(key=message_id)
        made = records if state == IN_FLIGHT else list(map(undelivered, records))
        channel.departures.part(made, Death.TERMINATED, why, deed.outcome(_ids(records)))

    await deed.search(withdraw(channel, deed.left, found))
    if not channel.deleted:
        api.broker.mark_ready(channel)
    await deed.completed()
    return deed.answer()


async def copy(api: NsqdApi, request: Request) -> Response:
    """POST /message/copy: their bodies are published to the topic in ``to=``, as new messages."""
    to = request.arg("to")
    if to is None:
        raise HttpError(400, "MISSING_ARG_TO")
    if not is_valid_name(to):
        raise HttpError(400, "INVALID_ARG_TO")
    deed = Deed.of(api, request, f"copied to {to}")
    topic, channel = deed.target.topic, deed.target.channel

    def found(records: list[bytes], _state: str) -> None:
        publish_records(api, to, records, deed)

    if channel is not None:
        await deed.search(find(channel, deed.left, found))
    else:
        await deed.search(find_waiting(topic, deed.left, found))
    await deed.completed()
    return deed.answer()


def publish_records(api: NsqdApi, topic: str, records: list[bytes], deed: Deed) -> None:
    """Publish what ``records`` carry, with headers where the topic keeps them."""
    broker, now = api.broker, api.now()
    headed = [record for record in records if has_headers([record])]
    plain = [record for record in records if not has_headers([record])]
    if plain:
        broker.publish(topic, list(map(body, plain)), now, deed.outcome(_ids(plain)))
        broker.flush(now)
    if headed:
        tails = [record[HEADER_SIZE:] for record in headed]
        broker.publish_headed(topic, tails, now, deed.outcome(_ids(headed)))
