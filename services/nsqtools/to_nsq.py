"""``to_nsq``: publishes standard input, a message a line.

stdin ─chunks─▶ Splitter ─bodies─▶ Throttle ─batches─▶ a Producer per destination ═▶ nsqd

What one read brings is published at once, as few commands as possible, to every destination; the
next read waits for that, so a slow nsqd slows the input down and nothing piles up here. Every
message is confirmed before the program ends with 0.
"""

import logging
import os
import re
import stat
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import TypeVar

import attrs
import trio

from nsqclient import (
    ClientError,
    ConnectionLost,
    Hooks,
    Producer,
    PublishError,
    open_producer,
)
from nsqcore.app.options import option
from nsqcore.app.service import Process
from nsqtools import cli
from nsqtools.clientopts import ClientOption, ClientSettings
from nsqtools.progress import Progress

logger = logging.getLogger(__name__)

PROGRAM = "to_nsq"

READ_SIZE = 256 * 1024

# Bodies in one command, by number and by size: below what an nsqd accepts by default (5 MiB), and
# enough that their number, not the round trip, decides the speed.
BATCH = 1000
MPUB_LIMIT = 1024 * 1024

# Seconds to wait for an nsqd that went away: time for a restart.
PATIENCE = 5.0
LONGEST_DELAY = 1.0

# Seconds a throttle waits at least; above a thousand messages a second they go in small groups.
SHORTEST_WAIT = 0.001

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class ToNsqOptions:
    """Settings of one ``to_nsq``."""

    topic: str = option("", "NSQ topic to publish to")
    delimiter: str = option("\n", "the byte that ends a message", shown="newline")
    rate: int = option(0, "publish at most this many messages a second; 0 is no limit")
    nsqd_tcp_addresses: tuple[str, ...] = option(
        (),
        "destination nsqd TCP address (may be given multiple times)",
        flag="nsqd-tcp-address",
        many=True,
    )
    producer_opts: tuple[ClientOption, ...] = cli.producer_option()
    log_level: str = cli.fixed("error")
    log_prefix: str = cli.fixed("")
    log_format: str = cli.fixed("text")


@attrs.define(eq=False)
class Splitter:
    """Cuts chunks into bodies at a delimiter; keeps an unfinished one. Empty ones are dropped."""

    delimiter: bytes
    _pieces: list[bytes] = attrs.field(factory=list)

    def feed(self, chunk: bytes) -> list[bytes]:
        """The bodies that ``chunk`` completes; ``b""`` is the end, and completes the last."""
        if not chunk:
            last = b"".join(self._pieces)
            self._pieces.clear()
            return [last] if last else []
        first, *others = chunk.split(self.delimiter)
        self._pieces.append(first)
        if not others:
            return []
        rest = others.pop()
        bodies = [b"".join(self._pieces), *others]
        self._pieces = [rest]
        return [body for body in bodies if body]


@attrs.define(eq=False)
class Throttle:
    """Allows ``rate`` messages a second; what is not used is kept for up to a second."""

    rate: int
    _allowed: float = 1.0
    _last: float | None = None

    async def allow(self, wanted: int) -> int:
        """How many of ``wanted`` messages may go now; waits until that is one at least."""
        if self.rate < 1:
            return wanted
        while True:
            now = trio.current_time()
            if self._last is not None:
                self._allowed += (now - self._last) * self.rate
                self._allowed = min(self._allowed, float(self.rate))
            self._last = now
            if self._allowed >= 1:
                granted = min(wanted, int(self._allowed))
                self._allowed -= granted
                return granted
            # Never for next to nothing: sums of fractions stop just short of one.
            await trio.sleep(max((1 - self._allowed) / self.rate, SHORTEST_WAIT))


@attrs.define(eq=False)
class Destination:
    """An nsqd that gets every message.

    nsqd does not say what sizes it accepts before it refuses one, and hangs up then; the limits are
    learned from its refusals.
    """

    producer: Producer
    reached: trio.Event = attrs.field(factory=trio.Event)
    max_body: int = MPUB_LIMIT
    max_message: int = MPUB_LIMIT
    max_count: int = BATCH

    async def send(self, topic: str, batch: list[bytes]) -> None:
        """Publish all of ``batch``, in order; raises ClientError if not all are published."""
        start = 0
        while start < len(batch):
            part = self._fitting(batch, start)
            try:
                await self._publish(topic, part)
            except PublishError as error:
                if len(part) == 1 or error.code not in ("E_BAD_MESSAGE", "E_BAD_BODY"):
                    raise
                self._learn(error)
                if len(self._fitting(batch, start)) == len(part):
                    self.max_count = len(part) // 2
                continue  # nothing was published
            start += len(part)

    def _fitting(self, batch: list[bytes], start: int) -> list[bytes]:
        """The bodies from ``start`` on that fit into one command; one at least."""
        part: list[bytes] = []
        room = self.max_body - 4  # MPUB: a count, then a size before each body
        for body in batch[start : start + self.max_count]:
            room -= 4 + len(body)
            if part and (room < 0 or len(body) > self.max_message):
                break
            part.append(body)
            if len(body) > self.max_message:
                break
        return part

    def _learn(self, error: PublishError) -> None:
        match = re.search(r"\d+ > (\d+)", str(error))
        if match is None:
            return
        if error.code == "E_BAD_BODY":
            self.max_body = int(match[1])
        else:
            self.max_message = int(match[1])

    async def _publish(self, topic: str, batch: list[bytes]) -> None:
        try:
            await self._publish_once(topic, batch)
        except ConnectionLost as error:
            if error.sent or not self.reached.is_set():
                raise
            # It was there before: restarted maybe, or it has just refused something.
            with trio.move_on_after(PATIENCE):
                await self.producer.wait_until_connected()
            await self._publish_once(topic, batch)

    async def _publish_once(self, topic: str, batch: list[bytes]) -> None:
        if len(batch) == 1:  # PUB has a limit of its own, which is the one for messages
            await self.producer.publish(topic, batch[0])
        else:
            await self.producer.publish_many(topic, batch)


@attrs.define(eq=False)
class Publisher:
    """Publishes bodies to every destination."""

    topic: str
    destinations: list[Destination]
    throttle: Throttle
    progress: Progress
    shutdown: trio.Event

    async def publish(self, bodies: list[bytes]) -> int:
        """How many of ``bodies`` were published: all, unless told to stop.

        Raises:
            ClientError: a destination did not take some.
        """
        start = 0
        while start < len(bodies):
            batch = bodies[start : start + BATCH]
            allowed = await _unless(self.shutdown, partial(self.throttle.allow, len(batch)))
            if not allowed:
                break
            batch = batch[:allowed]
            await self._send(batch)
            self.progress.add(len(batch), sum(map(len, batch)) + len(batch))
            start += len(batch)
        return start

    async def _send(self, batch: list[bytes]) -> None:
        if len(self.destinations) == 1:
            await self.destinations[0].send(self.topic, batch)
            return
        errors: list[ClientError] = []

        async def send(destination: Destination) -> None:
            try:
                await destination.send(self.topic, batch)
            except ClientError as error:
                errors.append(error)

        async with trio.open_nursery() as nursery:
            for destination in self.destinations:
                nursery.start_soon(send, destination)
        if errors:
            raise errors[0]


async def _unless(shutdown: trio.Event, work: Callable[[], Awaitable[T]]) -> T | None:
    """What ``work`` returns, or None if ``shutdown`` was set first."""
    result: T | None = None

    async def cancel(scope: trio.CancelScope) -> None:
        await shutdown.wait()
        scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(cancel, nursery.cancel_scope)
        result = await work()
        nursery.cancel_scope.cancel()
    return result


async def _read() -> bytes:
    return await trio.to_thread.run_sync(os.read, 0, READ_SIZE, abandon_on_cancel=True)


async def _publish_input(publisher: Publisher, delimiter: bytes) -> None:
    splitter = Splitter(delimiter)
    while True:
        chunk = await _unless(publisher.shutdown, _read)
        if chunk is None:
            return
        bodies = splitter.feed(chunk)
        left = len(bodies) - await publisher.publish(bodies)
        if left:
            logger.warning("input: told to stop, %d messages of it were not published", left)
        if left or not chunk:
            return


def _input_size() -> int:
    """Bytes of standard input, where it is a file."""
    status = os.fstat(0)
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def _check(options: ToNsqOptions) -> None:
    cli.require(options.topic, "--topic required")
    cli.check_topics([options.topic])
    cli.require(len(os.fsencode(options.delimiter)) == 1, "--delimiter must be a single byte")
    cli.require(options.nsqd_tcp_addresses, "--nsqd-tcp-address required")
    cli.check_addresses(options.nsqd_tcp_addresses, "nsqd-tcp-address")


def _note_reached(reached: trio.Event, _address: str) -> None:
    reached.set()


async def run(options: ToNsqOptions, process: Process) -> None:
    """Publish standard input until its end, or until told to stop."""
    _check(options)
    connection = attrs.evolve(
        ClientSettings.of(options.producer_opts).connection(cli.user_agent(PROGRAM)),
        max_reconnect_delay=LONGEST_DELAY,
    )
    progress = Progress(expected=_input_size())
    async with AsyncExitStack() as stack:
        destinations: list[Destination] = []
        for address in dict.fromkeys(options.nsqd_tcp_addresses):
            reached = trio.Event()
            hooks = Hooks(connected=partial(_note_reached, reached))
            opening = open_producer(address, options=connection, hooks=hooks)
            destinations.append(Destination(await stack.enter_async_context(opening), reached))
        publisher = Publisher(
            options.topic, destinations, Throttle(options.rate), progress, process.shutdown
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(progress.show)
            try:
                await _publish_input(publisher, os.fsencode(options.delimiter))
            except ClientError as error:
                text = f"{error}; at least {progress.messages} messages were published before"
                raise ConnectionError(text) from error
            finally:
                nursery.cancel_scope.cancel()


def main() -> int:
    """The exit status of ``to_nsq``."""
    return cli.main(PROGRAM, ToNsqOptions, run, has_version=False)


if __name__ == "__main__":
    sys.exit(main())
