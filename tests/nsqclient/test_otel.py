"""Spans of OpenTelemetry, and their context in the headers of messages."""

import pytest
import trio
from opentelemetry import baggage, trace
from opentelemetry.context import attach, detach
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from tests.nsqclient.backends import on_every_loop

import nsqclient
import nsqclient.sync
from nsqclient import Hooks, open_consumer, open_producer
from nsqclient.otel import tracing
from nsqd.testing import open_nsqd


class Tracing:
    """Hooks, and the spans that they made, in the order of their ends."""

    def __init__(self):
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.hooks = tracing(tracer_provider=self.provider)

    @property
    def spans(self):
        return self._exporter.get_finished_spans()

    def named(self, name):
        return [span for span in self.spans if span.name == name]


@pytest.fixture
def traced():
    return Tracing()


@pytest.mark.slow
def test_one_trace_from_producer_over_consumer_to_dead_letter(daemon, traced):
    nsqd = daemon("nsqd", "--durability=os")
    nsqd.create("orders", "billing")

    async def handle(topic, channel, handler):
        async with open_consumer(
            topic, channel, nsqd=nsqd.tcp, hooks=traced.hooks, requeue_delay=0, max_backoff=0
        ) as consumer:

            async def once(message):
                await handler(message)
                consumer.stop()

            await consumer.run(once)

    async def refuse(message):
        if message.attempts == 1:
            raise ValueError("no such customer")
        await message.terminate("no such customer")

    async def publish_again(message):
        assert message.headers["user"] == "1"
        async with open_producer(nsqd.tcp, hooks=traced.hooks) as producer:
            await producer.publish_many("mended", [message.body] * 2, headers=message.headers)

    async def main():
        with trio.fail_after(30):
            async with open_producer(nsqd.tcp, hooks=traced.hooks) as producer:
                await producer.publish("orders", b"poison", headers={"user": "1"})
            await handle("orders", "billing", refuse)
            await handle("orders.dead", "look", publish_again)
            await handle("mended", "look", lambda message: message.finish())

    trio.run(main)
    (published,) = traced.named("publish orders")
    first, second = traced.named("process orders")
    (dead,) = traced.named("process orders.dead")
    (again,) = traced.named("publish mended")
    (mended,) = traced.named("process mended")
    assert (published.kind, first.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert {span.context.trace_id for span in traced.spans} == {published.context.trace_id}
    parents = [
        (first, published),
        (second, published),
        (dead, published),
        (again, dead),
        (mended, again),
    ]
    for span, parent in parents:
        assert span.parent.span_id == parent.context.span_id
    assert first.status.status_code is StatusCode.ERROR
    assert first.attributes["error.type"] == "ValueError"
    assert first.attributes["messaging.nsq.answer"] == "requeued"
    assert second.attributes["messaging.nsq.answer"] == "terminated"
    assert second.attributes["messaging.nsq.attempts"] == 2
    assert dead.attributes["messaging.nsq.dead_letter.reason"] == "terminated"
    assert dead.attributes["messaging.nsq.dead_letter.error"] == "no such customer"
    assert dead.attributes["messaging.nsq.answer"] == "finished"
    assert again.attributes["messaging.batch.message_count"] == 2


@pytest.mark.slow
def test_programs_without_an_event_loop_are_traced_too(daemon, traced):
    nsqd = daemon("nsqd", "--durability=os")
    tracer = traced.provider.get_tracer("test")
    with (
        nsqclient.sync.open_producer(nsqd.tcp, hooks=traced.hooks) as producer,
        nsqclient.sync.open_consumer("t", "c", nsqd=nsqd.tcp, hooks=traced.hooks) as consumer,
    ):
        with tracer.start_as_current_span("request") as request:
            producer.publish("t", b"one", timeout=30)
        with next(consumer).process():
            inside = trace.get_current_span().get_span_context()
    (published,), (processed,) = traced.named("publish t"), traced.named("process t")
    assert published.parent.span_id == request.get_span_context().span_id
    assert processed.parent.span_id == published.context.span_id
    assert processed.context.span_id == inside.span_id


@on_every_loop
async def test_where_no_headers_are_kept_messages_begin_traces_of_their_own(traced):
    async with open_nsqd() as nsqd:
        nsqd.create_channel("t", "c")
        options = {"options": nsqd.options(), "hooks": traced.hooks}
        async with (
            open_producer(nsqd.address, **options) as producer,
            open_consumer("t", "c", nsqd=nsqd.address, **options) as consumer,
        ):
            await producer.publish_many("t", [b"one", b"two"])
            async with (await anext(consumer.batches(max_size=2))).process():
                pass
            assert not trace.get_current_span().get_span_context().is_valid  # nothing is left
    assert len({span.context.trace_id for span in traced.spans}) == 3


@on_every_loop
async def test_a_publish_that_fails_is_an_error_of_its_span(traced):
    async with open_nsqd() as nsqd:
        async with open_producer(
            nsqd.address, options=nsqd.options(), hooks=traced.hooks
        ) as producer:
            with pytest.raises(nsqclient.PublishError):
                await producer.publish("t", b"x" * 2_000_000)
    (span,) = traced.spans
    assert span.attributes["error.type"] == "PublishError"
    assert span.status.status_code is StatusCode.ERROR


def test_what_no_header_can_hold_stays_behind_and_the_trace_goes_on(traced):
    token = attach(baggage.set_baggage("much", "x" * 2000))
    try:
        with traced.hooks.publishing("t", 1, {"user": "1", "traceparent": "stale"}) as headers:
            pass
    finally:
        detach(token)
    (span,) = traced.spans
    assert set(headers) == {"user", "traceparent"}
    assert f"{span.context.trace_id:032x}" in headers["traceparent"]


def test_other_hooks_are_kept_and_their_spans_are_not_replaced(traced):
    published = []
    hooks = tracing(Hooks(published=lambda *said: published.append(said)))
    hooks.call("published", "t")
    assert published == [("t",)]
    with pytest.raises(ValueError, match="publishing or handling"):
        tracing(traced.hooks)
