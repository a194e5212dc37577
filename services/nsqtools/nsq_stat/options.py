"""Settings of ``nsq_stat``."""

from nsqcore.app.config.credentials import authorities_option, token_file_option
from nsqcore.app.config.options import option
from nsqcore.classes import frozen
from nsqtools.shared import checks
from nsqtools.shared import options as shared_options


def _count(value: object) -> int:
    """A number of 32 bits, and no other notation than the usual one."""
    text = str(value)
    if not text.removeprefix("-").removeprefix("+").isdecimal() or abs(int(text)) >= 2**31:
        raise ValueError("expected a whole number")
    return int(text)


@frozen(kw_only=True)
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
    lookupd_http_addresses: tuple[str, ...] = shared_options.lookupd_option()
    http_client_connect_timeout: float = option(2.0, "timeout for HTTP connect")
    http_client_request_timeout: float = option(5.0, "timeout for HTTP request")
    http_client_token_file: str = token_file_option("nsqd and nsqlookupd")
    http_client_tls_root_ca_file: str = authorities_option("nsqd and nsqlookupd")
    log_level: str = shared_options.fixed("warn")
    log_prefix: str = shared_options.fixed("")
    log_format: str = shared_options.fixed("text")


def check(options: StatOptions) -> None:
    """Refuse settings that do not go together; raises OptionsError."""
    checks.require(options.topic and options.channel, "--topic and --channel are required")
    checks.require(options.interval > 0, "--interval should be positive")
    checks.check_http_timeouts(options)
    checks.require(options.count is None or options.count > 0, "--count should be positive")
    nsqds, lookupds = options.nsqd_http_addresses, options.lookupd_http_addresses
    checks.one_kind_of_address(nsqds, lookupds, flag="nsqd-http-address")
    plain = [address for address in lookupds if not address.startswith("https://")]
    for address in (*nsqds, *plain):
        no_scheme = not address.startswith("http")
        checks.require(no_scheme, f"address should not contain a scheme, as {address} does")
    checks.check_http_addresses(nsqds, "nsqd-http-address")
    checks.check_http_addresses(lookupds)
