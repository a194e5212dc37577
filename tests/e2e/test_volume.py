"""A volume goes from one host to another: nsqd is killed, its volume detached, attached elsewhere.

A file behind a loop device stands for the volume of a cloud. Skipped where the tests are not root
or there are no loop devices.
"""

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import define, field

pytestmark = pytest.mark.slow


def run(*command: object) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@define(eq=False)
class Volume:
    """A file system in ``image``, which is attached or not."""

    image: Path
    device: str = ""
    place: Path | None = field(default=None)

    def attach(self, place: Path) -> None:
        place.mkdir(parents=True, exist_ok=True)
        self.device = run("losetup", "--find", "--show", self.image)
        run("mount", self.device, place)
        self.place = place

    def detach(self) -> None:
        """As an orchestrator does once the host is fenced: no process has it any more."""
        if self.place is not None:
            run("umount", self.place)
            self.place = None
        if self.device:
            run("losetup", "--detach", self.device)
            self.device = ""


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Volume]:
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(400 << 20)
    found = Volume(image)
    try:
        if os.getuid():
            pytest.skip("only root attaches volumes")
        run("mkfs.ext4", "-q", "-F", image)
        found.attach(tmp_path / "trial")
        found.detach()
    except (OSError, subprocess.CalledProcessError) as error:
        found.detach()
        pytest.skip(f"no volumes here: {error}")
    yield found
    found.detach()


def test_what_was_acknowledged_goes_with_the_volume_to_the_next_host(daemon, peer, volume):
    here, there = (daemon("nsqd", "--durability=always") for _ in range(2))
    for host in (here, there):
        assert host.terminate() == 0
    volume.attach(here.data)
    here.start()
    here.create("t", "c")
    acknowledged: list[bytes] = []
    stop = threading.Event()

    def publish() -> None:
        number = 0
        while not stop.is_set():
            body = b"%d" % number
            try:
                if here.request("POST", "/pub?topic=t", body)[0] != 200:
                    return
            except OSError:
                return
            acknowledged.append(body)
            number += 1

    publisher = threading.Thread(target=publish)
    publisher.start()
    while len(acknowledged) < 300 and publisher.is_alive():
        publisher.join(0.01)
    here.kill()
    stop.set()
    publisher.join()
    volume.detach()
    assert not (here.data / "durable").exists()

    volume.attach(there.data)
    there.start()
    depth = there.channel("t", "c")["depth"]
    found = {each.body for each in peer(there).subscribe("t", "c", ready=99).consume(depth)}
    assert set(acknowledged) <= found
    assert there.terminate() == 0
