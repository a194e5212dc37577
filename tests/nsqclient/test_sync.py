import inspect
import os
import resource
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from tests.e2e.daemons import PATIENCE, Daemon, wait_until

import nsqclient.sync
from nsqclient import Closed, ConnectionLost, PublishError
from nsqclient.sync import Message, open_consumer, open_producer

pytestmark = pytest.mark.slow

Daemons = Callable[..., Daemon]


def test_scripts_publish_and_consume_without_an_event_loop(daemon: Daemons):
    nsqd = daemon("nsqd")
    with open_producer(nsqd.tcp) as producer:
        producer.publish("orders", b'{"n": 1}', timeout=PATIENCE)
        producer.publish_many("orders", [b"2", b"3"])
        assert repr(producer) == f"<Producer for {nsqd.tcp}: 1 connected>"
        producer.publish("orders", b"later", defer=0.1)
    with open_consumer("orders", "billing", nsqd=nsqd.tcp, max_backoff=0) as consumer:
        assert repr(consumer).startswith("<Consumer of orders/billing: ")
        first = next(consumer)
        assert repr(first).startswith(f"<Message {first.id} of orders at {nsqd.tcp}: ")
        assert (first.json(), first.attempts, first.topic) == ({"n": 1}, 1, "orders")
        first.touch()
        first.requeue(0.1)
        bodies = []
        for message in consumer:
            with message.process():
                bodies.append(message.body)
            if len(bodies) == 4:
                break
        assert sorted(bodies) == [b"2", b"3", b"later", b'{"n": 1}']
        with pytest.raises(TimeoutError):
            consumer.get(timeout=0.05)
        assert consumer.stats().requeued == 1
    channel = nsqd.channel("orders", "billing")
    assert (channel["depth"], channel["in_flight_count"]) == (0, 0)


def test_leaving_early_gives_back_what_was_fetched_ahead(daemon: Daemons):
    nsqd = daemon("nsqd")
    with open_producer(nsqd.tcp) as producer:
        producer.publish_many("orders", [b"%d" % n for n in range(100)])
    with open_consumer("orders", "billing", nsqd=nsqd.tcp, max_in_flight=50) as consumer:
        next(consumer).finish()
    channel = nsqd.channel("orders", "billing")
    assert (channel["depth"], channel["in_flight_count"]) == (99, 0)


def test_errors_are_those_of_the_asynchronous_client(daemon: Daemons):
    nsqd = daemon("nsqd")
    with open_producer(nsqd.tcp) as producer, pytest.raises(PublishError):
        producer.publish("no such name", b"x")
    nsqd.kill()
    with open_producer(nsqd.tcp) as producer, pytest.raises(ConnectionLost):
        producer.publish("orders", b"x", timeout=PATIENCE)
    with pytest.raises(ValueError, match="nowhere"), open_consumer("orders", "billing"):
        pass
    with pytest.raises(KeyError), open_producer(nsqd.tcp):
        raise KeyError


def test_run_calls_blocking_handlers_in_threads(daemon: Daemons):
    nsqd = daemon("nsqd")
    with open_producer(nsqd.tcp) as producer:
        producer.publish_many("orders", [b"%d" % n for n in range(20)])
    together = threading.Barrier(4)
    seen: list[bytes] = []

    def handle(message: Message) -> None:
        together.wait(PATIENCE)  # four of them run at once, or none gets past this
        seen.append(message.body)
        if len(seen) == 20:
            consumer.stop()

    with open_consumer("orders", "billing", nsqd=nsqd.tcp) as consumer:
        consumer.run(handle, concurrency=4)
    assert len(set(seen)) == 20
    wait_until(lambda: nsqd.channel("orders", "billing")["in_flight_count"] == 0)


def test_threads_share_what_one_of_them_fetched(daemon: Daemons):
    nsqd = daemon("nsqd")
    with open_producer(nsqd.tcp) as producer:
        producer.publish_many("orders", [b"%d" % n for n in range(300)])
    together = threading.Barrier(3)
    seen: list[bytes] = []

    def take() -> None:
        for number in range(100):
            with next(consumer).process() as message:
                if not number:
                    together.wait(PATIENCE)  # each has one, though one fetched them all
                seen.append(message.body)

    with open_consumer("orders", "billing", nsqd=nsqd.tcp, max_in_flight=25) as consumer:
        threads = [threading.Thread(target=take) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(seen) == sorted(b"%d" % n for n in range(300))
    channel = nsqd.channel("orders", "billing")
    assert (channel["depth"], channel["in_flight_count"]) == (0, 0)


def interrupt_once_it_waits(thread: int) -> None:
    """Ctrl-C, when the thread is inside a call of the client."""

    def is_inside() -> bool:
        calls = traceback.extract_stack(sys._current_frames()[thread])
        return any(call.filename == nsqclient.sync.__file__ for call in calls)

    wait_until(is_inside, "the client is called")
    signal.pthread_kill(thread, signal.SIGINT)


def test_interrupted_call_leaves_nothing_behind(daemon: Daemons):
    nsqd = daemon("nsqd")
    with (
        open_producer(nsqd.tcp) as producer,
        open_consumer("orders", "billing", nsqd=nsqd.tcp) as consumer,
    ):
        interrupt = threading.Thread(target=interrupt_once_it_waits, args=(threading.get_ident(),))
        interrupt.start()
        with pytest.raises(KeyboardInterrupt):
            next(consumer)
        interrupt.join()
        producer.publish_many("orders", [b"1", b"2"])
        for message in (next(consumer), next(consumer)):
            message.finish()
    assert nsqd.channel("orders", "billing")["in_flight_count"] == 0


def test_what_is_used_after_its_block_says_so(daemon: Daemons):
    nsqd = daemon("nsqd")
    with (
        open_producer(nsqd.tcp) as producer,
        open_consumer("orders", "billing", nsqd=nsqd.tcp, drain_timeout=0.1) as consumer,
    ):
        producer.publish("orders", b"x")
        message = next(consumer)
        processing = message.process()
        processing.__enter__()
    processing.__exit__(None, None, None)  # it was given back: nothing left to say
    for call in (
        lambda: producer.publish("orders", b"x"),
        lambda: next(consumer),
        consumer.stop,
        message.finish,
    ):
        with pytest.raises(Closed):
            call()


def test_forked_process_is_told_to_open_its_own(daemon: Daemons):
    nsqd = daemon("nsqd")
    with open_producer(nsqd.tcp) as producer:
        producer.publish("orders", b"x")
        child = os.fork()
        if not child:
            status = 1
            try:
                producer.publish("orders", b"y", timeout=PATIENCE)
            except RuntimeError as error:
                status = 0 if "fork" in str(error) else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        producer.publish("orders", b"z")


FORKING = """
import os, sys
import nsqclient.sync

with nsqclient.sync.open_producer(sys.argv[1]) as producer:
    producer.publish("orders", b"x")
    child = os.fork()
    if not child:
        sys.exit(3)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    producer.publish("orders", b"y")
print(status)
"""


def test_forked_child_that_leaves_the_block_and_the_interpreter_does_not_hang(daemon: Daemons):
    """What the block had was ended by the interpreter, which waited for ever."""
    nsqd = daemon("nsqd")
    command = [sys.executable, "-c", FORKING, nsqd.tcp]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as parent:
        try:
            told, _ = parent.communicate(timeout=PATIENCE)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(parent.pid, signal.SIGKILL)
    assert told == b"3\n"


def test_stop_hands_out_nothing_that_was_fetched(daemon: Daemons):
    nsqd = daemon("nsqd")
    with open_producer(nsqd.tcp) as producer:
        producer.publish_many("orders", [b"%d" % n for n in range(100)])
    seen = 0
    with open_consumer("orders", "billing", nsqd=nsqd.tcp, max_in_flight=100) as consumer:
        for message in consumer:
            with message.process():
                seen += 1
            if seen == 50:
                consumer.stop()
    assert seen == 50
    channel = nsqd.channel("orders", "billing")
    assert (channel["depth"], channel["in_flight_count"]) == (50, 0)


def test_batches_settings_and_waits_are_there_too(daemon: Daemons):
    nsqd = daemon("nsqd")
    with (
        open_producer(nsqd.tcp) as producer,
        open_consumer("orders", "billing", nsqd=nsqd.tcp, max_in_flight=10) as consumer,
    ):
        producer.wait_until_connected(timeout=PATIENCE)
        consumer.wait_until_connected(timeout=PATIENCE)
        producer.publish_many("orders", [b"%d" % n for n in range(20)])
        sizes = []
        for batch in consumer.batches(max_size=10, max_wait=5):
            with batch.process():
                sizes.append(len(batch))
            if sum(sizes) == 20:
                break
        assert sizes[0] <= 10
        consumer.max_in_flight = 20
        assert consumer.max_in_flight == 20
    assert nsqd.channel("orders", "billing")["depth"] == 0


def test_handling_hook_wraps_blocking_handlers_and_batches(daemon: Daemons):
    nsqd = daemon("nsqd")
    events: list[str] = []

    @contextmanager
    def span(message: object) -> Iterator[None]:
        events.append("begin")
        yield
        events.append("end")

    def handle(message: Message) -> None:
        events.append("handle")
        consumer.stop()

    with (
        open_producer(nsqd.tcp) as producer,
        open_consumer(
            "orders", "billing", nsqd=nsqd.tcp, hooks=nsqclient.Hooks(handling=span)
        ) as consumer,
    ):
        producer.publish_many("orders", [b"1", b"2"])
        with next(consumer.batches(max_size=1)).process():
            events.append("handle")
        consumer.run(handle)
    assert events == ["begin", "handle", "end"] * 2


def test_interrupt_ends_run_though_a_handler_hangs(daemon: Daemons):
    nsqd = daemon("nsqd")
    hanging, released = threading.Event(), threading.Event()

    def handle(message: Message) -> None:
        hanging.set()
        released.wait(PATIENCE)

    def interrupt() -> None:
        hanging.wait(PATIENCE)
        signal.pthread_kill(main, signal.SIGINT)

    main = threading.get_ident()
    with (
        open_producer(nsqd.tcp) as producer,
        open_consumer("orders", "billing", nsqd=nsqd.tcp, drain_timeout=0.1) as consumer,
    ):
        producer.publish("orders", b"x")
        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            consumer.run(handle)
    released.set()
    wait_until(lambda: nsqd.channel("orders", "billing")["depth"] == 1)


@pytest.mark.skipif(not hasattr(resource, "RUSAGE_THREAD"), reason="threads are not told apart")
@pytest.mark.parametrize("how", ["for", "run"])
def test_a_message_costs_no_trip_to_the_event_loop_of_its_own(daemon: Daemons, how: str):
    """A trip there and back puts the thread to sleep at least once."""
    nsqd = daemon("nsqd")
    count, seen, slept = 4000, 0, 0
    with open_producer(nsqd.tcp) as producer:
        producer.publish_many("orders", [b"x"] * count)

    def handle(message: Message) -> None:
        nonlocal seen, slept
        if not seen:
            slept = -resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
        seen += 1
        if seen == count:
            slept += resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
            consumer.stop()

    with open_consumer("orders", "billing", nsqd=nsqd.tcp, max_in_flight=2500) as consumer:
        if how == "run":
            consumer.run(handle)
        else:
            for message in consumer:
                with message.process():
                    handle(message)
    assert seen == count
    assert slept < count / 2


def test_signatures_are_those_of_the_asynchronous_client():
    for name in ("open_producer", "open_consumer"):
        ours = inspect.signature(getattr(nsqclient.sync, name)).parameters
        assert list(ours) == list(inspect.signature(getattr(nsqclient, name)).parameters)


@pytest.mark.parametrize("name", ["sync.open_producer", "testing.open_nsqd"])
def test_the_module_is_there_after_importing_the_client(name: str):
    code = f"import nsqclient; nsqclient.{name}"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE)
