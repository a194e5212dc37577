"""One HTTP/1.1 connection of a client: a request out, the status of an answer in.

The answer is read while the request is still being sent: an endpoint may answer before it has read
everything. As soon as the final head is here the outcome is decided; the rest of the answer is read
to have the connection free again, until the request's time is over, and thrown away.
"""

import math
import socket
import ssl
from struct import Struct

import trio

from nsqcore.classes import define, field, frozen
from nsqtools.nsq_to_http.answer import AnswerParser, BadAnswer
from nsqtools.nsq_to_http.url import Origin

READ_SIZE = 64 * 1024

# Of an answer's body: nobody looks at it. Beyond this a new connection is cheaper than the rest.
MAX_BODY = 256 * 1024

# Seconds of silence after which a body is left that only the end of the stream would end.
UNFRAMED_SILENCE = 1.0

# Seconds for which the rest of a request is sent to an endpoint that has answered completely, and
# seconds for which an answer is waited for where the rest cannot be sent.
LATE_REST = 0.05
LATE_ANSWER = 1.0

# Bytes that the peer's kernel has acknowledged: tcpi_bytes_acked of struct tcp_info (linux/tcp.h).
_INFO_SIZE = 128
_bytes_acked = Struct("@Q").unpack_from
_ACKED_OFFSET = 120


class NoAnswer(Exception):
    """The connection ended, or what came is no HTTP.

    ``untouched`` tells that surely not a byte of the request arrived.
    """

    def __init__(self, message: str, *, untouched: bool = False) -> None:
        super().__init__(message)
        self.untouched = untouched


@frozen
class Answer:
    """What came back. ``location`` is where a redirect leads."""

    status: int
    location: str
    reusable: bool


@define(eq=False, repr=False)
class HttpConnection:
    """An open connection; `connect` makes one. ``opened`` is a time of trio's clock."""

    _stream: trio.abc.Stream
    _socket: trio.SocketStream
    opened: float
    answered: int = 0  # requests
    _answer: AnswerParser = field(factory=AnswerParser)
    _sent: bool = False
    _taken: int = 0  # by the kernel, of the present request
    _error: str = ""

    @classmethod
    async def connect(cls, origin: Origin, tls: ssl.SSLContext | None) -> "HttpConnection":
        """A connection to ``origin``; raises OSError if there is nobody."""
        plain = await trio.open_tcp_stream(origin.host, origin.port)
        now = trio.current_time()
        if not origin.secure:
            return cls(plain, plain, now)
        assert tls is not None, "an HTTPS origin needs a TLS context"
        stream = trio.SSLStream(plain, tls, server_hostname=origin.host, https_compatible=True)
        try:
            await stream.do_handshake()
        except BaseException as error:
            await trio.aclose_forcefully(plain)
            if isinstance(error, trio.BrokenResourceError):
                raise OSError(f"TLS handshake failed: {error.__cause__ or error}") from error
            raise
        return cls(stream, plain, now)

    def is_fresh(self) -> bool:
        """Whether nothing has come since the last answer: not even the end of the stream."""
        return not self._socket.socket.is_readable()

    def close(self) -> None:
        """Close it at once."""
        self._socket.socket.close()

    async def exchange(self, head: bytes, body: bytes, deadline: float) -> Answer:
        """The answer to a request.

        Raises:
            NoAnswer: there is none, or none in time.
        """
        self._answer = AnswerParser()
        self._sent, self._taken, self._error = False, 0, ""
        acked = self._acked()
        with trio.CancelScope(deadline=deadline) as scope:
            await self._send_and_receive(head, body)
        answer = self._answer
        if answer.status is None:
            reason = self._error or "no answer in time" * scope.cancelled_caught
            untouched = not self._taken or (acked is not None and self._acked() == acked)
            raise NoAnswer(reason or "connection closed before the answer", untouched=untouched)
        self.answered += 1
        reusable = answer.complete and answer.reusable and self._sent and not self._error
        return Answer(answer.status, answer.location, reusable)

    async def _send_and_receive(self, head: bytes, body: bytes) -> None:
        request = head + body if len(body) < READ_SIZE else head
        try:
            if isinstance(self._stream, trio.SocketStream) and request is not head:
                # Most requests fit into the socket's buffer: no task needs to be made for those.
                self._taken = await self._socket.socket.send(request)
                if self._taken == len(request):
                    self._sent = True
                    await self._receive()
                    return
                request = request[self._taken :]
        except OSError as error:
            self._error = f"connection lost: {error.strerror or error}"
            return
        rest = [request] if request is not head or not body else [head, body]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send, rest, nursery.cancel_scope)
            await self._receive()
            if self._answer.complete and not self._sent:
                nursery.cancel_scope.deadline = trio.current_time() + LATE_REST
            else:
                nursery.cancel_scope.cancel()

    async def _send(self, parts: list[bytes], scope: trio.CancelScope) -> None:
        try:
            for part in parts:
                self._taken = self._taken or 1  # by an error nobody knows how much
                await self._stream.send_all(part)
            self._sent = True
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
            self._error = f"connection lost: {error.__cause__ or error}"
            # It may have answered before, and gone away.
            scope.deadline = trio.current_time() + LATE_ANSWER

    async def _receive(self) -> None:
        """Read the answer, until it is complete or there is no more of it to be had."""
        answer = self._answer
        try:
            while not answer.complete and answer.size <= MAX_BODY:
                silence = math.inf if answer.status is None or answer.framed else UNFRAMED_SILENCE
                with trio.move_on_after(silence):
                    data = await self._stream.receive_some(READ_SIZE)
                    if not data:
                        return
                    answer.feed(bytes(data))
                    continue
                return
        except BadAnswer as error:
            self._error = str(error)
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
            self._error = self._error or f"connection lost: {error.__cause__ or error}"

    def _acked(self) -> int | None:
        """How many bytes the peer has acknowledged; None where the system does not tell."""
        option = getattr(socket, "TCP_INFO", None)
        if option is None:
            return None
        try:
            info = self._socket.socket.getsockopt(socket.IPPROTO_TCP, option, _INFO_SIZE)
        except OSError:
            return None
        return _bytes_acked(info, _ACKED_OFFSET)[0] if len(info) >= _INFO_SIZE else None
