"""A disk whose syncs fail, and work again: what was acknowledged is there, and nsqd tells."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.e2e.daemons import Daemon, wait_until
from tests.e2e.peer import Peer, body

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler is installed"),
]

Daemons = Callable[..., Daemon]
Peers = Callable[[Daemon], Peer]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What fails syncs, to be preloaded."""
    target = tmp_path_factory.mktemp("library") / "sick_disk.so"
    source = Path(__file__).with_name("sick_disk.c")
    command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(target), str(source), "-ldl"]
    subprocess.run(command, check=True)
    return target


@pytest.fixture
def sick(tmp_path: Path) -> Path:
    """While this file is there, no sync of the nsqd succeeds."""
    return tmp_path / "sick"


@pytest.fixture
def nsqd(daemon: Daemons, library: Path, sick: Path) -> Callable[..., Daemon]:
    """Starts an nsqd with the library."""

    def preload() -> None:
        os.environ["LD_PRELOAD"], os.environ["SICK_DISK"] = str(library), str(sick)

    return lambda *flags: daemon("nsqd", *flags, limits=preload)


def ready(nsqd: Daemon) -> bool:
    return nsqd.request("GET", "/readyz")[0] == 200


def test_what_no_sync_confirms_is_refused_until_one_does(
    nsqd: Callable[..., Daemon], peer: Peers, sick: Path
) -> None:
    running = nsqd("--durability=always", "--journal-file-size=8388608")
    running.create("t", "c")
    acknowledged = {b"before"}
    running.post("/pub?topic=t", b"before")
    sick.touch()
    refused = peer(running).ask(b"PUB t\n", body(b"meanwhile"))
    assert refused.startswith(b"E_PUB_FAILED"), refused
    wait_until(lambda: not ready(running), "it is not ready")
    assert running.get("/durable/status")["journal"]["failed"] >= 1
    sick.unlink()
    wait_until(lambda: ready(running), "it is ready")
    assert peer(running).ask(b"PUB t\n", body(b"after")) == b"OK"
    acknowledged.add(b"after")
    running.kill()
    running.start()
    depth = running.channel("t", "c")["depth"]
    consumer = peer(running).subscribe("t", "c", ready=9)
    assert {message.body for message in consumer.consume(depth)} >= acknowledged


def test_a_plain_queue_that_syncs_every_message_refuses_too(
    nsqd: Callable[..., Daemon], peer: Peers, sick: Path
) -> None:
    running = nsqd("--mem-queue-size=0", "--sync-every=1")
    running.create("t", "c")
    assert peer(running).ask(b"PUB t\n", body(b"before")) == b"OK"
    sick.touch()
    refused = peer(running).ask(b"PUB t\n", body(b"meanwhile"))
    assert refused.startswith(b"E_PUB_FAILED PUB failed [Errno 5]"), refused
    wait_until(lambda: not ready(running), "it is not ready")
    sick.unlink()
    wait_until(lambda: ready(running), "it is ready")
    assert peer(running).ask(b"PUB t\n", body(b"after")) == b"OK"
    running.kill()
    running.start()
    consumer = peer(running).subscribe("t", "c", ready=9)
    bodies = {message.body for message in consumer.consume(3)}
    assert bodies == {b"before", b"meanwhile", b"after"}


def test_a_disk_that_refuses_is_tried_now_and_then_and_not_for_each_publish(
    nsqd: Callable[..., Daemon], peer: Peers, sick: Path
) -> None:
    """Each publish had a journal file tried to be made, and a line in the log about it."""
    running = nsqd("--durability=always", "--journal-file-size=8388608")
    running.create("t", "c")
    sick.touch()
    began = time.monotonic()
    for _ in range(50):
        assert peer(running).ask(b"PUB t\n", body(b"x")).startswith(b"E_PUB_FAILED")
    tries = running.log().count("failed to make a journal file")
    assert 1 <= tries <= 2 + (time.monotonic() - began) / 2
    sick.unlink()
    wait_until(lambda: ready(running), "the disk is well")
    assert peer(running).ask(b"PUB t\n", body(b"x")) == b"OK"
