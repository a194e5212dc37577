"""Options that several utilities have, each said once: functions that make one field each."""

from typing import Any, Protocol

from nsqcore.app.config.options import option
from nsqcore.app.config.values import at_least
from nsqcore.classes import field
from nsqtools.shared.client_options import ClientOption, parse_option


def topics_option() -> Any:
    """The ``--topic`` of a utility that takes several."""
    return option((), "NSQ topic (may be given multiple times)", flag="topic", many=True)


def nsqd_option() -> Any:
    """The ``--nsqd-tcp-address`` to consume from."""
    return option(
        (), "nsqd TCP address (may be given multiple times)", flag="nsqd-tcp-address", many=True
    )


def lookupd_option() -> Any:
    """The ``--lookupd-http-address`` to find nsqds by."""
    return option(
        (),
        "nsqlookupd HTTP address (may be given multiple times)",
        flag="lookupd-http-address",
        many=True,
    )


def max_in_flight_option() -> Any:
    """The ``--max-in-flight`` of a consuming utility."""
    return option(200, "max number of messages to allow in flight", check=at_least(1))


def consumer_option() -> Any:
    """The ``--consumer-opt`` of a consuming utility."""
    return _client_option("consumer")


def producer_option() -> Any:
    """The ``--producer-opt`` of a publishing utility."""
    return _client_option("producer")


def _client_option(kind: str) -> Any:
    return option(
        (),
        f"option of the {kind} as name,value (may be given multiple times)",
        flag=f"{kind}-opt",
        parse=parse_option,
        many=True,
        secret=True,
    )


def fixed(value: str) -> Any:
    """A setting of the log that is no flag of this utility."""
    return field(default=value, init=False)


class SourceOptions(Protocol):
    """The settings of a utility that say where to consume from."""

    @property
    def channel(self) -> str: ...
    @property
    def nsqd_tcp_addresses(self) -> tuple[str, ...]: ...
    @property
    def lookupd_http_addresses(self) -> tuple[str, ...]: ...
    @property
    def consumer_opts(self) -> tuple[ClientOption, ...]: ...
    @property
    def max_in_flight(self) -> int: ...
