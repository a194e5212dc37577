"""One running nsqlookupd: listeners and sessions over one registry, and how they stop.

The only module here that reads a clock.
"""

import logging
import socket
import time
from functools import partial

import trio

from nsqcore.addresses import AddressError
from nsqcore.app import garbage, threads
from nsqcore.app.options import OptionsError
from nsqcore.app.service import Process
from nsqcore.app.supervise import supervise
from nsqcore.app.version import VERSION
from nsqcore.http.dates import Dates
from nsqcore.http.session import HttpSession, Timeouts
from nsqcore.net.effects import Handler, Peer
from nsqcore.operations import metrics
from nsqcore.reactor.listeners import Listener, open_listener
from nsqcore.reactor.reactor import Reactor
from nsqcore.reactor.timers import Timers
from nsqcore.units import SECOND, ns
from nsqlookupd.context import Lookupd
from nsqlookupd.dispatch import LookupSession
from nsqlookupd.http import build_router
from nsqlookupd.options import NsqlookupdOptions
from nsqlookupd.registry import Registry

logger = logging.getLogger(__name__)


# Time for answers that are on their way when the daemon stops. There is nothing else to wait for.
GRACE = 1.0

# What an empty address stands for, as in the original: any free port.
ANY_ADDRESS = ":0"

# Seconds between two looks for topics to forget: a tenth of their time, within these bounds.
SHORTEST_SWEEP, LONGEST_SWEEP = 1.0, 60.0


async def run(options: NsqlookupdOptions, process: Process) -> None:
    """Serve until ``process.shutdown`` is set.

    Raises:
        OptionsError: an address cannot be listened on.
    """
    async with threads.open_threads():
        listen = partial(threads.run_sync, lane="names", abandon=True)
        addresses = options.tcp_address, options.http_address
        listeners = await process.unless_stopped(listen, _listen_all, *addresses)
        if listeners is None:
            return
        tcp, http = listeners
        registry = Registry(
            ns(options.inactive_producer_timeout),
            ns(options.tombstone_lifetime),
            ns(options.inactive_topic_timeout),
        )
        about = {
            "tcp_port": tcp.port,
            "http_port": http.port,
            "version": VERSION,
            "hostname": socket.gethostname(),
            "broadcast_address": options.broadcast_address,
        }
        await _serve(Lookupd(registry, time.monotonic_ns, time.time_ns), about, tcp, http, process)


async def _serve(
    lookupd: Lookupd, about: dict[str, object], tcp: Listener, http: Listener, process: Process
) -> None:
    reactor = Reactor(lambda: None)
    timeouts = Timeouts(Timers(lookupd.now, reactor.finish_tick))
    date, router = Dates(lookupd.wall).line, build_router(lookupd)

    def make_session(peer: Peer) -> Handler:
        logger.info("TCP: new client(%s)", peer.address)
        return LookupSession(peer, lookupd.registry, lambda: about, lookupd.now)

    def make_http_session(peer: Peer) -> Handler:
        return HttpSession(router, peer, timeouts=timeouts, date=date)

    async with trio.open_nursery() as tasks:
        tasks.start_soon(supervise, "lag", lookupd.lag.run)
        tasks.start_soon(supervise, "timers", timeouts.timers.run)
        registrations = partial(_registrations, lookupd.registry)
        tasks.start_soon(supervise, "garbage", garbage.MemoryWatch(registrations).run)
        tasks.start_soon(supervise, "metrics", partial(threads.run_sync, metrics.preload))
        if lookupd.registry.topic_lifetime:
            tasks.start_soon(supervise, "topics", partial(_forget_idle_topics, lookupd))
        reactor.listen(tcp, make_session)
        reactor.listen(http, make_http_session)
        await tasks.start(reactor.run)
        logger.info("TCP: listening on %s", tcp.address)
        logger.info("HTTP: listening on %s", http.address)
        garbage.tune()
        process.ready()
        await process.shutdown.wait()
        lookupd.stopping = True
        logger.info("TCP: closing %s", tcp.address)
        logger.info("HTTP: closing %s", http.address)
        reactor.stop_accepting()
        await reactor.close_clients(GRACE)
        tasks.cancel_scope.cancel()


def _registrations(registry: Registry) -> int:
    return sum(1 + len(topic.channels) + len(topic.producers) for topic in registry.topics.values())


async def _forget_idle_topics(lookupd: Lookupd) -> None:
    lifetime = lookupd.registry.topic_lifetime / SECOND
    while True:
        await trio.sleep(min(max(lifetime / 10, SHORTEST_SWEEP), LONGEST_SWEEP))
        for name in lookupd.registry.forget_idle_topics(now=lookupd.now()):
            logger.info("DB: removing topic(%s), which no nsqd has had for %g s", name, lifetime)


def _listen_all(*addresses: str) -> list[Listener]:
    opened: list[Listener] = []
    try:
        for address in addresses:
            opened.append(open_listener(address or ANY_ADDRESS))
    except (OSError, AddressError, ValueError) as error:
        for listener in opened:
            listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise OptionsError(
            f"failed to instantiate nsqlookupd - listen ({address}) failed - {reason}"
        ) from error
    return opened
