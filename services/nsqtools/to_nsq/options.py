"""Settings of ``to_nsq``."""

import os

from nsqcore.app.config.options import option
from nsqcore.classes import frozen
from nsqtools.shared import checks
from nsqtools.shared import options as shared_options
from nsqtools.shared.client_options import ClientOption


@frozen(kw_only=True)
class ToNsqOptions:
    """Settings of one ``to_nsq``."""

    topic: str = option("", "NSQ topic to publish to")
    delimiter: str = option("\n", "the byte that ends a message", shown="newline")
    rate: int = option(0, "publish at most this many messages a second; 0 is no limit")
    nsqd_tcp_addresses: tuple[str, ...] = option(
        (),
        "destination nsqd TCP address (may be given multiple times)",
        flag="nsqd-tcp-address",
        many=True,
    )
    producer_opts: tuple[ClientOption, ...] = shared_options.producer_option()
    log_level: str = shared_options.fixed("error")
    log_prefix: str = shared_options.fixed("")
    log_format: str = shared_options.fixed("text")


def check(options: ToNsqOptions) -> None:
    """Refuse settings that do not go together; raises OptionsError."""
    checks.require(options.topic, "--topic required")
    checks.check_topics([options.topic])
    checks.require(len(os.fsencode(options.delimiter)) == 1, "--delimiter must be a single byte")
    checks.require(options.nsqd_tcp_addresses, "--nsqd-tcp-address required")
    checks.check_addresses(options.nsqd_tcp_addresses, "nsqd-tcp-address")
