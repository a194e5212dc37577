"""One running nsqlookupd: listeners and sessions over one registry, and how they stop.

The only module here that reads a clock.
"""

import logging
import socket
import time

import trio

from nsqcore.addresses import AddressError
from nsqcore.app import garbage
from nsqcore.app.options import OptionsError
from nsqcore.app.service import Process
from nsqcore.app.version import VERSION
from nsqcore.http.dates import Dates
from nsqcore.http.session import HttpSession, Timeouts
from nsqcore.net.effects import Handler, Peer
from nsqcore.reactor.listeners import Listener, open_listener
from nsqcore.reactor.reactor import Reactor
from nsqcore.reactor.timers import Timers
from nsqcore.units import SECOND
from nsqlookupd.context import Lookupd
from nsqlookupd.dispatch import LookupSession
from nsqlookupd.http import router
from nsqlookupd.options import NsqlookupdOptions
from nsqlookupd.registry import Registry

logger = logging.getLogger(__name__)


# Time for answers that are on their way when the daemon stops. There is nothing else to wait for.
GRACE = 1.0

# What an empty address stands for, as in the original: any free port.
ANY_ADDRESS = ":0"

# How often the lag of the loop is measured, in seconds.
LAG_INTERVAL = 0.5


async def run(options: NsqlookupdOptions, process: Process) -> None:
    """Serve until ``process.shutdown`` is set.

    Raises:
        OptionsError: an address cannot be listened on.
    """
    tcp, http = _listen_all(options.tcp_address, options.http_address)
    registry = Registry(
        round(options.inactive_producer_timeout * SECOND),
        round(options.tombstone_lifetime * SECOND),
    )
    lookupd = Lookupd(registry, time.monotonic_ns, time.time_ns)
    about = {
        "tcp_port": tcp.port,
        "http_port": http.port,
        "version": VERSION,
        "hostname": socket.gethostname(),
        "broadcast_address": options.broadcast_address,
    }
    reactor = Reactor(lambda: None)
    timeouts = Timeouts(Timers(time.monotonic_ns, reactor.finish_tick))
    date = Dates(time.time_ns).line

    def make_session(peer: Peer) -> Handler:
        logger.info("TCP: new client(%s)", peer.address)
        return LookupSession(peer, registry, lambda: about, time.monotonic_ns)

    def make_http_session(peer: Peer) -> Handler:
        return HttpSession(router, peer, lookupd, timeouts=timeouts, date=date)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(_measure_lag, lookupd)
        reactor.listen(tcp, make_session)
        reactor.listen(http, make_http_session)
        await nursery.start(reactor.run)
        nursery.start_soon(timeouts.timers.run)
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
        nursery.cancel_scope.cancel()


async def _measure_lag(lookupd: Lookupd) -> None:
    while True:
        due = trio.current_time() + LAG_INTERVAL
        await trio.sleep_until(due)
        lookupd.lag = trio.current_time() - due


def _listen_all(*addresses: str) -> list[Listener]:
    opened: list[Listener] = []
    try:
        for address in addresses:
            opened.append(open_listener(address or ANY_ADDRESS))
    except (OSError, AddressError) as error:
        for listener in opened:
            listener.close()
        reason = getattr(error, "strerror", None) or error
        raise OptionsError(
            f"failed to instantiate nsqlookupd - listen ({address}) failed - {reason}"
        ) from error
    return opened
