"""Other queues that wait for the device, to measure beside durable topics.

Redis with ``appendfsync always`` (its XADD) and beanstalkd with a log that is synced at each job
(its put): one command at a time on each connection, as PUB.
"""

import contextlib
import re
import selectors
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator

from attrs import frozen

from bench.processes import cpu_seconds, pause
from bench.result import Result, Side, Slices

SLICES = 3


@frozen
class Store:
    """A server: how it is started at a socket of its own, given a body, and asked how many it has.

    ``flags`` are given its directory and its socket. ``accepted`` is how it begins its answer to
    ``command``; ``count`` finds the number in its answer to ``ask``.
    """

    program: str
    flags: Callable[[str, str], list[str]]
    command: Callable[[bytes], bytes]
    accepted: bytes
    ask: bytes
    count: bytes

    @property
    def here(self) -> bool:
        """Whether it is installed."""
        return shutil.which(self.program) is not None


def _redis_flags(home: str, address: str) -> list[str]:
    flags = ["--port", "0", "--unixsocket", address, "--dir", home, "--save", ""]
    return [*flags, "--appendonly", "yes", "--appendfsync", "always"]


def _xadd(body: bytes) -> bytes:
    parts = [b"XADD", b"bench", b"*", b"b", body]
    words = b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
    return b"*%d\r\n%b" % (len(parts), words)


REDIS = Store(
    "redis-server",
    _redis_flags,
    _xadd,
    accepted=b"$",
    ask=b"*2\r\n$4\r\nXLEN\r\n$5\r\nbench\r\n",
    count=rb":(\d+)\r\n",
)

BEANSTALKD = Store(
    "beanstalkd",
    lambda home, address: ["-l", f"unix:{address}", "-b", home, "-f", "0"],
    lambda body: b"put 0 0 60 %d\r\n%b\r\n" % (len(body), body),
    accepted=b"INSERTED",
    ask=b"stats\r\n",
    count=rb"current-jobs-ready: (\d+)\n",
)


def append(side: Side, result: Result, *, store: Store, connections: int, size: int) -> Slices:
    """Add to the store, one command at a time on each connection."""
    total, spent, cpu = 0, 0.0, 0.0
    with serving(store) as (process, address):
        for _ in range(SLICES):
            yield
            before = cpu_seconds(process.pid)
            seconds = side.seconds(1.5) / SLICES
            count, took = drive(store, address, connections, b"x" * size, seconds)
            cpu += cpu_seconds(process.pid) - before
            total += count
            spent += took
        found = length(store, address)
        result.check(found == total, f"it has {total}, not {found}")
    result.high("acknowledged", total / spent, "msg/s")
    result.low("server CPU", cpu / total * 1e6, "s/Mmsg")


@contextlib.contextmanager
def serving(store: Store) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A server on a socket of its own, with nothing in it."""
    program = shutil.which(store.program)
    assert program is not None
    with tempfile.TemporaryDirectory(prefix="nsq-bench-") as home:
        address = f"{home}/socket"
        process = subprocess.Popen(
            [program, *store.flags(home, address)], stdout=subprocess.DEVNULL
        )
        try:
            start = time.monotonic()
            while True:
                with contextlib.suppress(OSError):
                    open_connection(address).close()
                    break
                if time.monotonic() - start > 10 or process.poll() is not None:
                    raise RuntimeError(f"{store.program} does not start")
                pause(0.01)
            yield process, address
        finally:
            process.kill()
            process.wait()


def open_connection(address: str) -> socket.socket:
    """A connection to the server at the socket ``address``."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    return connection


def drive(
    store: Store, address: str, connections: int, body: bytes, seconds: float
) -> tuple[int, float]:
    """How many commands were answered, and in how many seconds."""
    command = store.command(body)
    count = 0
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        for _ in range(connections):
            connection = stack.enter_context(open_connection(address))
            selector.register(connection, selectors.EVENT_READ, connection)
        began = time.monotonic()
        waiting = connections
        for key in list(selector.get_map().values()):
            key.data.sendall(command)
        while waiting:
            going_on = time.monotonic() - began < seconds
            for key, _ in selector.select():
                if not key.data.recv(4096).startswith(store.accepted):
                    raise RuntimeError(f"{store.program} refuses a command")
                count += 1
                if going_on:
                    key.data.sendall(command)
                else:
                    waiting -= 1
        return count, time.monotonic() - began


def length(store: Store, address: str) -> int:
    """How many messages it has."""
    with open_connection(address) as connection:
        connection.sendall(store.ask)
        answer = b""
        while (found := re.search(store.count, answer)) is None:
            more = connection.recv(65536)
            if not more:
                raise RuntimeError(f"{store.program} does not say how many it has")
            answer += more
        return int(found[1])
