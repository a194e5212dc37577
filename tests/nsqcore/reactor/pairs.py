"""A session served by a reactor, and its client's end, without a listener."""

import socket

import trio

from nsqcore.net.effects import Handler, Peer
from nsqcore.reactor.reactor import Reactor


async def serve_pair(
    nursery: trio.Nursery, reactor: Reactor, handler: Handler, *, buffer: int = 0
) -> trio.SocketStream:
    """The client's end of a socket that ``reactor``, which runs, serves with ``handler``.

    It is closed with ``nursery``. ``buffer`` bounds what the kernel keeps for the client, in bytes.
    """
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    if buffer:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
    reactor.serve(theirs, Peer("127.0.0.1:1"), handler)
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours))

    async def close_at_last() -> None:
        try:
            await trio.sleep_forever()
        finally:
            ours.close()
            stream.socket.close()

    nursery.start_soon(close_at_last)
    return stream


async def run_reactor(nursery: trio.Nursery, reactor: Reactor) -> None:
    """Have ``reactor`` run, until ``nursery`` is cancelled."""
    await nursery.start(lambda task_status: reactor.run(task_status=task_status))
