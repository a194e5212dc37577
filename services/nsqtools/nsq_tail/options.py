"""Settings of ``nsq_tail``."""

import random

from nsqcore.app.config.options import option
from nsqcore.classes import frozen
from nsqtools.shared import options as shared_options
from nsqtools.shared.client_options import ClientOption


def random_channel() -> str:
    """A channel of our own that goes away with us."""
    return f"tail{random.randrange(999_999):06d}#ephemeral"


@frozen(kw_only=True)
class TailOptions:
    """Settings of one ``nsq_tail``."""

    topics: tuple[str, ...] = shared_options.topics_option()
    channel: str = option("", "NSQ channel; a random ephemeral one by default")
    total: int = option(0, "number of messages to show, then exit; 0 is no limit", flag="n")
    print_topic: bool = option(False, "print the name of the topic before each message")
    max_in_flight: int = shared_options.max_in_flight_option()
    nsqd_tcp_addresses: tuple[str, ...] = shared_options.nsqd_option()
    lookupd_http_addresses: tuple[str, ...] = shared_options.lookupd_option()
    consumer_opts: tuple[ClientOption, ...] = shared_options.consumer_option()
    log_level: str = shared_options.fixed("info")
    log_prefix: str = shared_options.fixed("")
    log_format: str = shared_options.fixed("text")
