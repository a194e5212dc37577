"""Settings of ``nsq_to_file``."""

from nsqcore.app.config.credentials import token_file_option
from nsqcore.app.config.options import option
from nsqcore.app.config.values import between
from nsqcore.app.log import LEVELS
from nsqcore.classes import frozen
from nsqcore.patterns import Pattern
from nsqtools.shared import checks
from nsqtools.shared import options as shared_options
from nsqtools.shared.client_options import ClientOption


def _known_level(value: str) -> None:
    if value not in LEVELS:
        raise ValueError(f"is one of {', '.join(LEVELS)}")


def _lower(value: object) -> str:
    return str(value).lower()


@frozen(kw_only=True)
class ToFileOptions:
    """Settings of one ``nsq_to_file``. Durations are seconds, sizes are bytes."""

    topics: tuple[str, ...] = shared_options.topics_option()
    topic_pattern: str = option("", "only log topics whose names match this regular expression")
    topic_refresh: float = option(60.0, "how often to look for new topics")
    channel: str = option("nsq_to_file", "NSQ channel")
    max_in_flight: int = shared_options.max_in_flight_option()
    output_dir: str = option("/tmp", "directory of the finished files")
    work_dir: str = option(
        "", "directory of files in progress; by default that of the finished files"
    )
    datetime_format: str = option("%Y-%m-%d_%H", "strftime format of <DATETIME> in file names")
    filename_format: str = option(
        "<TOPIC>.<HOST><REV>.<DATETIME>.log",
        "format of file names: <TOPIC>, <HOST>, <PID>, <DATETIME> and <REV> are replaced; <REV> is "
        "a number that grows when a file is there already",
    )
    host_identifier: str = option(
        "", "text for <HOST>; <SHORT_HOST> and <HOSTNAME> in it are replaced"
    )
    gzip: bool = option(False, "compress files with gzip")
    gzip_level: int = option(6, "gzip level, 1 is fast, 9 is small", check=between(1, 9))
    skip_empty_files: bool = option(False, "begin a file only when there is a message for it")
    rotate_size: int = option(0, "begin a new file when one has grown beyond this; 0 is never")
    rotate_interval: float = option(0.0, "begin a new file this often; 0 is never")
    sync_interval: float = option(30.0, "sync files to disk at least this often")
    http_client_connect_timeout: float = option(2.0, "timeout for HTTP connect")
    http_client_request_timeout: float = option(5.0, "timeout for HTTP request")
    http_client_token_file: str = token_file_option("nsqlookupd")
    nsqd_tcp_addresses: tuple[str, ...] = shared_options.nsqd_option()
    lookupd_http_addresses: tuple[str, ...] = shared_options.lookupd_option()
    consumer_opts: tuple[ClientOption, ...] = shared_options.consumer_option()
    log_level: str = option(
        "info",
        "log verbosity: debug, info, warn, error, or fatal",
        parse=_lower,
        check=_known_level,
    )
    log_prefix: str = option("[nsq_to_file] ", "text before every log line")
    log_format: str = shared_options.fixed("text")


def check(options: ToFileOptions) -> None:
    """Refuse settings that do not go together; raises OptionsError."""
    checks.require(options.channel, "--channel is required")
    checks.check_http_timeouts(options)
    checks.one_kind_of_address(options.nsqd_tcp_addresses, options.lookupd_http_addresses)
    checks.require(options.topics or options.topic_pattern, "--topic or --topic-pattern required")
    checks.require(
        options.topics or options.lookupd_http_addresses,
        "--lookupd-http-address must be specified when no --topic specified",
    )
    checks.check_topics(options.topics)
    checks.require(options.sync_interval > 0, "--sync-interval should be positive")
    checks.require(options.topic_refresh > 0, "--topic-refresh should be positive")
    with checks.naming("topic-pattern"):
        Pattern(options.topic_pattern)
