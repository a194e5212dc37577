"""kombu's transport, and a worker of Celery on it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import kombu
import pytest
from tests.e2e.daemons import PATIENCE, Daemon, wait_until

from nsqclient.kombu import settings
from nsqcore.names import is_valid_name

FOLDER = Path(__file__).parent


def test_a_queue_is_a_topic_of_its_name_if_that_can_be():
    assert settings.topic_of("celery") == "celery"
    others = ["a@b", "a#b", "a#ephemeral", "x" * 65, "x" * 66]
    topics = [settings.topic_of(name) for name in others]
    assert all(map(is_valid_name, topics))
    assert len({*topics, *others}) == 2 * len(others)


def test_a_task_is_due_by_its_eta():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    for eta, seconds in {
        (now + timedelta(seconds=3)).isoformat(): 3.0,
        "2026-01-01T00:00:02": 2.0,
        "2026-01-01T01:00:00+01:00": 0.0,
        "2025-12-31T00:00:00+00:00": 0.0,
        "soon": 0.0,
        None: 0.0,
    }.items():
        assert settings.due_in({"headers": {"eta": eta}}, now) == seconds


@pytest.mark.parametrize("address", ["nsq", "nsq+lookupd"])
def test_kombu_publishes_consumes_rejects_and_purges(daemon, address) -> None:
    lookupd = daemon("nsqlookupd")
    nsqd = daemon("nsqd", f"--lookupd-tcp-address={lookupd.tcp}")
    wait_until(lambda: lookupd.get("/nodes")["producers"], "nsqd is registered")
    url = f"nsq://{nsqd.tcp}" if address == "nsq" else f"nsq+lookupd://{lookupd.http}"
    with kombu.Connection(url) as connection:
        queue = connection.SimpleQueue("things")
        queue.put({"number": 1})
        message = queue.get(timeout=PATIENCE)
        assert message.payload == {"number": 1}
        message.requeue()
        again = queue.get(timeout=PATIENCE)
        assert again.payload == {"number": 1}
        assert again.delivery_info["redelivered"] is True
        again.ack()
        with pytest.raises(queue.Empty):
            queue.get(timeout=0.01)
        queue.close()
        for number in range(3):
            connection.Producer().publish(number, routing_key="others")
        assert connection.default_channel.queue_purge("others") == 3


def test_what_is_in_hand_goes_back_when_the_connection_is_closed(daemon) -> None:
    nsqd = daemon("nsqd")
    with kombu.Connection(f"nsq://{nsqd.tcp}") as first:
        queue = first.SimpleQueue("things")
        queue.put("one")
        queue.get(timeout=PATIENCE)
    with kombu.Connection(f"nsq://{nsqd.tcp}") as second:
        again = second.SimpleQueue("things").get(timeout=PATIENCE)
        assert again.payload == "one"
        again.ack()


def test_an_nsqd_that_is_not_there_is_an_error_of_the_connection() -> None:
    with kombu.Connection("nsq://127.0.0.1:1", connect_timeout=0.5) as connection:
        with pytest.raises(connection.connection_errors):
            connection.connect()


class Worker:
    """Celery's program, and what its tasks noted."""

    def __init__(self, folder: Path, nsqd: Daemon) -> None:
        self.notes = folder / "notes"
        path = os.pathsep.join([str(FOLDER), *sys.path])
        self.environment = {
            **os.environ,
            "PYTHONPATH": path,
            "NOTES": str(self.notes),
            "BROKER": f"nsq://{nsqd.tcp}",
        }
        self.running: list[subprocess.Popen[bytes]] = []
        self.log = folder / "log"

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
        """A worker process; the group of its children is its own."""
        command = (sys.executable, "-m", "celery", "-A", "celery_app", "worker", *arguments)
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=self.log.parent,
                env={**self.environment, **variables},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.running.append(process)
        return process

    def send(self, code: str) -> None:
        """Have another process run ``code`` with the app."""
        subprocess.run(
            [sys.executable, "-c", f"from celery_app import *\n{code}"],
            env=self.environment,
            check=True,
            timeout=PATIENCE * 2,
        )

    def lines(self) -> list[str]:
        """What was noted."""
        return self.notes.read_text().splitlines() if self.notes.exists() else []

    def end(self) -> None:
        """Kill what runs."""
        for process in self.running:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@pytest.fixture
def worker(tmp_path: Path, daemon: Callable[..., Daemon]) -> Iterator[Worker]:
    made = Worker(tmp_path, daemon("nsqd"))
    yield made
    made.end()


@pytest.mark.parametrize("address", ["nsq", "nsq+lookupd"])
def test_a_broadcast_comes_to_all_that_listen_and_to_nobody_else(daemon, address) -> None:
    lookupd = daemon("nsqlookupd")
    nsqds = [daemon("nsqd", f"--lookupd-tcp-address={lookupd.tcp}") for _ in range(2)]
    wait_until(lambda: len(lookupd.get("/nodes")["producers"]) == 2, "nsqds are registered")
    url = f"nsq://{nsqds[0].tcp}" if address == "nsq" else f"nsq+lookupd://{lookupd.http}"
    news = kombu.Exchange("news", "fanout")
    with kombu.Connection(url) as first, kombu.Connection(url) as second:
        readers = [
            connection.SimpleQueue(kombu.Queue(f"reader {number} of #news", news), no_ack=True)
            for number, connection in enumerate((first, second))
        ]
        for number in range(4):
            with kombu.Connection(url) as writer:
                writer.Producer(exchange=news, auto_declare=True).publish(number)
        for reader in readers:
            got = {reader.get(timeout=PATIENCE).payload for _ in range(4)}
            assert got == {0, 1, 2, 3}
            with pytest.raises(reader.Empty):
                reader.get(timeout=0.01)
    wait_until(
        lambda: not [topic for nsqd in nsqds for topic in nsqd.get("/stats?format=json")["topics"]],
        "what was broadcast is forgotten with the last who listens",
    )


def test_what_needs_no_acknowledgement_does_not_come_again(daemon) -> None:
    nsqd = daemon("nsqd")
    for number in range(2):
        with kombu.Connection(f"nsq://{nsqd.tcp}") as connection:
            connection.Producer().publish(number, routing_key="things")
            queue = connection.SimpleQueue("things", no_ack=True)
            assert queue.get(timeout=PATIENCE).payload == number


@pytest.mark.slow
@pytest.mark.parametrize("address", ["nsq", "nsq+lookupd"])
def test_workers_are_inspected_and_controlled(worker: Worker, daemon, address) -> None:
    if address == "nsq+lookupd":
        lookupd = daemon("nsqlookupd")
        for _ in range(2):
            daemon("nsqd", f"--lookupd-tcp-address={lookupd.tcp}")
        wait_until(lambda: len(lookupd.get("/nodes")["producers"]) == 2, "nsqds are registered")
        worker.environment["BROKER"] = f"nsq+lookupd://{lookupd.http}"
    options = ("--pool=solo", "--loglevel=info")
    workers = [worker.start(*options, f"--hostname={name}@here") for name in ("ann", "bob")]
    wait_until(lambda: worker.log.read_text().count("@here ready.") == 2, "both are ready")

    def inspect() -> set[str]:
        told = subprocess.run(
            [sys.executable, "-m", "celery", "-A", "celery_app", "inspect", "ping", "--json"],
            env=worker.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE * 2,
        )
        return set(json.loads(told.stdout)) if told.returncode == 0 else set()

    wait_until(lambda: inspect() == {"ann@here", "bob@here"}, "both answer", timeout=PATIENCE * 3)
    worker.send(
        "for _ in range(2):\n"
        "    told = app.control.inspect(timeout=30, limit=2).active_queues()\n"
        "    assert set(told) == {'ann@here', 'bob@here'}, told\n"
        "app.control.shutdown(destination=['bob@here'])"
    )
    assert workers[1].wait(PATIENCE * 2) == 0, worker.log.read_text()
    assert inspect() == {"ann@here"}


@pytest.mark.slow
def test_celery_runs_tasks_later_again_and_not_twice(worker: Worker) -> None:
    worker.send(
        "told.delay('now'); due = datetime.now().timestamp() + 1\n"
        "told.apply_async(('later', due), countdown=1); failing.delay()"
    )
    process = worker.start("--concurrency=2")
    wanted = ["attempt 0", "attempt 1", "attempt 2", "later", "now"]
    wait_until(lambda: len(worker.lines()) >= len(wanted), "tasks have run", timeout=PATIENCE * 2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE * 2) == 0, worker.log.read_text()
    assert sorted(worker.lines()) == wanted


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_no_task(worker: Worker) -> None:
    worker.send("slow.delay(); told.delay('behind it')")
    killed = worker.start("--pool=solo", SLOW="1")
    wait_until(lambda: "begun" in worker.lines(), "the first task has begun", timeout=PATIENCE * 2)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    worker.start("--pool=solo")
    wait_until(
        lambda: {"done", "behind it"} <= set(worker.lines()),
        "all tasks have run",
        timeout=PATIENCE * 2,
    )
    assert worker.lines().count("begun") == 2
