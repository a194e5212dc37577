"""HTTP/1.1, the server's side, without I/O: one more handler on the reactor.

Chunks go into httptools' parser, whose callbacks gather one request at a time; when it is complete
its route answers, and the answer goes to the outbox in one piece. Requests that were sent ahead are
answered in order, and an asynchronous answer holds up those behind it.

A request that comes in one chunk, as nearly all do, is checked when it is complete. Only for one
that does not, the head is looked at early: for a declared length over the route's limit, for
``Expect: 100-continue``. Whatever is refused before all of it was read ends the connection.
"""

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import httptools
import trio

from nsqcore.classes import define, field, frozen
from nsqcore.http.later import Later
from nsqcore.http.parser import RequestParser
from nsqcore.http.request import Request
from nsqcore.http.responses import TEXT, HttpError, Response
from nsqcore.http.router import BAD_REQUEST, Asking, Route, Router, constant_route
from nsqcore.net.effects import Close, Effect, HandOver, Peer, Wait
from nsqcore.net.outbox import Outbox, Slot
from nsqcore.reactor.timers import Timer, Timers

logger = logging.getLogger(__name__)

# A head that is still growing after this many bytes is refused, and so is as much in a row behind
# it that is no body: trailers, extensions of chunks. Other servers allow 8 to 64 KiB.
MAX_HEAD = 64 * 1024
# Answers that may wait for a client which asks on without reading: room for a large /stats.
MAX_PENDING = 1024 * 1024
# Requests that may be served behind one that is answered later.
MAX_LATER = 1024
# Requests of one client that are served before others have their turn. One that changes something
# (makes a topic, deletes one) is as much work as a few others.
MAX_TURN = 128
CHANGE_COUNTS = 4
# After an answer that refuses what is still coming: long enough for a client to send the rest and
# only then look.
LINGER = 1.0

# Requests that change nothing: polls, health checks and scrapes would fill the log.
READS = frozenset(("GET", "HEAD", "OPTIONS"))

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HEAD_TOO_BIG = Response(431, b"431 Request Header Fields Too Large", TEXT, versioned=False)
TOO_SLOW = Response(408, b"408 Request Timeout", TEXT, versioned=False)
INTERNAL_ERROR = HttpError(500, "INTERNAL_ERROR").response()


@frozen
class Timeouts:
    """Seconds a connection may be idle, and a request may take to arrive; checked now and then."""

    timers: Timers
    idle: float = 900.0
    request: float = 60.0


@define(eq=False, repr=False)
class HttpSession:
    """One client of an HTTP API. ``context`` is passed on in each request."""

    router: Router
    peer: Peer
    context: Any = None
    timeouts: Timeouts | None = field(default=None, kw_only=True)
    #: Gives the line of the header ``Date``; without a clock there is none.
    date: Callable[[], bytes] = field(default=bytes, kw_only=True)
    #: Called when the connection is gone, for whoever keeps count.
    on_closed: Callable[[], None] | None = field(default=None, kw_only=True)
    outbox: Outbox = field(factory=Outbox, init=False)
    _parser: RequestParser = field(init=False)
    #: Bytes of the body of the request that is being read, when it was looked at last.
    _body_seen: int = field(default=0, init=False)
    #: Where it is going; None until somebody had to look.
    _route: Route | None = field(default=None, init=False)
    # The answers.
    #: The request whose answer is awaited; those that came after it are `_ahead`.
    _awaited: Request | None = field(default=None, init=False)
    _answer: Response | None = field(default=None, init=False)
    #: What is done if that is None: it was asked whether it may be.
    _asking: Asking | None = field(default=None, init=False)
    _ahead: deque[tuple[Route, Request]] = field(factory=deque, init=False)
    _effect: Effect | None = field(default=None, init=False)
    #: What was served since others had their turn, in requests that change nothing.
    _turn: int = field(default=0, init=False)
    #: Set when a client that did not read has begun to, or has gone.
    _reads_on: trio.Event | None = field(default=None, init=False)
    #: The connection ends with what has been answered.
    _last: bool = field(default=False, init=False)
    # Timeouts.
    _timer: Timer | None = field(default=None, init=False)
    _progress: int = field(default=0, init=False)
    _seen: tuple[int, bool] = field(default=(0, False), init=False)
    _still: float = field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        self._parser = RequestParser(self._complete)
        if self.timeouts is not None:
            self._rearm(self.timeouts)

    # The contract of a connection.

    def received(self, data: bytes) -> Effect | None:
        """Take a chunk, cut anywhere."""
        if self._last or not data:
            return Close(linger=LINGER)
        self._turn = 0
        try:
            self._parser.feed(data)
            if self._parser.stopped:
                self._last = True
        except httptools.HttpParserError as error:
            if not self._last:
                logger.debug("http(%s): bad request: %s", self.peer.address, error)
                self._refuse(BAD_REQUEST)
        if self._parser.in_request and not self._last:
            self._look_at_unfinished(len(data))
        return self._next_effect()

    def closed(self, error: Exception | None) -> None:
        """The connection is gone."""
        if error is not None:
            logger.debug("http(%s): connection lost: %s", self.peer.address, error)
        if self._timer is not None:
            self._timer.cancel()
        self._note_drained()
        self._parser.close()  # it refers back to us
        if self.on_closed is not None:
            self.on_closed()

    def _complete(self) -> None:
        """A request is complete: answer it, or put it behind those that are being answered."""
        if self._last:
            return
        if self._parser.refusal is not None:
            self._refuse(self._parser.refusal)
            return
        request = self._parser.take(self.peer, self.context)
        self._route = None
        self._body_seen = 0
        self._progress += 1
        route = self.router.find(request)
        request.notable = not route.quiet and request.method not in READS
        if not self._ahead and self._may_serve():
            self._serve(route, request)
        else:
            self._ahead.append((route, request))

    # Answering.

    def _may_serve(self) -> bool:
        """Whether the next request may be answered now."""
        outbox = self.outbox
        return (
            self._awaited is None
            and self._turn < MAX_TURN
            and outbox.size <= MAX_PENDING
            and outbox.open_slots < MAX_LATER
        )

    def _serve(self, route: Route, request: Request) -> None:
        """Answer one request, or begin to."""
        self._turn += CHANGE_COUNTS if request.notable else 1
        if len(request.body) > route.max_body:
            answer: Any = HttpError(413, route.too_big).response()
        else:
            try:
                answer = route.handler(request)
            except HttpError as error:
                answer = error.response()
            except Exception:  # a supervisor: one request's fault is not the daemon's
                logger.exception("http(%s): %s failed", self.peer.address, request)
                answer = INTERNAL_ERROR
        if answer.__class__ is Response:
            self._respond(request, answer)
        elif answer.__class__ is Later:
            self._last = not request.keep_alive
            answer.when_answered(partial(self._fill, self.outbox.hold(), request))
        else:
            self._awaited = request
            if answer.__class__ is Asking:
                self._asking, answer = answer, answer.ask()
            self._effect = Wait(partial(self._await, request, answer), self._resume)

    async def _await(self, request: Request, answer: Awaitable[Response | None]) -> None:
        try:
            self._answer = await answer
        except HttpError as error:
            self._answer = error.response()
        except Exception:  # a supervisor: one request's fault is not the daemon's
            logger.exception("http(%s): %s failed", self.peer.address, request)
            self._answer = INTERNAL_ERROR

    def _respond(self, request: Request, response: Response) -> None:
        if response.stream is not None:
            self._begin_stream(request, response, response.stream)
            return
        self._last = not request.keep_alive
        self.outbox.add(self._render(request, response))

    def _fill(self, slot: Slot, request: Request, response: Response) -> None:
        """The answer that was to come later is there."""
        slot.release(self._render(request, response))
        if self._reads_on is not None and self._may_serve():
            self._reads_on.set()

    def _render(self, request: Request, response: Response) -> bytes:
        level = logging.INFO if request.notable else logging.DEBUG
        if logger.isEnabledFor(level):
            who = self.peer.address
            if request.grant is not None:
                who += f" {request.grant.name}"
            logger.log(level, "%d %s (%s)", response.status, request, who)
        if request.keep_alive and not request.http_1_0 and request.method != "HEAD":
            return response.wire(self.date())
        return response.render(
            self.date(),
            head_only=request.method == "HEAD",
            keep_alive=request.keep_alive,
            http_1_0=request.http_1_0,
        )

    def _begin_stream(
        self,
        request: Request,
        response: Response,
        stream: Callable[[Any], Awaitable[None]],
    ) -> None:
        """Send the head of an answer without an end, and leave the connection to ``stream``."""
        request.keep_alive = False
        self._last = True
        self.outbox.add(self._render(request, response))
        if self._timer is not None:
            self._timer.cancel()
        if request.method != "HEAD":
            self._effect = HandOver(stream)

    def _refuse(self, response: Response) -> None:
        """Answer a request that is not complete, and nothing after it."""
        request = Request(
            "", self._parser.url, b"", b"", self.peer, [], self.context, keep_alive=False
        )
        self._parser.in_request = False
        if self._awaited is None and not self._ahead:
            self._respond(request, response)
        else:
            self._ahead.append((constant_route(response), request))

    def _next_effect(self) -> Effect | None:
        effect, self._effect = self._effect, None
        if effect is not None:
            return effect
        if self._last:
            return Close(linger=LINGER)
        if self._ahead and self._turn >= MAX_TURN:
            return Wait(trio.lowlevel.checkpoint, self._resume)
        if self._ahead:
            self._reads_on = trio.Event()
            self.outbox.drained = self._note_drained
            return Wait(self._reads_on.wait, self._resume)
        return None

    def _resume(self) -> Effect | None:
        """Go on once the asynchronous answer is there, or the client reads again."""
        self._turn = 0
        request, self._awaited = self._awaited, None
        answer, self._answer = self._answer, None
        asking, self._asking = self._asking, None
        if request is not None and answer is not None:
            self._respond(request, answer)
        elif request is not None and asking is not None:
            # its size has been looked at
            self._serve(Route(asking.handler, max_body=len(request.body)), request)
        while self._ahead and self._may_serve() and not self._last:
            self._serve(*self._ahead.popleft())
        return self._next_effect()

    def _note_drained(self) -> None:
        if self._reads_on is not None:
            self._reads_on.set()

    # Requests that take more than one chunk.

    def _look_at_unfinished(self, count: int) -> None:
        """Refuse what will be too big, before it is all here."""
        if self._parser.refusal is not None:
            self._refuse(self._parser.refusal)
            return
        if len(self._parser.body) > self._body_seen:
            self._body_seen, self._parser.head_size = len(self._parser.body), 0
        else:
            # The first chunk may hold earlier requests; its size is bounded by the reader.
            self._parser.head_size = self._parser.head_size + count if self._parser.head_size else 1
            if self._parser.head_size > MAX_HEAD:
                self._refuse(HEAD_TOO_BIG)
                return
        if not self._parser.head_done:
            return
        self._progress += 1
        if self._route is None:
            self._look_at_head()
        elif len(self._parser.body) > self._route.max_body:
            self._refuse(HttpError(413, self._route.too_big).response())

    def _look_at_head(self) -> None:
        """The head is here, the body is not: check what is declared, tell the client to go on."""
        request = self._parser.request(b"", self.peer, self.context)
        route = self._route = self.router.find(request)
        declared = int(request.header("Content-Length") or 0)
        if max(declared, len(self._parser.body)) > route.max_body:
            self._refuse(HttpError(413, route.too_big).response())
            return
        if route.check is not None:
            try:
                verdict = route.check(request)
            except HttpError as error:
                verdict = error.response()
            if isinstance(verdict, Response):
                self._refuse(verdict)
                return
        expected = (request.header("Expect") or "").lower()
        if expected == "100-continue" and self._awaited is None and not self._parser.body:
            self.outbox.add(CONTINUE)

    # Timeouts.

    def _rearm(self, timeouts: Timeouts) -> None:
        interval = min(timeouts.idle, timeouts.request) / 2
        when = timeouts.timers.now() + int(interval * 1e9)
        self._timer = timeouts.timers.call_at(when, partial(self._check, timeouts, interval))

    def _check(self, timeouts: Timeouts, interval: float) -> None:
        """End a connection on which nothing has moved for too long."""
        state = (self._progress, self._parser.in_request)
        if state != self._seen or self._awaited is not None or self.outbox.open_slots:
            self._seen, self._still = state, 0.0
        else:
            self._still += interval
        if self._still < (timeouts.request if self._parser.in_request else timeouts.idle):
            self._rearm(timeouts)
            return
        if self._parser.in_request:
            self._refuse(TOO_SLOW)
        self.outbox.close("timeout")
