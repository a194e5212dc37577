"""Metrics of producers and consumers for Prometheus. Needs the extra ``nsq-trio[prometheus]``.

```python
hooks = nsqclient.prometheus.metrics()
async with nsqclient.open_producer("127.0.0.1:4150", hooks=hooks) as producer: ...
async with nsqclient.open_consumer("orders", "billing", nsqd=NSQD, hooks=hooks) as consumer: ...
```

They are in the default registry then, which ``prometheus_client.start_http_server(8000)`` serves.
Batches and `nsqclient.sync` take the same hooks. Durations are seconds.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from attrs import evolve
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from nsqclient.messages.hooks import Hooks
from nsqclient.messages.message import Message
from nsqcore.classes import frozen


@frozen(eq=False)
class _Meters:
    """The metrics in one registry."""

    published: Counter
    failed: Counter
    publishing: Histogram
    received: Counter
    answered: Counter
    handling: Histogram
    gave_up: Counter
    backoff: Gauge
    connected: Counter
    lost: Counter


def _meters_in(registry: CollectorRegistry) -> _Meters:
    """All metrics, new in ``registry``."""

    def counter(name: str, help: str, *labels: str) -> Counter:
        return Counter(f"nsqclient_{name}", help, labels, registry=registry)

    def histogram(name: str, help: str, *labels: str) -> Histogram:
        return Histogram(f"nsqclient_{name}", help, labels, registry=registry)

    return _Meters(
        published=counter("published", "Messages that nsqd has taken.", "topic"),
        failed=counter("publish_failures", "Publishes that failed.", "topic", "error"),
        publishing=histogram("publish_seconds", "How long publishes took, failed too.", "topic"),
        received=counter("received", "Messages that came.", "topic"),
        answered=counter("answered", "Messages answered or expired.", "topic", "state"),
        handling=histogram("handling_seconds", "How long handling took.", "topic"),
        gave_up=counter("given_up", "Messages that failed too often.", "topic"),
        backoff=Gauge(
            "nsqclient_backoff_level", "Of the last change; 0 is none.", registry=registry
        ),
        connected=counter("connects", "Connections that were made.", "nsqd"),
        lost=counter("disconnects", "Connections that ended or could not be made.", "nsqd"),
    )


_lock = threading.Lock()
_meters: WeakKeyDictionary[CollectorRegistry, _Meters] = WeakKeyDictionary()


def metrics(hooks: Hooks | None = None, *, registry: CollectorRegistry = REGISTRY) -> Hooks:
    """Hooks that count and time what producers and consumers do.

    For producers and consumers alike, with an event loop and without one; any number of them may
    share one registry.

    Args:
        hooks: others, which are called as well.
        registry: where the metrics are put.
    """
    with _lock:
        meters = _meters.get(registry)
        if meters is None:
            meters = _meters[registry] = _meters_in(registry)
    own: dict[str, Callable[..., Any]] = {
        "connected": lambda address: meters.connected.labels(address).inc(),
        "disconnected": lambda address, _: meters.lost.labels(address).inc(),
        "published": partial(_published, meters),
        "received": partial(_received, meters),
        "answered": lambda message: meters.answered.labels(
            message.topic, message.state.name.lower()
        ).inc(),
        "backed_off": meters.backoff.set,
        "gave_up": lambda message: meters.gave_up.labels(message.topic).inc(),
    }
    given = Hooks() if hooks is None else hooks
    both: dict[str, Any] = {name: _both(getattr(given, name), hook) for name, hook in own.items()}
    return evolve(given, handling=partial(_handling, meters, given.handling), **both)


def _published(
    meters: _Meters, topic: str, count: int, seconds: float, error: Exception | None
) -> None:
    meters.publishing.labels(topic).observe(seconds)
    if error is None:
        meters.published.labels(topic).inc(count)
    else:
        meters.failed.labels(topic, type(error).__name__).inc()


def _received(meters: _Meters, messages: list[Message]) -> None:
    if messages:
        meters.received.labels(messages[0].topic).inc(len(messages))  # they came by one connection


@contextmanager
def _handling(
    meters: _Meters,
    other: Callable[[Message], AbstractContextManager[object]] | None,
    message: Message,
) -> Iterator[None]:
    began = time.perf_counter()
    try:
        if other is None:
            yield
        else:
            with other(message):
                yield
    finally:
        meters.handling.labels(message.topic).observe(time.perf_counter() - began)


def _both(
    first: Callable[..., object] | None, second: Callable[..., object]
) -> Callable[..., object]:
    if first is None:
        return second

    def call(*arguments: object) -> None:
        try:
            second(*arguments)
        finally:
            first(*arguments)

    return call
