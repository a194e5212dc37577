"""One nsqadmin process: the web server, the collector and the notifier, until it is told to stop.

The listening socket is opened before anything runs, so that a port in use ends the program at once.
At the end open streams get a moment to close; nothing here has state worth keeping.
"""

import logging
import socket
from functools import partial
from typing import Any, cast

import trio
from hypercorn.config import Config, Sockets
from hypercorn.trio.run import worker_serve
from hypercorn.utils import wrap_app

from nsqadmin.admin import Admin, make_admin
from nsqadmin.app import make_app
from nsqadmin.options import NsqadminOptions, check
from nsqcore.app.service import Process
from nsqcore.net.listeners import open_listener

logger = logging.getLogger(__name__)

# Streams of events never end by themselves; everything else is done in far less.
_GRACE = 0.3
# Pages reload, scripts poll: a connection idle for longer is worth less than its memory.
_KEEP_ALIVE = 75.0


async def run(options: NsqadminOptions, process: Process) -> None:
    """Serve until ``process.shutdown`` is set.

    Raises:
        OptionsError: the settings contradict each other.
        OSError: the address cannot be listened on.
    """
    check(options)
    admin = make_admin(options)
    if options.admin_users and not options.trusted_proxies and not options.auth_file:
        logger.warning(
            "access: %s is believed from anyone who can reach this port; see --trusted-proxy",
            options.acl_http_header,
        )
    if options.proxy_graphite and not options.graphite_url:
        logger.warning("graphite: --proxy-graphite does nothing without --graphite-url")
    listener = open_listener(options.http_address)
    try:
        async with admin.upstream:
            await _serve(admin, listener.socket, listener.address, process)
    finally:
        listener.close()


async def _serve(admin: Admin, listening: socket.socket, address: str, process: Process) -> None:
    options = admin.options
    async with trio.open_nursery() as helpers:
        helpers.start_soon(admin.collector.run, admin.on_round)
        helpers.start_soon(
            partial(
                admin.notifier.run,
                connect_timeout=options.http_client_connect_timeout,
                request_timeout=options.http_client_request_timeout,
            )
        )
        config = server_config()
        app = wrap_app(cast("Any", make_app(admin)), config.wsgi_max_body_size, "asgi")
        serve = partial(
            worker_serve,
            app,
            config,
            sockets=Sockets([], [listening], []),
            shutdown_trigger=process.shutdown.wait,
        )
        async with trio.open_nursery() as server:
            await server.start(serve)
            logger.info("HTTP: listening on %s", address)
            process.ready()
        logger.info("HTTP: closing %s", address)
        helpers.cancel_scope.cancel()


def server_config() -> Config:
    """How Hypercorn is to behave."""
    config = Config()
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn")
    config.graceful_timeout = _GRACE
    config.keep_alive_timeout = _KEEP_ALIVE
    config.keep_alive_max_requests = 1_000_000
    config.include_server_header = False
    config.alpn_protocols = ["http/1.1"]
    # Long cookies and queries; the original takes 1 MB of headers, which nobody sends.
    config.h11_max_incomplete_size = 64 * 1024
    return config
