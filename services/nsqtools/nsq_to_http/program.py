"""A request to an HTTP endpoint for each message of a topic.

nsqd ═▶ Consumer ─▶ ``-n`` workers ─▶ Forwarder ─Chooser─▶ EndpointClient ═▶ an HTTP endpoint

A message is finished when its endpoint has answered with success; otherwise it is requeued, later
with every attempt, and intake backs off.
"""

import logging
from collections.abc import Sequence
from typing import Any

from nsqcore.app.service import Process
from nsqtools.nsq_to_http.client import EndpointClient
from nsqtools.nsq_to_http.forwarder import Forwarder
from nsqtools.nsq_to_http.headers import framing_headers, parse_headers
from nsqtools.nsq_to_http.options import ALL, ToHttpOptions, check
from nsqtools.shared.client_options import ClientSettings
from nsqtools.shared.host_pool import chooser
from nsqtools.shared.program import run_program
from nsqtools.shared.source import consumer_settings, open_source
from nsqtools.shared.timings import StatusLog

logger = logging.getLogger(__name__)

PROGRAM = "nsq_to_http"


async def run(options: ToHttpOptions, process: Process) -> None:
    """Forward messages until told to stop."""
    check(options)
    settings: dict[str, Any] = consumer_settings(PROGRAM, options)
    endpoints = list(dict.fromkeys(options.post or options.get))
    headers = parse_headers(options.headers)
    for name in framing_headers(headers):
        logger.warning("settings: --header %s has no effect: the request says its own", name)
    async with EndpointClient.open(
        headers=headers,
        content_type=options.content_type,
        connect_timeout=options.http_client_connect_timeout,
        request_timeout=options.http_client_request_timeout,
    ) as client:
        forwarder = Forwarder(
            endpoints,
            client.post if options.post else client.get,
            None if options.mode in ALL else chooser(options.mode, endpoints),
            options.sample,
            ClientSettings.of(options.consumer_opts).requeue,
            StatusLog.of(endpoints, options.status_every),
        )
        async with open_source(options.topic, settings, process.shutdown) as consumer:
            await consumer.run(forwarder.handle, concurrency=options.workers)


def start(arguments: Sequence[str] | None, process: Process | None) -> int:
    """The exit status of ``nsq_to_http``."""
    return run_program(PROGRAM, ToHttpOptions, run, arguments, process)
