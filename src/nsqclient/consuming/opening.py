"""Opening a consumer: the settings, checked at the call, and the parts put together."""

import re
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Literal

from nsqclient.connection.stream import check_address
from nsqclient.consuming.backoff import Backoff
from nsqclient.consuming.connection_manager import ConnectionManager
from nsqclient.consuming.consumer import Consumer
from nsqclient.consuming.discovery import Discovery, Source, topic_filter
from nsqclient.consuming.flow_control import FlowControl
from nsqclient.consuming.max_attempts import GiveUp, MaxAttempts
from nsqclient.consuming.rdy import STRATEGIES, RdyDistribution, Strategy
from nsqclient.core.arguments import (
    Duration,
    addresses,
    coroutine_function,
    function,
    instance,
    seconds,
    whole,
)
from nsqclient.core.background import background
from nsqclient.core.lifetime import opening
from nsqclient.core.options import ConnectionOptions
from nsqclient.http.api import check_url
from nsqclient.http.polling import lookupd_settings
from nsqclient.messages.hooks import Hooks
from nsqcore.names import is_valid_name


@opening
async def open_consumer(
    topic: str | None = None,
    channel: str = "",
    *,
    lookupd: str | Sequence[str] = (),
    nsqd: str | Sequence[str] = (),
    topics: str | re.Pattern[str] | None = None,
    max_in_flight: int = 25,
    ready: Literal["equal", "by_rate"] | Strategy = "equal",
    max_attempts: int | None = None,
    on_give_up: GiveUp | None = None,
    requeue_delay: Duration = 1.0,
    max_requeue_delay: Duration = 900.0,
    max_backoff: Duration = 120.0,
    backoff_unit: Duration = 1.0,
    drain_timeout: Duration = 5.0,
    decode: Callable[[bytes], Any] | None = None,
    lookupd_poll_interval: Duration = 60.0,
    lookupd_poll_jitter: float = 0.3,
    lookupd_timeout: Duration = 5.0,
    lookupd_tls: ssl.SSLContext | None = None,
    options: ConnectionOptions | None = None,
    hooks: Hooks | None = None,
) -> AsyncIterator[Consumer]:
    """A consumer of ``channel`` of ``topic``, for as long as the ``async with`` lasts.

    It connects in the background to the nsqds given, or to those that the
    nsqlookupds name, keeps the connections up, and looks for new ones. It may be
    entered in one task and left in another; ``await open_consumer(…).start()`` gives one without a
    block, which ends with its `aclose`. Times are seconds or `timedelta`.

    Args:
        lookupd: HTTP addresses of nsqlookupds, ``host:port`` or URLs.
        nsqd: TCP addresses of nsqds; reconnected to for ever. Both kinds may be given.
        topics: instead of ``topic``, all topics whose names fit: ``"order_*"``, or a compiled
            expression; looked for again with every poll.
        max_in_flight: how many messages may be on their way or in hand, over all connections.
        ready: how that is shared among connections: ``equal``, ``by_rate``, or a function.
        max_attempts: with the failure of this many attempts a message is given up: ``on_give_up``
            gets it. None is never. A message that was not tried is not given up.
        on_give_up: an async function of the message; see `nsqclient.dead_letter`,
            `nsqclient.archive` and `nsqclient.drop`. Needed with ``max_attempts``.
        requeue_delay: after the first failure; doubles with each, up to ``max_requeue_delay``.
        max_backoff: the longest time without messages after failures; 0 turns backing off off.
        backoff_unit: the base of these times: it is doubled at each level.
        drain_timeout: how long leaving waits for messages in hand.
        decode: makes a message's ``value`` of its body; `nsqclient.codecs` has some. What it raises
            comes out where ``value`` is asked for: in `run` and ``process()`` that is a failure.
        lookupd_poll_jitter: the largest part of the interval added to it at random.
        lookupd_tls: for ``https://`` nsqlookupds; None trusts the system's authorities.

    Raises:
        ValueError: a name, an address or a setting is wrong, or there is nowhere to consume from.
        TypeError: an argument is of a wrong type.
    """
    lookupds, nsqds = addresses(lookupd, "lookupd"), addresses(nsqd, "nsqd")
    wanted = _check(topic, topics, channel, lookupds, nsqds)
    options = ConnectionOptions() if options is None else options
    instance(options, ConnectionOptions, "options")
    hooks = Hooks() if hooks is None else hooks
    control = FlowControl(
        name=f"{topic or topics}/{channel}",
        distribution=RdyDistribution(
            whole(max_in_flight, "max_in_flight", lowest=1), _strategy(ready)
        ),
        backoff=Backoff(
            seconds(backoff_unit, "backoff_unit", above=True), seconds(max_backoff, "max_backoff")
        ),
        hooks=instance(hooks, Hooks, "hooks"),
        max_attempts=_max_attempts(max_attempts, on_give_up),
        first_requeue_delay=seconds(requeue_delay, "requeue_delay"),
        longest_requeue_delay=seconds(max_requeue_delay, "max_requeue_delay"),
        decode=None if decode is None else function(decode, "decode"),
    )
    settings = lookupd_settings(
        options, lookupd_poll_interval, lookupd_poll_jitter, lookupd_timeout, lookupd_tls
    )
    consumer = Consumer(control, seconds(drain_timeout, "drain_timeout"))
    fixed = frozenset(Source(topic, address) for address in nsqds) if topic else frozenset()
    async with background(consumer._close_connections, consumer._fail) as tasks:
        consumer._tasks = tasks
        connections = ConnectionManager(channel, control, options, tasks, fixed)
        if lookupds:
            failed = None if fixed else control.fail
            discovery = Discovery(wanted, channel, lookupds, settings, connections.want, failed)
            control.lookupd_errors = discovery.errors
            connections.is_named = discovery.has
            connections.subscribed = discovery.subscribed
            for address in lookupds:
                tasks.start(discovery.poll, address)
        connections.want(())
        tasks.start(control.run_timers)
        tasks.start(control.run_give_ups, tasks)
        yield consumer


def _strategy(ready: Any) -> Strategy:
    if callable(ready):
        strategy: Strategy = ready
        return strategy
    if not isinstance(ready, str):
        raise TypeError(f"ready is a name or a function, not {type(ready).__name__}")
    if ready not in STRATEGIES:
        raise ValueError(f"{ready!r} is no way to share: {', '.join(STRATEGIES)}, or a function")
    return STRATEGIES[ready]


def _max_attempts(limit: int | None, action: GiveUp | None) -> MaxAttempts:
    if limit is None and action is None:
        return MaxAttempts()
    if limit is None:
        raise ValueError("on_give_up needs max_attempts: without it nothing is ever given up")
    if action is None:
        raise ValueError(
            "max_attempts needs on_give_up: what becomes of a message that fails so often, "
            "nsqclient.dead_letter, archive, drop, or a function"
        )
    coroutine_function(action, "on_give_up")
    return MaxAttempts(whole(limit, "max_attempts", lowest=1, highest=65535), action)


def _check(
    topic: str | None,
    topics: str | re.Pattern[str] | None,
    channel: str,
    lookupds: list[str],
    nsqds: list[str],
) -> str | Callable[[str], bool]:
    """The topic, or what tells which are meant; raises ValueError where something does not fit."""
    if not isinstance(channel, str) or not is_valid_name(channel):
        raise ValueError(f"{channel!r} is not a valid channel name")
    if not lookupds and not nsqds:
        raise ValueError("nowhere to consume from: give lookupd or nsqd addresses")
    for address in nsqds:
        check_address(address)
    for address in lookupds:
        check_url(address)
    if topic is not None and topics is None:
        if not isinstance(topic, str) or not is_valid_name(topic):
            raise ValueError(f"{topic!r} is not a valid topic name")
        return topic
    if topics is None or topic is not None:
        raise ValueError("give either a topic or a pattern of topics")
    if not isinstance(topics, str | re.Pattern):
        raise TypeError(f"topics is a pattern, not {type(topics).__name__}")
    if not lookupds or nsqds:
        raise ValueError("a pattern of topics needs nsqlookupds, and them alone")
    return topic_filter(topics)
