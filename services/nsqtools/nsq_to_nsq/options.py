"""Settings of ``nsq_to_nsq``."""

from nsqcore.app.config.options import option
from nsqcore.app.config.values import choice
from nsqcore.classes import frozen
from nsqtools.shared import checks
from nsqtools.shared import options as shared_options
from nsqtools.shared.client_options import ClientOption


@frozen(kw_only=True)
class RelayOptions:
    """Settings of one ``nsq_to_nsq``."""

    topics: tuple[str, ...] = shared_options.topics_option()
    channel: str = option("nsq_to_nsq", "NSQ channel")
    destination_topic: str = option(
        "", "topic to publish to; by default the one a message was consumed from"
    )
    max_in_flight: int = shared_options.max_in_flight_option()
    status_every: int = option(
        250, "number of messages between two lines about their durations; 0 is none"
    )
    mode: str = option(
        "hostpool",
        "how a destination is chosen: round-robin, hostpool or epsilon-greedy",
        parse=choice("round-robin", "hostpool", "epsilon-greedy"),
    )
    nsqd_tcp_addresses: tuple[str, ...] = shared_options.nsqd_option()
    lookupd_http_addresses: tuple[str, ...] = shared_options.lookupd_option()
    destination_nsqd_tcp_addresses: tuple[str, ...] = option(
        (),
        "destination nsqd TCP address (may be given multiple times)",
        flag="destination-nsqd-tcp-address",
        many=True,
    )
    whitelist_json_fields: tuple[str, ...] = option(
        (),
        "for JSON messages: pass this field (may be given multiple times)",
        flag="whitelist-json-field",
        many=True,
    )
    require_json_field: str = option(
        "", "for JSON messages: only pass messages that contain this field"
    )
    require_json_value: str = option(
        "", "for JSON messages: only pass messages in which the required field has this value"
    )
    consumer_opts: tuple[ClientOption, ...] = shared_options.consumer_option()
    producer_opts: tuple[ClientOption, ...] = shared_options.producer_option()
    log_level: str = shared_options.fixed("info")
    log_prefix: str = shared_options.fixed("")
    log_format: str = shared_options.fixed("text")


def check(options: RelayOptions) -> None:
    """Refuse settings that do not go together; raises OptionsError."""
    checks.require(options.topics and options.channel, "--topic and --channel are required")
    checks.check_topics(options.topics)
    if options.destination_topic:
        checks.check_topics([options.destination_topic], "destination-topic")
    checks.one_kind_of_address(options.nsqd_tcp_addresses, options.lookupd_http_addresses)
    destinations = options.destination_nsqd_tcp_addresses
    checks.require(destinations, "--destination-nsqd-tcp-address required")
    checks.check_addresses(destinations, "destination-nsqd-tcp-address")
