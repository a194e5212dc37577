"""One nsqadmin process: the web server, the collector and the notifier, until it is told to stop.

The listening socket is opened before anything runs, so that a port in use ends the program at once.
At the end open streams get a moment to close; nothing here has state worth keeping.
"""

import logging
import time
from functools import partial

import trio

from nsqadmin.app import MAX_BODY, make_app
from nsqadmin.config.options import NsqadminOptions, check
from nsqadmin.core.admin import Admin, make_admin
from nsqadmin.core.audit import audit_file
from nsqadmin.web.gateway import Application, Gateway
from nsqcore.addresses import AddressError
from nsqcore.app.config.options import OptionsError
from nsqcore.app.service import Process
from nsqcore.app.supervise import supervise
from nsqcore.http.dates import Dates
from nsqcore.http.session import HttpSession, Timeouts
from nsqcore.net.effects import Handler, Peer
from nsqcore.reactor.listeners import Listener, open_listener
from nsqcore.reactor.reactor import Reactor
from nsqcore.reactor.timers import Timers

logger = logging.getLogger(__name__)

# Streams of events never end by themselves; everything else is done in far less.
_GRACE = 0.3
# Pages reload, scripts poll: a connection idle for longer is worth less than its memory.
_KEEP_ALIVE = 75.0


async def run(options: NsqadminOptions, process: Process) -> None:
    """Serve until ``process.shutdown`` is set.

    Raises:
        OptionsError: the settings contradict each other, or the address cannot be listened on.
    """
    check(options)
    admin = make_admin(options)
    if options.admin_users and not options.trusted_proxies and not options.auth_file:
        logger.warning(
            "access: %s is believed from anyone who can reach this port; see --trusted-proxy",
            options.acl_http_header,
        )
    if options.oidc_issuer.startswith("http://"):
        logger.warning(
            "oidc(%s): asked without TLS: whoever is on the way there can log in as anybody",
            options.oidc_issuer,
        )
    if options.proxy_graphite and not options.graphite_url:
        logger.warning("graphite: --proxy-graphite does nothing without --graphite-url")
    with audit_file(options.audit_file, admin.wall) as audited:

        def reload() -> None:
            admin.read_certificates()
            if audited is not None:
                audited.reopen()

        if options.reads_again:
            process.on_reload = reload
        listener = _listen(options.http_address)
        try:
            async with admin.connections():
                await _serve(admin, listener, process)
        finally:
            listener.close()


def _listen(address: str) -> Listener:
    try:
        return open_listener(address)
    except (OSError, AddressError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OptionsError(f"listen ({address}) failed - {reason}") from error


async def _serve(admin: Admin, listener: Listener, process: Process) -> None:
    options = admin.options
    async with trio.open_nursery() as helpers:
        notify = partial(
            admin.notifier.run,
            connect_timeout=options.http_client_connect_timeout,
            request_timeout=options.http_client_request_timeout,
        )
        helpers.start_soon(supervise, "collector", admin.collector.run, admin.on_round)
        helpers.start_soon(supervise, "notifier", notify)
        helpers.start_soon(supervise, "event loop lag", admin.lag.run)
        await serve(make_app(admin), listener, process)
        helpers.cancel_scope.cancel()


async def serve(application: Application, listener: Listener, process: Process) -> None:
    """Serve an ASGI application over HTTP/1.1 until ``process.shutdown`` is set."""
    reactor = Reactor(lambda: None)
    timeouts = Timeouts(Timers(time.monotonic_ns, reactor.finish_tick), idle=_KEEP_ALIVE)
    date = Dates(time.time_ns).line
    async with trio.open_nursery() as nursery:
        router = Gateway(application, nursery).router(MAX_BODY, "INVALID_VALUE")

        def make_session(peer: Peer) -> Handler:
            return HttpSession(router, peer, timeouts=timeouts, date=date)

        reactor.listen(listener, make_session)
        await nursery.start(reactor.run)
        nursery.start_soon(supervise, "timers", timeouts.timers.run)
        logger.info("HTTP: listening on %s", listener.address)
        process.ready()
        await process.shutdown.wait()
        logger.info("HTTP: closing %s", listener.address)
        reactor.stop_accepting()
        await reactor.close_clients(_GRACE)
        nursery.cancel_scope.cancel()
