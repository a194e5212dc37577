"""taskiq's broker, with a worker of taskiq."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from taskiq.exceptions import SendTaskError
from tests.e2e.daemons import PATIENCE, wait_until

from nsqclient.taskiq import NsqBroker

FOLDER = Path(__file__).parent


async def _task() -> None: ...


def test_a_broker_that_is_not_started_says_so() -> None:
    task = NsqBroker("127.0.0.1:1").task("named")(_task)
    with pytest.raises(SendTaskError) as raised:
        asyncio.run(task.kiq())
    assert "not started" in str(raised.value.__cause__)


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_no_task(daemon, tmp_path) -> None:
    nsqd, notes = daemon("nsqd"), tmp_path / "notes"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(FOLDER), *sys.path]),
        "NSQD": nsqd.tcp,
        "NOTES": str(notes),
    }
    sender = "import asyncio, taskiq_app; asyncio.run(taskiq_app.send(['one', 'two']))"
    subprocess.run(
        [sys.executable, "-c", sender], env=environment, check=True, timeout=PATIENCE * 2
    )

    def start(**variables: str) -> subprocess.Popen[bytes]:
        command = (sys.executable, "-m", "taskiq", "worker", "taskiq_app:broker", "--workers=1")
        with (tmp_path / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=tmp_path,
                env=environment | variables,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def lines() -> list[str]:
        return notes.read_text().splitlines() if notes.exists() else []

    worker = start(HANGS="one")
    try:
        wait_until(lambda: {"one", "two", "later"} <= set(lines()), timeout=PATIENCE * 2)
        # what is told done before the kill is not done again
        wait_until(lambda: nsqd.channel("jobs", "taskiq")["in_flight_count"] == 1)
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        worker = start()
        wait_until(lambda: lines().count("one") == 2, timeout=PATIENCE * 2)
        wait_until(lambda: nsqd.channel("jobs", "taskiq")["in_flight_count"] == 0)
        assert sorted(lines()) == ["later", "one", "one", "two"]
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
