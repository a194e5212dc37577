"""Which cluster a command is about: nsqlookupds that know its nsqds, or the nsqds themselves."""

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nsqcore.cluster.cluster import Cluster
from nsqcore.cluster.upstream import AllFailed, Upstream
from nsqcore.tls import client_tls
from nsqctl.shared.credentials import token_of


@asynccontextmanager
async def open_cluster(given: argparse.Namespace) -> AsyncIterator[Cluster]:
    """The cluster that the options name."""
    lookupds, nsqds = tuple(given.lookupd_http_address or ()), tuple(given.nsqd_http_address or ())
    tls = None
    if given.tls_root_ca_file or given.tls_cert:
        tls = client_tls(
            authorities=given.tls_root_ca_file, certificate=given.tls_cert, key=given.tls_key
        )
    async with Upstream(
        connect_timeout=given.timeout,
        request_timeout=given.timeout,
        tls=tls,
        token=token_of(given),
    ) as upstream:
        yield Cluster(upstream, lookupds, nsqds)


def is_unknown(error: AllFailed) -> bool:
    """Whether all who were asked did answer: that there is no such topic."""
    return bool(error.failures) and all("TOPIC_NOT_FOUND" in str(one) for one in error.failures)
