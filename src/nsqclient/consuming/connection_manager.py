"""A consumer's connections: one for each source, kept up as long as it is wanted.

A source given by the user is wanted for ever; one found by nsqlookupd as long as
some nsqlookupd names it. A connection that works is never cut because a name
went missing: it ends when nsqd ends it, and is then not made again.
"""

import logging
from collections.abc import Iterable

import anyio
from attrs import Factory, define

from nsqclient.connection.connection import Connection, connect
from nsqclient.consuming.discovery import Source
from nsqclient.consuming.flow_control import FlowControl
from nsqclient.consuming.rdy import ConnectionRdy
from nsqclient.consuming.subscription import Subscription
from nsqclient.core.background import Background
from nsqclient.core.errors import ClientError
from nsqclient.core.options import ConnectionOptions, in_seconds
from nsqclient.core.reconnect import GOOD_LIFE, ReconnectDelay
from nsqcore.wire import client_commands as commands

log = logging.getLogger("nsqclient")


@define(eq=False)
class ConnectionManager:
    """Keeps a connection to every source that is wanted. ``fixed`` ones always are."""

    channel: str
    control: FlowControl
    options: ConnectionOptions
    tasks: Background
    fixed: frozenset[Source] = frozenset()
    _wanted: set[Source] = Factory(set)
    _kept: set[Source] = Factory(set)

    def want(self, found: Iterable[Source]) -> None:
        """Note which sources are wanted now, besides the fixed ones."""
        self._wanted = {*self.fixed, *found}
        for source in sorted(self._wanted - self._kept, key=lambda s: (s.topic, s.address)):
            self._kept.add(source)
            self.control.distribution.connecting += 1
            self.tasks.start(self._keep, source)

    async def _keep(self, source: Source) -> None:
        retry = ReconnectDelay(in_seconds(self.options.max_reconnect_delay))
        expected = True
        try:
            while source in self._wanted and not self.control.stopping:
                error: Exception
                began = anyio.current_time()
                try:
                    connection = await connect(source.address, self.options)
                except ClientError as refused:
                    error = refused
                    if expected:
                        expected = False
                        self._unexpect()
                else:
                    if expected:
                        expected = False
                        self.control.distribution.connecting -= 1
                    error = await self._serve(source, connection)
                if anyio.current_time() - began >= GOOD_LIFE:
                    retry.succeeded()
                await self._wait(error, source, retry)
        finally:
            self._kept.discard(source)
            if expected:
                self._unexpect()

    def _unexpect(self) -> None:
        """Nobody comes for the room that was kept: the others may have it."""
        self.control.distribution.connecting -= 1
        self.control.plan()

    async def _wait(self, error: Exception, source: Source, retry: ReconnectDelay) -> None:
        if self.control.hooks.disconnected is not None:
            self.control.hooks.disconnected(source.address, error)
        if not self.control.stopping:
            delay = retry.delay()
            log.warning("consumer(%s): %s; trying again in %.1f s", self.control.name, error, delay)
            await anyio.sleep(delay)

    async def _serve(self, source: Source, connection: Connection) -> Exception:
        """Consume by one connection until it ends; returns the reason."""
        rdy = ConnectionRdy(limit=connection.negotiated.max_rdy_count)
        subscription = Subscription(source.topic, connection, self.control, rdy)
        connection.on_messages = subscription.receive
        connection.on_message_error = subscription.refused
        connection.request(commands.subscribe(source.topic, self.channel))
        self.control.join(subscription)
        log.info("consumer(%s): connected to nsqd %s", self.control.name, source.address)
        if self.control.hooks.connected is not None:
            self.control.hooks.connected(source.address)
        try:
            await connection.run()
        finally:
            self.control.leave(subscription)
        assert connection.error is not None  # `run` returns with the reason
        return connection.error
