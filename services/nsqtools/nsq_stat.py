"""``nsq_stat``: depths and rates of a channel over all its nsqds, a row every few seconds.

nsqlookupd or nsqds ─/stats─▶ one sum of the channel ─difference to the last─▶ a row on stdout. A
sum that misses an nsqd would look like a rate that is none, so an nsqd that does not answer ends
the program.
"""

import logging
import os
import sys

import attrs
import trio

from nsqcore.app.options import option
from nsqcore.app.pipes import end_by_broken_pipe
from nsqcore.app.service import Process
from nsqcore.cluster.lookupd import lookupd_topic_producers
from nsqcore.cluster.nsqd import nsqd_nodes, nsqd_stats
from nsqcore.cluster.producer import Producer
from nsqcore.cluster.stats import ChannelStats
from nsqcore.cluster.upstream import AllFailed, Answer, Upstream, UpstreamError
from nsqtools import cli

logger = logging.getLogger(__name__)

PROGRAM = "nsq_stat"

# Rows between two headings: a screenful.
PAGE = 25

HEADING = """\
------rate------+----------------depth----------------+--------------metadata---------------
ingress  egress |   total     mem    disk inflt   def |     req     t-o         msgs clients
"""


def _count(value: object) -> int:
    """A number of 32 bits, and no other notation than the usual one."""
    text = str(value)
    if not text.removeprefix("-").removeprefix("+").isdecimal() or abs(int(text)) >= 2**31:
        raise ValueError("expected a whole number")
    return int(text)


@attrs.frozen(kw_only=True)
class StatOptions:
    """Settings of one ``nsq_stat``."""

    topic: str = option("", "NSQ topic")
    channel: str = option("", "NSQ channel")
    interval: float = option(2.0, "time between two rows")
    count: int | None = option(None, "number of rows; no limit by default", parse=_count, shown="")
    nsqd_http_addresses: tuple[str, ...] = option(
        (),
        "nsqd HTTP address (may be given multiple times)",
        flag="nsqd-http-address",
        many=True,
    )
    lookupd_http_addresses: tuple[str, ...] = cli.lookupd_option()
    http_client_connect_timeout: float = option(2.0, "timeout for HTTP connect")
    http_client_request_timeout: float = option(5.0, "timeout for HTTP request")
    log_level: str = cli.fixed("warn")
    log_prefix: str = cli.fixed("")
    log_format: str = cli.fixed("text")


@attrs.frozen
class Sums:
    """A channel's numbers, over all nsqds."""

    depth: int = 0
    backend_depth: int = 0
    in_flight_count: int = 0
    deferred_count: int = 0
    requeue_count: int = 0
    timeout_count: int = 0
    message_count: int = 0
    client_count: int = 0

    @classmethod
    def of(cls, channels: list[ChannelStats]) -> "Sums":
        """The sums over ``channels``."""
        names = [field.name for field in attrs.fields(cls)]
        return cls(*(sum(getattr(channel, name) for channel in channels) for name in names))

    def row(self, before: "Sums", interval: float) -> str:
        """A line: these numbers, and the rates since ``before``, ``interval`` seconds ago."""
        arrived = self.message_count - before.message_count
        left = arrived - (self.depth - before.depth)
        return (
            f"{int(arrived / interval):7d} {int(left / interval):7d} | "
            f"{self.depth:7d} {self.depth - self.backend_depth:7d} {self.backend_depth:7d} "
            f"{self.in_flight_count:5d} {self.deferred_count:5d} | "
            f"{self.requeue_count:7d} {self.timeout_count:7d} {self.message_count:12d} "
            f"{self.client_count:7d}\n"
        )


def _check(options: StatOptions) -> None:
    cli.require(options.topic and options.channel, "--topic and --channel are required")
    cli.require(options.interval > 0, "--interval should be positive")
    for flag in ("connect", "request"):
        timeout = getattr(options, f"http_client_{flag}_timeout")
        cli.require(timeout > 0, f"--http-client-{flag}-timeout should be positive")
    cli.require(options.count is None or options.count > 0, "--count should be positive")
    nsqds, lookupds = options.nsqd_http_addresses, options.lookupd_http_addresses
    cli.one_kind_of_address(nsqds, lookupds, flag="nsqd-http-address")
    for address in (*nsqds, *lookupds):
        no_scheme = not address.startswith("http")
        cli.require(no_scheme, f"address should not contain a scheme, as {address} does")


async def _producers(upstream: Upstream, options: StatOptions) -> Answer[list[Producer]]:
    if options.lookupd_http_addresses:
        return await lookupd_topic_producers(
            upstream, options.lookupd_http_addresses, options.topic
        )
    return await nsqd_nodes(upstream, options.nsqd_http_addresses, options.topic)


async def _sums(upstream: Upstream, options: StatOptions) -> Sums:
    """The channel's numbers now; raises ConnectionError if not all of them can be had."""
    topic, channel = options.topic, options.channel
    try:
        found = await _producers(upstream, options)
        if found.failures and not options.lookupd_http_addresses:
            raise found.failures[0]
        for failure in found.failures:
            logger.warning("nsqlookupd(%s): %s", failure.address, failure)
        if not found.value:
            raise ConnectionError(f"no nsqd has the topic {topic}")
        stats = await nsqd_stats(upstream, found.value, topic=topic, channel=channel)
        if stats.failures:
            raise stats.failures[0]
    except (AllFailed, UpstreamError) as error:
        raise ConnectionError(str(error)) from error
    channels = [one for item in stats.value for one in item.channels if one.channel_name == channel]
    if not channels:
        raise ConnectionError(f"the topic {topic} has no channel {channel}")
    return Sums.of(channels)


async def _report(options: StatOptions) -> None:
    rows = 0
    before: Sums | None = None
    async with Upstream(
        connect_timeout=options.http_client_connect_timeout,
        request_timeout=options.http_client_request_timeout,
    ) as upstream:
        while options.count is None or rows < options.count:
            sums = await _sums(upstream, options)
            if before is None:
                _print(HEADING)
            else:
                rows += 1
                heading = HEADING if rows % PAGE == 0 else ""
                _print(heading + sums.row(before, options.interval))
            before = sums
            if rows != options.count:
                await trio.sleep(options.interval)


def _print(text: str) -> None:
    data = text.encode()
    while data:
        data = data[os.write(1, data) :]


async def run(options: StatOptions, process: Process) -> None:
    """Print rows until told to stop, or as many as are wanted."""
    _check(options)
    async with trio.open_nursery() as nursery:

        async def report() -> None:
            try:
                await _report(options)
            except BrokenPipeError:
                end_by_broken_pipe()
            process.shutdown.set()

        nursery.start_soon(report)
        await process.shutdown.wait()
        nursery.cancel_scope.cancel()


def main() -> int:
    """The exit status of ``nsq_stat``."""
    return cli.main(PROGRAM, StatOptions, run)


if __name__ == "__main__":
    sys.exit(main())
