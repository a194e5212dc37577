"""The system calls of a tick: what is received, what is sent, and who can be.

Where nsq-trio is compiled ``system.pyx`` takes the place of this module: it asks the kernel itself,
without the objects in between, which for one small message cost as much as all the rest.
"""

import select
import socket
import time

# Of the largest read: some tens of milliseconds of the costliest commands there are.
BUFFER_SIZE = 128 * 1024
# Sockets looked at per tick: bounds a tick's length, and the kernel goes round among them.
MAX_EVENTS = 256

Events = list[tuple[int, int]]

_buffer = memoryview(bytearray(BUFFER_SIZE))


def receive(sock: socket.socket, fd: int, limit: int) -> bytes | None:
    """What has come, at most ``limit`` bytes; b"" at the end of the stream, None if nothing has.

    ``fd`` is the descriptor of ``sock``.

    Raises:
        OSError: the connection is broken.
    """
    try:
        count = sock.recv_into(_buffer, limit)
    except BlockingIOError:
        return None
    return bytes(_buffer[:count])


def transmit(sock: socket.socket, fd: int, data: bytes | memoryview) -> int:
    """How many bytes of ``data`` the kernel took; -1 if it takes none now.

    Raises:
        OSError: the connection is broken.
    """
    try:
        return sock.send(data)
    except BlockingIOError:
        return -1


def poll(epoll: "select.epoll", fd: int, timeout: int) -> Events:
    """Who of the set ``epoll``, whose descriptor is ``fd``, can do something, and what.

    Waits for ``timeout`` ms at most.
    """
    return epoll.poll(timeout / 1000, MAX_EVENTS)


def clock() -> float:
    """Seconds of the monotonic clock, for measuring."""
    return time.perf_counter()
