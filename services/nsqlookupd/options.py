"""The settings of one nsqlookupd: the only place that names them."""

import socket

import attrs

from nsqcore.app.log import format_option, level_option, prefix_option
from nsqcore.app.options import option
from nsqcore.app.values import above, address, at_least, host


def _address_or_none(value: str) -> None:
    if value:
        address(value)


@attrs.frozen(kw_only=True)
class NsqlookupdOptions:
    """Settings of one nsqlookupd. Durations are seconds."""

    config: str = option("", "path to config file")
    log_level: str = level_option()
    log_prefix: str = prefix_option("nsqlookupd")
    log_format: str = format_option()
    verbose: bool = option(False, "has no effect, use --log-level", deprecated=True)

    tcp_address: str = option(
        "0.0.0.0:4160",
        "<addr>:<port> to listen on for nsqd; any free port if empty",
        check=_address_or_none,
    )
    http_address: str = option(
        "0.0.0.0:4161",
        "<addr>:<port> to listen on for HTTP clients; any free port if empty",
        check=_address_or_none,
    )
    broadcast_address: str = option(
        socket.gethostname,
        "address of this nsqlookupd, told to nsqd",
        shown="the host name",
        check=host,
    )

    inactive_producer_timeout: float = option(
        300.0,
        "time after its last ping for which an nsqd is still told of",
        check=above(0),
    )
    inactive_topic_timeout: float = option(
        0.0,
        "time after which a topic that no nsqd has is forgotten, with its channels; 0 for never",
        check=at_least(0),
    )
    tombstone_lifetime: float = option(
        45.0,
        "time for which a tombstoned nsqd is not told of, if it stays registered",
        check=at_least(0),
    )
