"""GET /message/list and /message/get: what is in a queue, without taking anything out of it.

``total`` is how many messages are in the state that is listed, whatever the page shows of them.
"""

import json
from collections.abc import Iterator
from functools import partial

from nsqcore.access.roles import READ_TOPIC, Role
from nsqcore.classes import Factory, define
from nsqcore.http.guard import check_topic
from nsqcore.http.request import Request
from nsqcore.http.responses import JSON, HttpError, Response
from nsqcore.http.router import Answer, Router
from nsqcore.units import MS, SECOND
from nsqd.engine.browsing import looking
from nsqd.engine.browsing.looking import DEFERRED, IN_FLIGHT, QUEUED, Page, Sight
from nsqd.engine.browsing.searching import find, find_waiting, until
from nsqd.engine.messages.message import attempts, body
from nsqd.http.messages import questions
from nsqd.http.messages.questions import Target
from nsqd.http.messages.rendering import Form
from nsqd.http.shared.arguments import valid_names
from nsqd.http.shared.context import NsqdApi
from nsqd.http.shared.slices import answer_in_slices

DEAD = "dead"
LOG = "log"
STATES = (QUEUED, IN_FLIGHT, DEFERRED, DEAD, LOG)

MOST = 1000
DEFAULT = 100
# Bytes of an answer, about; one message is always in it.
LARGEST = 4 << 20
LONGEST_BODY = 1 << 20
DEFAULT_BODY = 1024
# How long other work waits for a step of this, in ns.
SLICE = MS
# For how long a message is searched, in ns: a backlog on disk may be of any size.
PATIENCE = 20 * SECOND

_NO_LOG = HttpError(409, "NOT_DURABLE", detail="only a durable topic has a log")


def add_routes(router: Router, api: NsqdApi) -> None:
    """Add what looks at messages to ``router``."""
    router.add("GET", "/message/list", partial(list_messages, api), rule=READ_TOPIC)
    router.add("GET", "/message/get", partial(get_message, api), rule=READ_TOPIC)


@define(eq=False, repr=False)
class Listing:
    """A page in the making."""

    form: Form
    messages: list[str] = Factory(list)
    size: int = 0

    def add(self, sight: Sight) -> bool:
        """Put ``sight`` on the page; whether there was room."""
        rendered = self.form.render(sight)
        # a body in base64 is as long in bytes; in text a character has up to four
        length = len(rendered) if rendered.isascii() else len(rendered.encode())
        if self.messages and self.size + length > LARGEST:
            return False
        self.messages.append(rendered)
        self.size += length
        return True


def list_messages(api: NsqdApi, request: Request) -> Answer:
    """GET /message/list."""
    state = request.arg("state") or QUEUED
    if state not in STATES:
        raise HttpError(400, "INVALID_STATE", detail=f"state: expected one of {', '.join(STATES)}")
    limit = questions.number(request, "limit", DEFAULT, 1, MOST)
    longest = questions.number(request, "max_body", DEFAULT_BODY, 0, LONGEST_BODY)
    listing = Listing(questions.form(request, longest))
    wanted = questions.wanted(request, api.wall)
    if state == DEAD:
        topic, channel = valid_names(request)
        questions.target(api.broker, request)
        name = questions.dead_letters(api.broker, topic, channel)
        # whose dead letters are there, too, is not in the name of the topic that was asked for
        if (refusal := check_topic(request, Role.READ, name)) is not None:
            return refusal
        found = api.broker.topics.get(name)
        if found is None:
            empty = {"topic": name, "state": state, "messages": [], "next": "", "total": 0}
            return _json(json.dumps({**empty, "scanned": 0}, separators=(",", ":")))
        target, state = Target(found, None), QUEUED
    else:
        target = questions.target(api.broker, request)
    about = f"{target} {state}"
    owner = _owner(target, state)
    cursor = request.arg("next")
    place = api.cursors.read(about, owner, cursor) if cursor else ()
    page = Page(place, limit, listing.add, wanted)
    head = json.dumps(_head(request, target, state), separators=(",", ":"))

    def finish(_: str) -> Response:
        following = "" if page.next is None else api.cursors.write(about, owner, page.next)
        return _json(
            f'{head[:-1]},"messages":[{",".join(listing.messages)}],"next":"{following}"'
            f',"total":{_total(target, state)},"scanned":{page.scanned}}}'
        )

    return answer_in_slices(_pieces(_look(api, target, state, page)), finish, api.at_once, SLICE)


def _json(body: str) -> Response:
    return Response(200, body.encode("utf-8", "replace"), JSON)


def _head(request: Request, target: Target, state: str) -> dict[str, str]:
    names = {"topic": target.topic.name}
    if target.channel is not None:
        names["channel"] = target.channel.name
    return {**names, "state": request.arg("state") or state}


def _pieces(steps: Iterator[None]) -> Iterator[str]:
    try:
        for _ in steps:
            yield ""
    except OSError as error:
        raise HttpError(500, "INTERNAL_ERROR", detail=f"can't be read: {error}") from error


def _owner(target: Target, state: str) -> object:
    """Who gives the places of a list their meaning."""
    if target.channel is None or state == LOG:
        return target.topic
    return target.channel.queue if state == QUEUED else target.channel


def _look(api: NsqdApi, target: Target, state: str, page: Page) -> Iterator[None]:
    """The steps that fill ``page``. Raises HttpError."""
    topic, channel, offset = target.topic, target.channel, api.broker.wall_offset
    if state == LOG:
        if topic.log is None:
            raise _NO_LOG
        return looking.look_queued(page, partial(topic.log.look, retained=True), LOG)
    if channel is None:
        if state == IN_FLIGHT:
            raise HttpError(400, "MISSING_ARG_CHANNEL")
        if state == DEFERRED:
            return looking.look_deferred(page, topic.look_deferred(), None)
        return looking.look_queued(page, topic.look)
    if state == IN_FLIGHT:
        return looking.look_in_flight(page, channel, offset)
    if state == DEFERRED:
        return looking.look_deferred(page, channel.queue.look_deferred(), offset)
    return looking.look_queued(page, channel.queue.look)


def _total(target: Target, state: str) -> int:
    topic, channel = target.topic, target.channel
    if state == LOG:
        stats = topic.log.stats() if topic.log is not None else None
        return 0 if stats is None else stats.next - stats.first
    if channel is None:
        return topic.deferred_count if state == DEFERRED else topic.depth - topic.deferred_count
    if state == IN_FLIGHT:
        return channel.in_flight_count
    return channel.deferred_count if state == DEFERRED else channel.depth


# ------------------------------------------------------------------ one message


def get_message(api: NsqdApi, request: Request) -> Answer:
    """GET /message/get: one message as JSON, or with ``format=raw`` its body."""
    given = request.arg("format") or "json"
    if given not in ("json", "raw"):
        raise HttpError(400, "INVALID_FORMAT", detail="format: expected json or raw")
    ids = questions.ids(request)
    if len(ids) != 1:
        raise HttpError(400, "TOO_MANY_IDS", detail="one at a time")
    form = questions.form(request, None)
    sights: list[Sight] = []

    def found(records: list[bytes], state: str) -> None:
        made = attempts(records[0])
        sights.append(Sight(records[0], state, made if state == IN_FLIGHT else max(made - 1, 0)))

    target = questions.target(api.broker, request)
    channel, wanted = target.channel, set(ids)
    if channel is not None:
        steps = find(channel, wanted, found)
    else:
        steps = find_waiting(target.topic, wanted, found)

    def finish(_: str) -> Response:
        if not sights:
            raise HttpError(404, "MESSAGE_NOT_FOUND")
        if given == "raw":
            return Response(200, body(sights[0].record), "application/octet-stream")
        return _json(form.render(sights[0]))

    patient = until(steps, api.now() + PATIENCE, api.now)
    return answer_in_slices(_pieces(patient), finish, api.at_once, SLICE)
