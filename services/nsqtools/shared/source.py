"""The consuming half of a utility: a consumer that stops when the process is told to."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio

from nsqclient import Consumer, Hooks, Message, drop, open_consumer
from nsqcore.app.process.version import VERSION, release
from nsqcore.names import is_valid_name
from nsqtools.shared.checks import check_addresses, check_http_addresses, require
from nsqtools.shared.client_options import ClientSettings
from nsqtools.shared.initial_connections import InitialConnections
from nsqtools.shared.options import SourceOptions

logger = logging.getLogger(__name__)

# What the original client allows, where nothing else is said.
MAX_ATTEMPTS = 5


def user_agent(program: str) -> str:
    """How a utility introduces itself to nsqd."""
    return f"{program}/{VERSION} nsq-trio/{release()}"


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
    check_http_addresses(options.lookupd_http_addresses)
    settings = ClientSettings.of(options.consumer_opts)
    for name in settings.unused():
        logger.warning("settings: --consumer-opt %s has no effect here", name)
    attempts = settings.max_attempts(max_attempts)
    secure = any(each.startswith("https://") for each in options.lookupd_http_addresses)
    return {
        "channel": options.channel,
        "nsqd": tuple(dict.fromkeys(options.nsqd_tcp_addresses)),
        "lookupd": tuple(dict.fromkeys(options.lookupd_http_addresses)),
        "lookupd_tls": settings.lookupd_tls() if secure else None,
        "max_in_flight": options.max_in_flight,
        "max_attempts": attempts,
        "on_give_up": None if attempts is None else drop,
        "options": settings.connection(user_agent(program)),
        **settings.consumer(),
    }


@asynccontextmanager
async def open_source(
    topic: str, settings: dict[str, Any], shutdown: trio.Event, *, must_connect: bool = True
) -> AsyncIterator[Consumer]:
    """A consumer of ``topic`` that takes no more messages once ``shutdown`` is set.

    Args:
        settings: as `consumer_settings` makes them.
        must_connect: end the utility if an nsqd it was told to use cannot be reached at first.

    Raises:
        ConnectionError: an nsqd named on the command line cannot be reached.
    """
    initial = InitialConnections()
    hooks = initial.hooks() if must_connect and settings["nsqd"] else Hooks()
    hooks = attrs.evolve(hooks, received=_keep)
    async with open_consumer(topic, hooks=hooks, **settings) as consumer:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(initial.watch)
            nursery.start_soon(_stop_when, shutdown, consumer)
            yield consumer
            nursery.cancel_scope.cancel()


async def _stop_when(shutdown: trio.Event, consumer: Consumer) -> None:
    await shutdown.wait()
    consumer.stop()


def _keep(messages: list[Message]) -> None:
    """Have messages that wait for their turn touched: one that expires counts as an attempt."""
    for message in messages:
        message.auto_touch = True
