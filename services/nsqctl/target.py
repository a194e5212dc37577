"""Which cluster a command is about: nsqlookupds that know its nsqds, or the nsqds themselves."""

import argparse
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nsqcore.cluster.cluster import Cluster
from nsqcore.cluster.upstream import Upstream

# Where `nsqctl up` and the compose file put the first nsqlookupd.
DEFAULT_LOOKUPD = "127.0.0.1:4161"


def add_target(parser: argparse.ArgumentParser) -> None:
    """The options that name a cluster."""
    parser.add_argument(
        "--lookupd-http-address",
        action="append",
        default=[],
        metavar="HOST:PORT",
        help="an nsqlookupd (repeatable); $NSQCTL_LOOKUPD_HTTP_ADDRESS, separated by commas;"
        f" {DEFAULT_LOOKUPD}",
    )
    parser.add_argument(
        "--nsqd-http-address",
        action="append",
        default=[],
        metavar="HOST:PORT",
        help="an nsqd, instead of asking nsqlookupd for them (repeatable)",
    )
    parser.add_argument(
        "--timeout", type=float, default=5.0, metavar="SECONDS", help="for each request (5)"
    )


@asynccontextmanager
async def open_cluster(given: argparse.Namespace) -> AsyncIterator[Cluster]:
    """The cluster that the options name."""
    lookupds = tuple(_bare(address) for address in given.lookupd_http_address)
    nsqds = tuple(_bare(address) for address in given.nsqd_http_address)
    if not lookupds and not nsqds:
        named = os.environ.get("NSQCTL_LOOKUPD_HTTP_ADDRESS", DEFAULT_LOOKUPD)
        lookupds = tuple(_bare(address) for address in named.split(",") if address)
    async with Upstream(connect_timeout=given.timeout, request_timeout=given.timeout) as upstream:
        yield Cluster(upstream, lookupds, () if lookupds else nsqds)


def _bare(address: str) -> str:
    """The address in what may have been given as a URL."""
    return address.strip().removeprefix("http://").rstrip("/")
