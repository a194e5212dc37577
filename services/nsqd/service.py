"""One nsqd, from its options to its end.

Builds the broker, opens the listeners, and runs the tasks round them: the
switchboard, the timers, the disk's chores. The only place that reads a clock.

A stop goes inside out: no more connections, then the clients are let go (what
they hold is queued again), then the helpers end, then everything goes to disk. A
crash of any task takes the same road and is re-raised.
"""

import logging
import os
import time
from functools import partial
from typing import Any, NoReturn

import trio
from attrs import define, field

from nsqcore.app.dirlock import lock_directory
from nsqcore.app.service import Process
from nsqcore.app.version import VERSION
from nsqcore.net.effects import Peer
from nsqcore.net.listeners import open_listener
from nsqcore.net.switchboard import Switchboard
from nsqcore.net.timers import Timer, Timers
from nsqcore.wire.identify import Limits
from nsqd import sync
from nsqd.client.client import Client, ClientSettings, Services
from nsqd.client.session import Session, open_session
from nsqd.engine.broker import Broker, EngineSettings
from nsqd.engine.queues.store import DiskStore
from nsqd.options import TOPOLOGY_AWARE_CONSUMPTION, NsqdOptions, TLSRequired

logger = logging.getLogger(__name__)

MS = 1_000_000  # ns

# How long clients may take to read what is on its way to them when nsqd stops.
GRACE = 1.0


def engine_settings(options: NsqdOptions) -> EngineSettings:
    """The engine's part of the options."""
    return EngineSettings(
        mem_queue_size=options.mem_queue_size,
        node_id=options.id,
        max_channel_consumers=options.max_channel_consumers,
        topology_aware=TOPOLOGY_AWARE_CONSUMPTION in options.enable_experiment,
    )


def client_settings(options: NsqdOptions) -> ClientSettings:
    """The V2 sessions' part of the options."""
    limits = Limits(
        max_heartbeat_interval=_ms(options.max_heartbeat_interval),
        max_output_buffer_size=options.max_output_buffer_size,
        min_output_buffer_timeout=_ms(options.min_output_buffer_timeout),
        max_output_buffer_timeout=_ms(options.max_output_buffer_timeout),
        output_buffer_timeout=_ms(options.output_buffer_timeout),
        msg_timeout=_ms(options.msg_timeout),
        max_msg_timeout=_ms(options.max_msg_timeout),
        max_rdy_count=options.max_rdy_count,
        tls=bool(options.tls_cert),
        deflate=options.deflate,
        max_deflate_level=options.max_deflate_level,
        snappy=options.snappy,
        auth_required=bool(options.auth_http_addresses),
        topology_region=options.topology_region,
        topology_zone=options.topology_zone,
        version=VERSION,
    )
    return ClientSettings(
        limits=limits,
        max_msg_size=options.max_msg_size,
        max_body_size=options.max_body_size,
        max_req_timeout=_ms(options.max_req_timeout) * MS,
        max_msg_timeout=_ms(options.max_msg_timeout) * MS,
        tls_required=options.tls_required is not TLSRequired.NO,
    )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _no_upgrade(client: Client) -> NoReturn:
    raise NotImplementedError


@define(eq=False)
class Nsqd:
    """The parts of one nsqd, and the tasks that run them."""

    options: NsqdOptions
    process: Process
    broker: Broker
    switchboard: Switchboard = field(init=False)
    timers: Timers = field(init=False)
    services: Services = field(init=False)
    sessions: dict[Session, None] = field(factory=dict, init=False)
    draining: bool = False
    _expiry: Timer | None = None
    _expiry_at: int = 0

    def __attrs_post_init__(self) -> None:
        self.switchboard = Switchboard(self.end_turn)
        self.timers = Timers(time.monotonic_ns, self.switchboard.finish_turn)
        self.services = Services(
            broker=self.broker,
            settings=client_settings(self.options),
            now=time.monotonic_ns,
            call_at=self.timers.call_at,
            upgrade=_no_upgrade,
            authorize=_no_upgrade,
            stir=self.switchboard.stir,
            draining=lambda: self.draining,
        )

    # ------------------------------------------------------------ turns and deadlines

    def end_turn(self) -> None:
        """Deliver what this turn brought, and see to it that the next deadline is met."""
        broker, now = self.broker, time.monotonic_ns()
        if broker.pump(now):
            self.timers.call_at(now, _again)
        deadline = broker.deadlines.next
        if deadline is None or (self._expiry is not None and self._expiry_at <= deadline):
            return
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry_at = deadline
        self._expiry = self.timers.call_at(deadline, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        self.broker.expire(time.monotonic_ns())

    # ------------------------------------------------------------ clients

    def accept(self, peer: Peer) -> Session:
        """The session of a V2 client that has just connected."""
        wall = time.monotonic_ns() + self.broker.wall
        session = open_session(self.services, wall, self._closed, peer)
        self.sessions[session] = None
        return session

    def _closed(self, session: Session) -> None:
        self.sessions.pop(session, None)

    # ------------------------------------------------------------ running

    async def serve(self) -> None:
        """Run until the process is told to stop, or a task crashes."""
        listener = open_listener(self.options.tcp_address)
        self.switchboard.listen(listener, self.accept)
        logger.info("TCP: listening on %s", listener.address)
        try:
            async with trio.open_nursery() as helpers:
                helpers.start_soon(self.timers.run)
                helpers.start_soon(sync.keep_synced, self.broker.store)
                await helpers.start(self._run_switchboard)
                self.process.ready()
                await self.process.shutdown.wait()
                self.switchboard.stop_accepting()
                await self.switchboard.close_clients(GRACE)
                helpers.cancel_scope.cancel()
        finally:
            logger.info("NSQ: closing topics")
            self.broker.close()
            await sync.finish(self.broker.store)

    async def _run_switchboard(self, task_status: Any) -> None:
        await self.switchboard.run(task_status=task_status)


def _again() -> None:
    """Nothing but the turn that ends after it."""


async def run(options: NsqdOptions, process: Process) -> None:
    """Run one nsqd until ``process.shutdown`` is set.

    Raises DirectoryLocked, or OSError where a listener cannot be had or the queues
    cannot be written at the end.
    """
    path = options.data_path or os.getcwd()
    with lock_directory(path):
        store = DiskStore(
            path,
            max_bytes_per_file=options.max_bytes_per_file,
            max_record_size=options.max_msg_size + 26,
            sync_every=options.sync_every,
            sync_timeout=options.sync_timeout,
            warn=partial(logger.warning, "%s"),
        )
        broker = Broker(engine_settings(options), store, time.time_ns() - time.monotonic_ns())
        await Nsqd(options, process, broker).serve()
