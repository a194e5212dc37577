"""``nsq_to_http``: a request to an HTTP endpoint for each message of a topic.

nsqd ═▶ Consumer ─▶ ``-n`` workers ─▶ Chooser (which endpoint) ─▶ Endpoints (GET or POST) ═▶ HTTP

A message is finished when its endpoint has answered with success; otherwise it is requeued, later
with every attempt, and intake backs off.
"""

import logging
import random
import sys
from typing import Any

import attrs
import trio

from nsqclient import Message
from nsqcore.app.options import OptionsError, option
from nsqcore.app.service import Process
from nsqcore.app.values import at_least, choice, number
from nsqtools import cli
from nsqtools.clientopts import ClientOption, ClientSettings
from nsqtools.hostpool import Chooser, chooser
from nsqtools.httpcalls import Caller, CallFailed, HttpCalls, check_url, parse_headers
from nsqtools.timings import StatusLog

logger = logging.getLogger(__name__)

PROGRAM = "nsq_to_http"

OCTETS = "application/octet-stream"

# What the original does in any mode it does not know: each message to every endpoint.
ALL = ("all", "multicast")


@attrs.frozen(kw_only=True)
class ToHttpOptions:
    """Settings of one ``nsq_to_http``."""

    topic: str = option("", "NSQ topic")
    channel: str = option("nsq_to_http", "NSQ channel")
    max_in_flight: int = cli.max_in_flight_option()
    workers: int = option(100, "number of concurrent requests", flag="n", check=at_least(1))
    mode: str = option(
        "hostpool",
        "how an endpoint is chosen: round-robin, hostpool, epsilon-greedy, or all",
        parse=choice("round-robin", "hostpool", "epsilon-greedy", *ALL),
    )
    sample: float = option(
        1.0, "part of the messages to send, from 0 to 1; the others are dropped", parse=number
    )
    http_client_connect_timeout: float = option(2.0, "timeout for HTTP connect")
    http_client_request_timeout: float = option(20.0, "timeout for HTTP request")
    status_every: int = option(
        250, "number of requests between two lines about their durations; 0 is none"
    )
    content_type: str = option(OCTETS, "the Content-Type of POST requests")
    get: tuple[str, ...] = option(
        (), "URL to GET, with the message in place of %s (may be given multiple times)", many=True
    )
    post: tuple[str, ...] = option(
        (), "URL to POST the message to (may be given multiple times)", many=True
    )
    headers: tuple[str, ...] = option(
        (),
        "header of every request, as 'name: value' (may be given multiple times)",
        flag="header",
        many=True,
    )
    nsqd_tcp_addresses: tuple[str, ...] = cli.nsqd_option()
    lookupd_http_addresses: tuple[str, ...] = cli.lookupd_option()
    consumer_opts: tuple[ClientOption, ...] = cli.consumer_option()
    log_level: str = cli.fixed("info")
    log_prefix: str = cli.fixed("")
    log_format: str = cli.fixed("text")


def _check(options: ToHttpOptions) -> None:
    try:
        parse_headers(options.headers)
    except ValueError as error:
        raise OptionsError(f"--header: {error}") from error
    cli.require(options.topic and options.channel, "--topic and --channel are required")
    cli.check_topics([options.topic])
    if options.content_type != OCTETS:
        cli.require(options.post, "--content-type only used with --post")
        cli.require(options.content_type, "--content-type requires a value when used")
    cli.one_kind_of_address(options.nsqd_tcp_addresses, options.lookupd_http_addresses)
    cli.require(options.get or options.post, "--get or --post required")
    cli.require(not options.get or not options.post, "use --get or --post not both")
    for url in options.get:
        cli.require(url.count("%s") == 1, "invalid GET address - must have %s exactly once")
    for url in options.get + options.post:
        try:
            check_url(url.replace("%s", "x"))
        except ValueError as error:
            raise OptionsError(str(error)) from error
    cli.require(0 <= options.sample <= 1, "--sample must be between 0.0 and 1.0")
    for flag in ("connect", "request"):
        timeout = getattr(options, f"http_client_{flag}_timeout")
        cli.require(timeout > 0, f"--http-client-{flag}-timeout should be positive")


@attrs.define(eq=False)
class Forwarder:
    """Sends messages on. ``chooser`` None is to every endpoint."""

    endpoints: list[str]
    call: Caller
    chooser: Chooser | None
    sample: float
    settings: ClientSettings
    status: StatusLog

    async def handle(self, message: Message) -> None:
        """Send ``message``, and give it the answer it deserves."""
        if self.sample < 1 and random.random() > self.sample:
            return
        try:
            if self.chooser is None:
                for endpoint in self.endpoints:
                    await self._send(endpoint, message)
            else:
                await self._send_to_one(self.chooser, message)
        except CallFailed as error:
            logger.error("message(%s): %s", message.id, error)
            self.settings.requeue(message)

    async def _send_to_one(self, chooser: Chooser, message: Message) -> None:
        endpoint = chooser.choose(trio.current_time())
        try:
            elapsed = await self._send(endpoint, message)
        except CallFailed:
            chooser.mark(endpoint, trio.current_time(), elapsed=None)
            raise
        chooser.mark(endpoint, trio.current_time(), elapsed=elapsed)

    async def _send(self, endpoint: str, message: Message) -> float:
        began = trio.current_time()
        await self.call(endpoint, message.body)
        elapsed = trio.current_time() - began
        self.status.add(endpoint, elapsed)
        return elapsed


async def run(options: ToHttpOptions, process: Process) -> None:
    """Forward messages until told to stop."""
    _check(options)
    settings: dict[str, Any] = cli.consumer_settings(PROGRAM, options)
    endpoints = list(dict.fromkeys(options.post or options.get))
    async with HttpCalls.open(
        headers=parse_headers(options.headers),
        content_type=options.content_type,
        connect_timeout=options.http_client_connect_timeout,
        request_timeout=options.http_client_request_timeout,
    ) as calls:
        forwarder = Forwarder(
            endpoints,
            calls.post if options.post else calls.get,
            None if options.mode in ALL else chooser(options.mode, endpoints),
            options.sample,
            ClientSettings.of(options.consumer_opts),
            StatusLog.of(endpoints, options.status_every),
        )
        async with cli.open_source(options.topic, settings, process.shutdown) as consumer:
            await consumer.run(forwarder.handle, concurrency=options.workers)


def main() -> int:
    """The exit status of ``nsq_to_http``."""
    return cli.main(PROGRAM, ToHttpOptions, run)


if __name__ == "__main__":
    sys.exit(main())
