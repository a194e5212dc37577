"""Traces of OpenTelemetry that go with the messages. Needs the extra ``nsq-trio[otel]``.

```python
hooks = nsqclient.otel.tracing()
async with nsqclient.open_producer("127.0.0.1:4150", hooks=hooks) as producer: ...
async with nsqclient.open_consumer("orders", "billing", nsqd=NSQD, hooks=hooks) as consumer: ...
```

A publish is a span of kind PRODUCER, the handling of a message one of kind
CONSUMER and its child: the context travels in the headers of the message
(``traceparent``, or what the propagator writes), and stays with it when it dies,
so that who handles the dead letter is in the same trace. Only durable topics of
this suite's nsqd keep headers; messages of others begin traces of their own.

Names and attributes are those of OpenTelemetry's semantic conventions for
messaging, https://opentelemetry.io/docs/specs/semconv/messaging/.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from attrs import evolve
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import Span, SpanKind, Tracer, TracerProvider

from nsqclient.messages.hooks import Hooks
from nsqclient.messages.message import Message, State
from nsqcore.wire.headers import BadHeaders, check_header

# What nsqd says of a dead letter, and the attribute that has it.
_DEAD = {
    f"nsq-dead-{name}": f"messaging.nsq.dead_letter.{name}"
    for name in ("topic", "channel", "reason", "attempts", "id", "error")
}


def tracing(
    hooks: Hooks | None = None,
    *,
    tracer_provider: TracerProvider | None = None,
    propagator: TextMapPropagator | None = None,
) -> Hooks:
    """Hooks that make spans of publishes and of handling, and carry their context in headers.

    For producers and consumers alike, with an event loop and without one.

    Args:
        hooks: others to keep; their ``publishing`` and ``handling`` are to be None.
        tracer_provider: None for the global one.
        propagator: None for the one that is the global one now.

    Raises:
        ValueError: ``hooks`` has ``publishing`` or ``handling``.
    """
    hooks = Hooks() if hooks is None else hooks
    if hooks.publishing is not None or hooks.handling is not None:
        raise ValueError("hooks has publishing or handling already, which are the places of spans")
    tracer = trace.get_tracer("nsqclient", tracer_provider=tracer_provider)
    if propagator is None:
        propagator = propagate.get_global_textmap()
    return evolve(
        hooks,
        publishing=partial(_publishing, tracer, propagator),
        handling=partial(_handling, tracer, propagator),
    )


@contextmanager
def _publishing(
    tracer: Tracer,
    propagator: TextMapPropagator,
    topic: str,
    count: int,
    headers: Mapping[str, str],
) -> Iterator[Mapping[str, str]]:
    """A span of a publish; gives ``headers`` with its context.

    Outside of any span it belongs to the trace that the headers tell of, as those of a message
    do that is published again.
    """
    within = trace.get_current_span().get_span_context().is_valid
    context = None if within else propagator.extract(headers)
    attributes: dict[str, str | int] = {
        "messaging.system": "nsq",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.name": topic,
    }
    if count > 1:
        attributes["messaging.batch.message_count"] = count
    with tracer.start_as_current_span(
        f"publish {topic}", context=context, kind=SpanKind.PRODUCER, attributes=attributes
    ) as span:
        with _errors_named(span):
            yield _with_context(headers, propagator)


@contextmanager
def _handling(tracer: Tracer, propagator: TextMapPropagator, message: Message) -> Iterator[Span]:
    """A span of the handling of a message, in the trace that its headers tell of."""
    headers = message.headers
    attributes: dict[str, str | int] = {
        "messaging.system": "nsq",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": message.topic,
        "messaging.message.id": message.id,
        "messaging.message.body.size": len(message.body),
        "messaging.nsq.attempts": message.attempts,
        "server.address": message.nsqd,
    }
    for header, attribute in _DEAD.items():
        if header in headers:
            attributes[attribute] = headers[header]
    with tracer.start_as_current_span(
        f"process {message.topic}",
        context=propagator.extract(headers, Context()),
        kind=SpanKind.CONSUMER,
        attributes=attributes,
    ) as span:
        try:
            with _errors_named(span):
                yield span
        finally:
            if message.state is not State.OPEN:
                span.set_attribute("messaging.nsq.answer", message.state.name.lower())


def _with_context(headers: Mapping[str, str], propagator: TextMapPropagator) -> dict[str, str]:
    """``headers`` and those of the current context, in place of others of their names."""
    sent = {name: value for name, value in headers.items() if name not in propagator.fields}
    context: dict[str, str] = {}
    propagator.inject(context)
    for name, value in context.items():
        try:
            check_header(name.lower(), value)
        except BadHeaders:
            continue  # such as baggage longer than a header can be; the rest goes with the message
        sent[name.lower()] = value
    return sent


@contextmanager
def _errors_named(span: Span) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        span.set_attribute("error.type", type(error).__qualname__)
        raise
