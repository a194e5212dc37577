"""What file system the data path is on, and what happens while little of it is free."""

from collections.abc import Callable

import pytest
import trio

from nsqcore.app import threads
from nsqcore.app.config.options import OptionsError
from nsqd.config.options import NsqdOptions
from nsqd.config.settings import nsqd_settings
from nsqd.engine.health import Health
from nsqd.lifecycle import data_path
from nsqd.lifecycle.data_path import FreeSpace, free_bytes, network_file_system
from nsqd.metadata.policy_store import FILE_NAME
from nsqd.opening import open_policies
from nsqd.policies.errors import InvalidPolicy

ALWAYS = {"pattern": "orders*", "definition": {"durability": "always"}}


@pytest.fixture
def mount(tmp_path, monkeypatch):
    """Has the system tell that ``tmp_path`` is a mount of some kind, among others."""

    def as_kind(kind: str) -> None:
        mounts = tmp_path / "mountinfo"
        mounts.write_text(
            "22 1 0:21 / / rw,relatime shared:1 - ext4 /dev/root rw\n"
            f"36 22 0:30 / {tmp_path} rw master:2 propagate_from:1 - {kind} host:/x rw\n"
            f"37 22 0:31 / {tmp_path}/with\\040space rw - xfs /dev/a rw\n"
            f"38 22 0:31 / {tmp_path}other rw - tmpfs none rw\n"
        )
        monkeypatch.setattr(data_path, "MOUNTS", str(mounts))

    return as_kind


def policies(path, **options):
    return open_policies(
        nsqd_settings(NsqdOptions(data_path=str(path), broadcast_address="me", **options))
    )


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "9p", "fuse.sshfs"])
def test_what_is_on_another_machine_is_known_as_such(tmp_path, mount, kind):
    mount(kind)
    assert network_file_system(str(tmp_path / "data")) == kind
    assert network_file_system(str(tmp_path)) == kind
    assert network_file_system(str(tmp_path / "with space")) == ""
    assert network_file_system(f"{tmp_path}other/data") == ""


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "overlay", "fuse.fuse-overlayfs"])
def test_what_is_on_this_machine_is_trusted(tmp_path, mount, kind):
    mount(kind)
    assert network_file_system(str(tmp_path)) == ""


def test_a_system_that_tells_nothing_of_mounts_is_trusted(tmp_path, monkeypatch):
    monkeypatch.setattr(data_path, "MOUNTS", str(tmp_path / "none"))
    assert network_file_system(str(tmp_path)) == ""


@pytest.mark.parametrize("mode", ["interval", "always"])
def test_nobody_promises_a_sync_on_a_network_file_system_unless_forced(tmp_path, mount, mode):
    mount("nfs4")
    with pytest.raises(OptionsError, match="nfs4, and --allow-network-file-system is not set"):
        policies(tmp_path, durability=mode)
    policies(tmp_path, durability=mode, allow_network_file_system=True)
    policies(tmp_path, durability="os")


async def test_policies_promise_no_sync_there_either(tmp_path, mount):
    mount("cifs")
    store = policies(tmp_path)
    with pytest.raises(InvalidPolicy, match="durability: no always here: the data path is on cifs"):
        await store.set("orders", ALWAYS)
    assert not store.policies.own
    await store.set("orders", {**ALWAYS, "definition": {"durability": "os"}})
    forced = policies(tmp_path, allow_network_file_system=True)
    await forced.set("orders", ALWAYS)
    # kept by one that was forced: without the flag it does not start as if nothing were
    with pytest.raises(OptionsError, match=f"{FILE_NAME}: orders: durability: no always here"):
        policies(tmp_path)


def test_publishes_are_refused_below_the_limit_until_there_is_more_again():
    health = Health()
    space = FreeSpace(1000, health, lambda: 0)
    space.judge(1000)
    assert not health.low
    space.judge(999)
    assert health.low == "999 bytes are free, less than --min-free-bytes=1000"
    space.judge(1049)
    assert health.low  # not on and off with every message
    space.judge(1050)
    assert not health.low


@pytest.mark.parametrize("size", [1, 1000, 70_000])
def test_however_fast_it_fills_publishes_end_before_the_limit_is_far_behind(size):
    used, looks = [0], [0]

    def tell() -> int:
        looks[0] += 1
        if looks[0] % 5 == 4:
            raise OSError("gone")
        return 10_000_000 - used[0]

    health = Health()
    FreeSpace(1_000_000, health, tell).look()
    while not health.low:  # no time passes
        used[0] += size
        health.published(size)
    assert 9_000_000 < used[0] <= 9_000_000 + max(size, 2 * data_path.FEWEST)
    assert looks[0] < 40


async def test_the_disk_is_looked_at_again_and_again(tmp_path, caplog):
    caplog.set_level("INFO")
    health, free = Health(), [10]

    def tell() -> int:
        if not free[0]:
            raise OSError("gone")
        return free[0]

    async def until(condition: Callable[[], object]) -> None:
        with trio.fail_after(10):
            while not condition():  # noqa: ASYNC110
                await trio.sleep(0.001)

    async with trio.open_nursery() as tasks:
        tasks.start_soon(FreeSpace(100, health, tell).run)
        await until(lambda: health.low)
        free[0] = 0
        await until(lambda: "failed to tell how much is free - gone" in caplog.text)
        assert health.low
        free[0] = 200
        await until(lambda: not health.low)
        tasks.cancel_scope.cancel()
    assert "10 bytes are free, --min-free-bytes is 100: publishes are refused" in caplog.text
    assert "200 bytes are free: publishes are accepted again" in caplog.text
    assert free_bytes(str(tmp_path)) > 0


async def test_it_is_looked_at_the_more_often_the_faster_it_fills(monkeypatch, autojump_clock):
    free, looks = [1_000_000], []

    async def look(function: Callable[[], int], *, lane: str) -> int:
        looks.append(trio.current_time())
        return function()

    monkeypatch.setattr(threads, "run_sync", look)
    async with trio.open_nursery() as tasks:
        tasks.start_soon(FreeSpace(1000, health := Health(), lambda: free[0]).run)
        await trio.sleep(100)
        assert 100 < len(looks) < 120
        while not health.low:  # a tenth of it a second
            await trio.sleep(0.01)
            free[0] -= 1000
        assert free[0] > -10_000
        tasks.cancel_scope.cancel()
