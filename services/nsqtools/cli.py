"""What the command lines of the utilities have in common: options, checks, sources.

The makers of options give one field each, so that a flag that several utilities have is said once.
`open_source` is the consuming half of a utility: a consumer that stops when the process is told to.
"""

import logging
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Protocol, TypeVar

import attrs
import trio

from nsqclient import Consumer, Hooks, open_consumer
from nsqclient.connection.stream import check_address
from nsqclient.http.api import check_url
from nsqcore.app import service
from nsqcore.app.flags import FlagError, parse_flags
from nsqcore.app.log import LogOptions
from nsqcore.app.options import OptionsError, option
from nsqcore.app.options import settings as all_settings
from nsqcore.app.values import at_least
from nsqcore.app.version import VERSION, release, short_version_line
from nsqcore.wire.names import is_valid_name
from nsqtools.clientopts import ClientOption, ClientSettings, parse_option

logger = logging.getLogger(__name__)

# What the original client allows, where nothing else is said.
MAX_ATTEMPTS = 5

T = TypeVar("T", bound=LogOptions)


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
    return attrs.field(default=value, init=False)


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


def user_agent(program: str) -> str:
    """How a utility introduces itself to nsqd."""
    return f"{program}/{VERSION} nsq-trio/{release()}"


def require(condition: object, message: str) -> None:
    """Refuse settings with which the utility cannot run."""
    if not condition:
        raise OptionsError(message)


def one_kind_of_address(
    nsqds: Sequence[str], lookupds: Sequence[str], *, flag: str = "nsqd-tcp-address"
) -> None:
    """Refuse settings that name no daemon to ask, or two kinds of them."""
    require(nsqds or lookupds, f"--{flag} or --lookupd-http-address required")
    require(not nsqds or not lookupds, f"use --{flag} or --lookupd-http-address not both")


def check_topics(topics: Sequence[str], flag: str = "topic") -> None:
    """Refuse topics that no nsqd accepts."""
    for topic in topics:
        require(is_valid_name(topic), f"--{flag}: {topic!r} is not a valid topic name")


def check_addresses(addresses: Sequence[str], flag: str) -> None:
    """Refuse addresses that cannot be dialled."""
    for address in addresses:
        try:
            check_address(address)
        except ValueError as error:
            raise OptionsError(f"--{flag}: {error}") from error


def check_lookupds(addresses: Sequence[str]) -> None:
    """Refuse addresses of nsqlookupds to which no request can be sent."""
    for address in addresses:
        try:
            check_url(address)
        except ValueError as error:
            raise OptionsError(f"--lookupd-http-address: {error}") from error


def main(
    program: str,
    options_class: type[T],
    run: Callable[[T, service.Process], Any],
    *,
    has_version: bool = True,
    arguments_allowed: bool = True,
) -> int:
    """The exit status of a utility, after it has run.

    ``run`` gets the options and the `service.Process`; it raises `OptionsError` for settings that
    do not go together, and `OSError` for what is wrong around the program: one line each, status 1.

    Args:
        has_version: whether there is a ``--version``.
        arguments_allowed: whether arguments behind the flags are ignored, or refused.
    """
    if not arguments_allowed and (rest := _arguments(program, options_class)):
        print(f"{program}: unknown arguments: {' '.join(rest)}", file=sys.stderr)
        return 1
    version = partial(short_version_line, program) if has_version else None
    return service.main(program, options_class, run, version=version)


def _arguments(program: str, options_class: type) -> list[str]:
    """What stands behind the flags of this process's command line."""
    known: dict[str, str | None] = dict.fromkeys(("h", "help", "version"), "true")
    known |= {setting.flag: setting.bare for setting in all_settings(options_class, program)}
    try:
        parsed = parse_flags(sys.argv[1:], known)
    except FlagError:
        return []  # reading the options tells what is wrong
    return [] if {flag for flag, _ in parsed.given} & {"h", "help"} else parsed.rest


@attrs.define(eq=False)
class FirstContact:
    """Whether each nsqd named on the command line could be reached at least once.

    One that cannot is most likely a mistake: the utility ends, as the original does. Later losses
    are the client's to mend.
    """

    _reached: set[str] = attrs.Factory(set)
    _failed: trio.Event = attrs.Factory(trio.Event)
    _reason: str = ""

    def hooks(self) -> Hooks:
        """What tells this object of connections."""
        return Hooks(connected=self._reached.add, disconnected=self._disconnected)

    def _disconnected(self, address: str, error: Exception) -> None:
        if address not in self._reached and not self._failed.is_set():
            self._reason = str(error)
            self._failed.set()

    async def watch(self) -> None:
        """Never return; raise ConnectionError when an nsqd cannot be reached at first."""
        await self._failed.wait()
        raise ConnectionError(self._reason)


def consumer_settings(
    program: str, options: SourceOptions, *, max_attempts: int = MAX_ATTEMPTS
) -> dict[str, Any]:
    """The arguments of `open_consumer` that are the same for every topic.

    Args:
        max_attempts: unless an option says otherwise; 0 for no limit.

    Raises:
        OptionsError: client options that do not go together, a wrong address or channel name.
    """
    require(is_valid_name(options.channel), f"{options.channel!r} is not a valid channel name")
    check_addresses(options.nsqd_tcp_addresses, "nsqd-tcp-address")
    check_lookupds(options.lookupd_http_addresses)
    settings = ClientSettings.of(options.consumer_opts)
    for name in settings.unused():
        logger.warning("settings: --consumer-opt %s has no effect here", name)
    return {
        "channel": options.channel,
        "nsqd": tuple(dict.fromkeys(options.nsqd_tcp_addresses)),
        "lookupd": tuple(dict.fromkeys(options.lookupd_http_addresses)),
        "max_in_flight": options.max_in_flight,
        "max_attempts": settings.max_attempts(max_attempts),
        "options": settings.connection(user_agent(program)),
        **settings.consumer(),
    }


@asynccontextmanager
async def open_source(
    topic: str, settings: dict[str, Any], shutdown: trio.Event, *, insist: bool = True
) -> AsyncIterator[Consumer]:
    """A consumer of ``topic`` that takes no more messages once ``shutdown`` is set.

    Args:
        settings: as `consumer_settings` makes them.
        insist: end the utility if an nsqd it was told to use cannot be reached at first.

    Raises:
        ConnectionError: an nsqd named on the command line cannot be reached.
    """
    contact = FirstContact()
    hooks = contact.hooks() if insist and settings["nsqd"] else Hooks()
    async with open_consumer(topic, hooks=hooks, **settings) as consumer:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(contact.watch)
            nursery.start_soon(_stop_when, shutdown, consumer)
            yield consumer
            nursery.cancel_scope.cancel()


async def _stop_when(shutdown: trio.Event, consumer: Consumer) -> None:
    await shutdown.wait()
    consumer.stop()
