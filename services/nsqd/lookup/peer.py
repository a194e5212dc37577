"""The connection to one nsqlookupd: kept up, kept told, never waited for.

Commands go down through `LookupPeer.tell`, which never blocks: they gather while the last
ones are on their way, and go out together. Replies are only counted; what matters is that
they come. A connection whose replies do not come in time is given up, and after a pause made
again, and then told everything anew: nsqlookupd forgets a producer with its connection.
"""

import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, NoReturn

import trio

from nsqcore.app.supervise import supervise
from nsqcore.backoff import Backoff
from nsqcore.classes import define, field
from nsqcore.errors import reason
from nsqcore.names import as_text
from nsqcore.wire.errors import ProtocolError
from nsqcore.wire.lookup import (
    MAGIC_V1,
    PING_COMMAND,
    Peer,
    ReplyParser,
    identify_command,
    is_error_reply,
    parse_peer,
)

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = 5.0
# Thousands of registrations are answered one by one; what counts is that answers keep coming.
REPLY_TIMEOUT = 10.0
# As the original: nsqlookupd takes a producer for gone after 300 s of silence.
PING_INTERVAL = 15.0
# The first pause is short, for a restart takes that long; the longest is the original's 15 s.
RECONNECT = Backoff(first=0.25, longest=15.0, jitter=0.5)
READ_SIZE = 64 * 1024

State = Literal["connecting", "connected", "waiting"]
Identify = Callable[[str], Mapping[str, Any]]
Connect = Callable[[str, int], Awaitable[trio.abc.Stream]]


class LookupRefused(Exception):
    """nsqlookupd answered with an error, or ended the connection."""


@define(eq=False, repr=False)
class LookupPeer:
    """The nsqlookupd at ``host``, ``port``; ``name`` is how logs and state call it.

    ``identity`` gives what IDENTIFY tells over a connection whose end here has an address (empty
    if it is none), ``registrations`` gives the commands that register
    all there is. ``accept`` is asked, once nsqlookupd told who it is, whether to stay.
    """

    name: str
    host: str
    port: int
    identity: Identify
    registrations: Callable[[], list[bytes]]
    accept: Callable[["LookupPeer"], bool]
    connect: Connect = trio.open_tcp_stream
    secure: bool = False  # ``connect`` is over TLS
    state: State = field(default="connecting", init=False)
    error: str = field(default="", init=False)  # why it is not connected
    info: Peer | None = field(default=None, init=False)  # what it said of itself
    tried: trio.Event = field(factory=trio.Event, init=False)  # tried at least once
    _scope: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    _waiting: list[bytes] = field(factory=list, init=False)
    _unanswered: int = field(default=0, init=False)
    _news: trio.Event = field(factory=trio.Event, init=False)

    def tell(self, command: bytes) -> None:
        """Send ``command`` soon. Dropped without a connection: the next begins with everything."""
        if self.state == "connected":
            kind = "channel" if command.count(b" ") > 1 else "topic"
            logger.info("LOOKUPD(%s): %s %s", self.name, kind, as_text(command.rstrip()))
            self._waiting.append(command)
            self._news.set()

    def stop(self) -> None:
        """Close the connection and end `run`."""
        self._scope.cancel()

    async def run(self) -> None:
        """Keep connected until `stop` or cancellation."""
        with self._scope:
            await supervise(f"LOOKUPD({self.name})", self._keep_connected)

    async def _keep_connected(self) -> None:
        failures = 0
        while True:
            began = trio.current_time()
            try:
                self._note(await self._serve_once())
            finally:
                self.state, self.info = "waiting", None
                self.tried.set()
            lasted = trio.current_time() - began
            failures = 1 if lasted > RECONNECT.longest else failures + 1
            await trio.sleep(RECONNECT.pause(failures))

    def _note(self, error: str) -> None:
        level = logging.DEBUG if error == self.error else logging.ERROR
        logger.log(level, "LOOKUPD(%s): %s", self.name, error)
        self.error = error

    async def _serve_once(self) -> str:
        """Connect, and serve until the connection ends; why it did."""
        self.state = "connecting"
        try:
            await self._connect_and_serve()
        except trio.TooSlowError:
            return "no answer in time"
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            return f"connection lost - {reason(error.__cause__ or error)}"
        except (OSError, ValueError, ProtocolError, LookupRefused) as error:
            return reason(error)

    async def _connect_and_serve(self) -> NoReturn:
        logger.log(
            logging.DEBUG if self.error else logging.INFO, "LOOKUP connecting to %s", self.name
        )
        with trio.fail_after(CONNECT_TIMEOUT):
            stream = await self.connect(self.host, self.port)
        try:
            parser = ReplyParser()
            with trio.fail_after(REPLY_TIMEOUT):
                await stream.send_all(
                    MAGIC_V1 + identify_command(self.identity(_local_address(stream)))
                )
                replies: list[bytes] = []
                while not replies:
                    replies = parser.feed(await self._receive(stream))
            self._identified(replies[0])
            if not self.accept(self):
                raise LookupRefused("is known under another address already")
            self._waiting = self.registrations()
            self._news.set()
            self._unanswered = 0
            self.state, self.error = "connected", ""
            self.tried.set()
            await self._serve(stream, parser)
        finally:
            await trio.aclose_forcefully(stream)  # TLS would wait for a peer that is gone

    def _identified(self, answer: bytes) -> None:
        if is_error_reply(answer):
            raise LookupRefused(as_text(answer))
        try:
            self.info = parse_peer(answer)
        except ProtocolError as error:
            # It can still be told of topics; it only can't be asked for channels.
            logger.warning("LOOKUPD(%s): parsing response - %s", self.name, error)
        else:
            logger.info(
                "LOOKUPD(%s): peer info {TCPPort:%d HTTPPort:%d Version:%s BroadcastAddress:%s}",
                self.name,
                self.info.tcp_port,
                self.info.http_port,
                self.info.version,
                self.info.broadcast_address,
            )

    async def _serve(self, stream: trio.abc.Stream, parser: ReplyParser) -> NoReturn:
        failure: Exception
        async with trio.open_nursery() as nursery:
            patience = trio.CancelScope()
            nursery.start_soon(self._send, stream, patience)
            try:
                with patience:
                    await self._read_replies(stream, parser, patience)
                failure = trio.TooSlowError()
            except (trio.BrokenResourceError, ProtocolError, LookupRefused) as error:
                failure = error
            nursery.cancel_scope.cancel()
        raise failure

    async def _read_replies(
        self, stream: trio.abc.Stream, parser: ReplyParser, patience: trio.CancelScope
    ) -> NoReturn:
        while True:
            replies = parser.feed(await self._receive(stream))
            self._unanswered = max(self._unanswered - len(replies), 0)
            for reply in replies:
                if is_error_reply(reply):
                    raise LookupRefused(as_text(reply))
            patience.deadline = (
                trio.current_time() + REPLY_TIMEOUT if self._unanswered else math.inf
            )

    async def _send(self, stream: trio.abc.Stream, patience: trio.CancelScope) -> None:
        """Send what there is, and a PING in time; ends when the connection is broken."""
        next_ping = trio.current_time() + PING_INTERVAL
        while True:
            with trio.move_on_at(next_ping):
                await self._news.wait()
            commands, self._waiting = self._waiting, []
            self._news = trio.Event()
            if trio.current_time() >= next_ping:
                # nsqlookupd takes nothing else for a sign of life.
                commands.append(PING_COMMAND)
                next_ping = trio.current_time() + PING_INTERVAL
            if not commands:
                continue
            if not self._unanswered:
                patience.deadline = trio.current_time() + REPLY_TIMEOUT
            self._unanswered += len(commands)
            try:
                await stream.send_all(b"".join(commands))
            except trio.BrokenResourceError:
                return  # reading finds out why

    async def _receive(self, stream: trio.abc.Stream) -> bytes:
        data = bytes(await stream.receive_some(READ_SIZE))
        if not data:
            raise LookupRefused("connection closed by nsqlookupd")
        return data


def _local_address(stream: trio.abc.Stream) -> str:
    """The address of this end of a TCP connection; empty for any other stream."""
    if isinstance(stream, trio.SSLStream):
        stream = stream.transport_stream
    if not isinstance(stream, trio.SocketStream):
        return ""
    try:
        name = stream.socket.getsockname()
    except OSError:
        return ""
    return str(name[0]) if isinstance(name, tuple) else ""
