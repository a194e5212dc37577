"""Rows of depths and rates, until told to stop.

nsqlookupd or nsqds ─/stats─▶ the channel on each nsqd ─growth since the last─▶ a row on stdout.
Sums that miss an nsqd would look like depths that are none, so an nsqd that does not answer ends
the program.
"""

import logging
from collections.abc import Sequence

import trio

from nsqcore.app.config.credentials import open_authorities, open_token
from nsqcore.app.process.pipes import end_by_broken_pipe
from nsqcore.app.process.streams import Streams
from nsqcore.app.service import Process
from nsqcore.cluster.lookupd import lookupd_topic_producers
from nsqcore.cluster.nsqd import nsqd_nodes, nsqd_stats
from nsqcore.cluster.producer import Producer
from nsqcore.cluster.rates import Growth, Meter
from nsqcore.cluster.stats import ChannelStats
from nsqcore.cluster.upstream import AllFailed, Answer, Upstream, UpstreamError
from nsqtools.nsq_stat.options import StatOptions, check
from nsqtools.nsq_stat.sums import Sums
from nsqtools.shared.program import run_program

logger = logging.getLogger(__name__)

PROGRAM = "nsq_stat"

# Rows between two headings: a screenful.
PAGE = 25

HEADING = """\
------rate------+----------------depth----------------+--------------metadata---------------
ingress  egress |   total     mem    disk inflt   def |     req     t-o         msgs clients
"""


async def _producers(upstream: Upstream, options: StatOptions) -> Answer[list[Producer]]:
    if options.lookupd_http_addresses:
        return await lookupd_topic_producers(
            upstream, options.lookupd_http_addresses, options.topic
        )
    return await nsqd_nodes(upstream, options.nsqd_http_addresses, options.topic)


async def _channels(upstream: Upstream, options: StatOptions) -> list[ChannelStats]:
    """The channel on each nsqd now; raises ConnectionError if not all of them can be had."""
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
    return channels


async def _report(options: StatOptions, streams: Streams) -> None:
    rows = 0
    # As in the original, what is in flight has left.
    meter, begun = Meter(waiting=("depth",)), False
    async with Upstream(
        connect_timeout=options.http_client_connect_timeout,
        request_timeout=options.http_client_request_timeout,
        tls=open_authorities(options.http_client_tls_root_ca_file, "http-client-tls-root-ca-file"),
        token=open_token(options.http_client_token_file, "http-client-token-file"),
    ) as upstream:
        while options.count is None or rows < options.count:
            channels = await _channels(upstream, options)
            grown = sum(meter.look(channels).values(), Growth())
            if not begun:
                begun = True
                streams.write(HEADING.encode())
            else:
                rows += 1
                heading = HEADING if rows % PAGE == 0 else ""
                streams.write((heading + Sums.of(channels).row(grown, options.interval)).encode())
            if rows != options.count:
                await trio.sleep(options.interval)


async def run(options: StatOptions, process: Process) -> None:
    """Print rows until told to stop, or as many as are wanted."""
    check(options)
    async with trio.open_nursery() as nursery:

        async def report() -> None:
            try:
                await _report(options, process.streams)
            except BrokenPipeError:
                end_by_broken_pipe()
            process.shutdown.set()

        nursery.start_soon(report)
        await process.shutdown.wait()
        nursery.cancel_scope.cancel()


def start(arguments: Sequence[str] | None, process: Process | None) -> int:
    """The exit status of ``nsq_stat``."""
    return run_program(PROGRAM, StatOptions, run, arguments, process)
