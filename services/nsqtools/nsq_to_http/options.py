"""Settings of ``nsq_to_http``."""

from nsqcore.app.config.options import option
from nsqcore.app.config.values import at_least, choice, number
from nsqcore.classes import frozen
from nsqtools.nsq_to_http.headers import check_value, parse_headers
from nsqtools.nsq_to_http.url import check_url
from nsqtools.shared import checks
from nsqtools.shared import options as shared_options
from nsqtools.shared.client_options import ClientOption

OCTETS = "application/octet-stream"

# What the original does in any mode it does not know: each message to every endpoint.
ALL = ("all", "multicast")


@frozen(kw_only=True)
class ToHttpOptions:
    """Settings of one ``nsq_to_http``."""

    topic: str = option("", "NSQ topic")
    channel: str = option("nsq_to_http", "NSQ channel")
    max_in_flight: int = shared_options.max_in_flight_option()
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
    nsqd_tcp_addresses: tuple[str, ...] = shared_options.nsqd_option()
    lookupd_http_addresses: tuple[str, ...] = shared_options.lookupd_option()
    consumer_opts: tuple[ClientOption, ...] = shared_options.consumer_option()
    log_level: str = shared_options.fixed("info")
    log_prefix: str = shared_options.fixed("")
    log_format: str = shared_options.fixed("text")


def check(options: ToHttpOptions) -> None:
    """Refuse settings that do not go together; raises OptionsError."""
    with checks.naming("header"):
        parse_headers(options.headers)
    checks.require(options.topic and options.channel, "--topic and --channel are required")
    checks.check_topics([options.topic])
    if options.content_type != OCTETS:
        checks.require(options.post, "--content-type only used with --post")
        checks.require(options.content_type.strip(), "--content-type requires a value when used")
        with checks.naming("content-type"):
            check_value(options.content_type)
    checks.one_kind_of_address(options.nsqd_tcp_addresses, options.lookupd_http_addresses)
    checks.require(options.get or options.post, "--get or --post required")
    checks.require(not options.get or not options.post, "use --get or --post not both")
    for url in options.get:
        checks.require(url.count("%s") == 1, "invalid GET address - must have %s exactly once")
    for flag, urls in (("get", options.get), ("post", options.post)):
        for url in urls:
            with checks.naming(flag):
                check_url(url.replace("%s", "x"))
    checks.require(0 <= options.sample <= 1, "--sample must be between 0.0 and 1.0")
    checks.check_http_timeouts(options)
