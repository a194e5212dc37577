"""Streams over sockets, and connecting them, under trio and asyncio.

anyio's own streams are not used: under asyncio a peer that resets the connection
takes away what it said before, for a write that fails there ends the reading.
Here the two directions know nothing of each other, under both loops.
"""

import errno
import socket
import ssl
from collections import deque
from collections.abc import Awaitable
from typing import Any, Protocol

import anyio
import anyio.lowlevel

from nsqclient.connection.resolver import resolve
from nsqclient.core.loop import Loop, running_loop
from nsqclient.core.options import Stream
from nsqcore.classes import Factory, define, field

# How much one read may bring: a few hundred usual messages, and cheap to allocate.
READ_SIZE = 65536

# What a peer's stream may break with; each ends the connection, none ends the program.
STREAM_ERRORS = (
    OSError,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.EndOfStream,
    ssl.SSLError,
)

# How long an attempt to connect may take before the next address is tried beside it (RFC 8305).
HAPPY_EYEBALLS_DELAY = 0.25


class _Trio(Protocol):
    """The calls of a trio socket that are used here."""

    def recv(self, size: int, /) -> Awaitable[bytes]: ...
    def send(self, data: bytes | memoryview, /) -> Awaitable[int]: ...
    def close(self) -> None: ...


@define(eq=False, repr=False)
class TrioStream:
    """A connected socket under trio."""

    _socket: _Trio

    async def receive(self, max_bytes: int = READ_SIZE, /) -> bytes:
        """The next bytes."""
        data = await self._socket.recv(max_bytes)
        if not data:
            raise anyio.EndOfStream
        return data

    async def send(self, item: bytes, /) -> None:
        """Send all of ``item``."""
        sent = await self._socket.send(item)
        if sent < len(item):
            rest = memoryview(item)[sent:]
            while rest:
                rest = rest[await self._socket.send(rest) :]

    async def aclose(self) -> None:
        """Close it at once."""
        self._socket.close()
        await anyio.lowlevel.checkpoint()


@define(eq=False, repr=False)
class AsyncioStream:
    """A connected socket under asyncio (and uvloop).

    The loop's callback receives one chunk ahead, and stops watching the socket
    while nobody takes it. Its loop is asyncio's, which `nsqclient.core.loop` says why
    not to import.
    """

    _socket: socket.socket
    _loop: Any
    _chunks: deque[bytes] = Factory(deque)
    _ended: bool = False
    _error: OSError | None = None
    _reader: Any = None  # a future
    _watching: bool = False
    _closed: bool = False
    _is_uvloop: bool = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._is_uvloop = type(self._loop).__module__.partition(".")[0] == "uvloop"

    async def receive(self, max_bytes: int = READ_SIZE, /) -> bytes:
        """The next bytes."""
        if not self._chunks:
            await self._wait_for_input()
        else:
            await anyio.lowlevel.checkpoint()
        if self._chunks:
            return self._chunks.popleft()
        if self._error is not None:
            raise OSError(*self._error.args)
        raise anyio.ClosedResourceError if self._closed else anyio.EndOfStream

    async def send(self, item: bytes, /) -> None:
        """Send all of ``item``."""
        sent = self._try_to_send(item)
        if sent < len(item):
            rest = memoryview(item)[sent:]
            while rest:
                await self._wait_for_room()
                rest = rest[self._try_to_send(rest) :]

    async def aclose(self) -> None:
        """Close it at once."""
        self.close()
        await anyio.lowlevel.checkpoint()

    def close(self) -> None:
        """Close it at once."""
        if not self._closed:
            self._closed = True
            self._stop_watching()
            self._loop.remove_writer(self._socket.fileno())
            self._socket.close()
            self._wake_reader()

    def _try_to_send(self, data: bytes | memoryview) -> int:
        if self._closed:
            raise anyio.ClosedResourceError
        try:
            return self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            return 0

    async def _wait_for_input(self) -> None:
        if self._closed or self._ended:
            await anyio.lowlevel.checkpoint()
            return
        if not self._watching:
            self._watching = True
            self._loop.add_reader(self._socket.fileno(), self._on_input)
        self._reader = self._loop.create_future()
        try:
            await self._reader
        finally:
            self._reader = None

    def _on_input(self) -> None:
        try:
            data = self._socket.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._error = error.with_traceback(None)
            data = b""
        if data:
            self._chunks.append(data)
        else:
            self._ended = True
        # After an error on the socket libuv watches it no longer, and uvloop does not say so.
        if self._ended or self._reader is None or self._is_uvloop:
            self._stop_watching()
        self._wake_reader()

    def _stop_watching(self) -> None:
        if self._watching:
            self._watching = False
            self._loop.remove_reader(self._socket.fileno())

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def _wait_for_room(self) -> None:
        writable = self._loop.create_future()
        number = self._socket.fileno()

        def wake() -> None:
            if not writable.done():
                writable.set_result(None)

        self._loop.add_writer(number, wake)
        try:
            await writable
        finally:
            if not self._closed:
                self._loop.remove_writer(number)


async def close_at_once(stream: Stream) -> None:
    """Close ``stream`` without a farewell; it takes no time and cannot be cancelled."""
    with anyio.CancelScope() as scope:
        scope.cancel()
        try:
            await stream.aclose()
        except STREAM_ERRORS:
            return


async def connect_unix(path: str) -> Stream:
    """A stream to the Unix socket at ``path``.

    Raises:
        OSError: nobody listens there.
    """
    return await _connect(running_loop(), socket.AF_UNIX, path)


async def connect_tcp(host: str, port: int) -> Stream:
    """A stream to ``host``: the first of its addresses that answers.

    Raises:
        OSError: none does, or there is none.
    """
    loop = running_loop()
    targets = await resolve(host, port)
    if len(targets) == 1:
        return await _connect(loop, *targets[0])
    connected: list[Stream] = []
    errors: list[OSError] = []

    async def attempt(target: tuple[int, Any], failed: anyio.Event) -> None:
        try:
            stream = await _connect(loop, *target)
        except OSError as error:
            errors.append(error)
            failed.set()
            return
        connected.append(stream)
        tasks.cancel_scope.cancel()

    try:
        async with anyio.create_task_group() as tasks:
            for target in targets:
                failed = anyio.Event()
                tasks.start_soon(attempt, target, failed)
                with anyio.move_on_after(HAPPY_EYEBALLS_DELAY):
                    await failed.wait()
        if connected:
            return connected.pop(0)
    finally:
        for stream in connected:  # two answered at the same time, or the caller was cancelled
            await close_at_once(stream)
    if len({error.errno for error in errors}) == 1:
        raise errors[0]
    raise OSError("; ".join(dict.fromkeys(map(str, errors))))


async def _connect(loop: Loop, family: int, address: Any) -> Stream:
    plain = socket.socket(family, socket.SOCK_STREAM)
    try:
        plain.setblocking(False)
        if family != socket.AF_UNIX:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if loop.asyncio is not None:
            await loop.asyncio.sock_connect(plain, address)
            return AsyncioStream(plain, loop.asyncio)
        import trio  # a program of asyncio has no need of it

        wrapped = trio.socket.from_stdlib_socket(plain)
        await wrapped.connect(address)
        return TrioStream(wrapped)
    except BaseException as error:
        plain.close()
        if isinstance(error, OSError) and error.errno == errno.EINPROGRESS:
            raise OSError(errno.ETIMEDOUT, "timed out") from error
        raise
