"""Which cluster a command is about: nsqlookupds that know its nsqds, or the nsqds themselves."""

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nsqcore.cluster.cluster import Cluster
from nsqcore.cluster.upstream import AllFailed, Upstream
from nsqctl.shared.credentials import tls_of, token_of


@asynccontextmanager
async def open_cluster(given: argparse.Namespace) -> AsyncIterator[Cluster]:
    """The cluster that the options name."""
    lookupds, nsqds = tuple(given.lookupd_http_address or ()), tuple(given.nsqd_http_address or ())
    async with Upstream(
        connect_timeout=given.timeout,
        request_timeout=given.timeout,
        tls=tls_of(given),
        token=token_of(given),
    ) as upstream:
        yield Cluster(upstream, lookupds, nsqds)


def is_unknown(error: AllFailed) -> bool:
    """Whether all who were asked did answer: that there is no such topic."""
    return bool(error.failures) and all("TOPIC_NOT_FOUND" in str(one) for one in error.failures)
