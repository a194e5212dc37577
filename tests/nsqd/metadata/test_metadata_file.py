import errno
import json
import os
import random
import stat

import pytest
import trio
import trio.testing
from tests.nsqd.broker import open_broker
from tests.nsqd.engine.power import FragileDisk

from nsqd.engine.broker import Broker
from nsqd.metadata.metadata_file import BadMetadata, MetadataFile, load, restore
from nsqd.storage.diskqueue.store import DiskStore
from nsqd.storage.files.filesystem import SYSTEM


@pytest.fixture
def make_broker(tmp_path):
    def make() -> Broker:
        store = DiskStore(str(tmp_path), warn=print)
        return open_broker(store)

    return make


@pytest.fixture
def broker(make_broker):
    return make_broker()


@pytest.fixture
def metadata(tmp_path, broker):
    metadata = MetadataFile(str(tmp_path), broker.topics, "1.3.0")
    broker.on_change(metadata.changed)
    return metadata


def content(path) -> dict:
    return json.loads((path / "nsqd.dat").read_text())


def names(path) -> dict[str, list[str]]:
    return {
        topic["name"]: [channel["name"] for channel in topic["channels"] or []]
        for topic in content(path)["topics"] or []
    }


async def until(condition) -> None:
    with trio.fail_after(60):
        while not condition():  # noqa: ASYNC110 - the condition is about a file
            await trio.sleep(0.001)


# ---------------------------------------------------------------- content


def test_fresh_nsqd_has_no_topics(tmp_path, metadata):
    metadata.save()

    assert (tmp_path / "nsqd.dat").read_text() == '{"topics":null,"version":"1.3.0"}'
    assert stat.S_IMODE(os.stat(tmp_path / "nsqd.dat").st_mode) == 0o600
    assert os.listdir(tmp_path) == ["nsqd.dat"]


def test_topics_channels_and_pauses_are_listed(tmp_path, broker, metadata):
    channel = broker.create_channel("with", "a")
    broker.pause_channel(broker.create_topic("with"), channel, paused=True)
    broker.create_channel("with", "b")
    broker.pause_topic(broker.create_topic("without"), paused=True)
    metadata.save()

    assert content(tmp_path) == {
        "topics": [
            {
                "name": "with",
                "paused": False,
                "channels": [{"name": "a", "paused": True}, {"name": "b", "paused": False}],
            },
            {"name": "without", "paused": True, "channels": None},
        ],
        "version": "1.3.0",
    }


def test_what_is_ephemeral_is_left_out(tmp_path, broker, metadata):
    broker.create_channel("t", "tmp#ephemeral")
    broker.create_channel("t", "keep")
    broker.create_channel("gone#ephemeral", "c")
    metadata.save()

    assert names(tmp_path) == {"t": ["keep"]}


def test_what_was_written_is_restored(tmp_path, broker, metadata, make_broker):
    broker.pause_channel(broker.create_topic("t"), broker.create_channel("t", "a"), paused=True)
    broker.create_channel("t", "b")
    broker.pause_topic(broker.create_topic("bare"), paused=True)
    metadata.save()

    again = make_broker()
    again.hold_new_topics = True
    restore(again, load(str(tmp_path)))

    assert {name: list(topic.channels) for name, topic in again.topics.items()} == {
        "t": ["a", "b"],
        "bare": [],
    }
    assert again.topics["t"].channels["a"].paused
    assert not again.topics["t"].channels["b"].paused
    assert again.topics["bare"].paused
    assert again.topics["t"].is_open


def test_directory_without_the_file_has_no_topics(tmp_path):
    assert load(str(tmp_path)) == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{not json", "Expecting property name"),
        ("", "Expecting value"),
        ("[]", "content is not an object"),
        ('{"topics":{}}', "topics is not a list"),
        ('{"topics":["t"]}', "topics is not an object"),
        ('{"topics":[{"name":5}]}', "topics: name is not a string"),
        ('{"topics":[{"name":"t","paused":"yes"}]}', "paused of t is not a truth value"),
        ('{"topics":[{"name":"t","channels":[[]]}]}', "channels is not an object"),
        ("\xff\xfe", "codec can't decode"),
    ],
)
def test_garbage_is_refused_with_its_reason(text, reason, tmp_path):
    (tmp_path / "nsqd.dat").write_bytes(text.encode("latin-1"))

    with pytest.raises(BadMetadata, match=reason) as caught:
        load(str(tmp_path))
    assert str(tmp_path / "nsqd.dat") in str(caught.value)


@pytest.mark.parametrize("text", ["null", "{}", '{"topics":null}', '{"topics":[],"new":1}'])
def test_nothing_listed_is_fine(text, tmp_path):
    (tmp_path / "nsqd.dat").write_text(text)

    assert load(str(tmp_path)) == []


def test_invalid_names_are_skipped_with_a_warning(tmp_path, caplog):
    topics = [
        {"name": "../up", "channels": []},
        {"name": "t", "channels": [{"name": "a b"}, {"name": "ok"}]},
        {"name": ""},
    ]
    (tmp_path / "nsqd.dat").write_text(json.dumps({"topics": topics}))
    found = load(str(tmp_path))

    assert [(topic.name, [c.name for c in topic.channels]) for topic in found] == [("t", ["ok"])]
    assert "skipping creation of invalid topic ../up" in caplog.text
    assert "skipping creation of invalid channel a b" in caplog.text


# ---------------------------------------------------------------- following changes


async def test_file_follows_what_comes_and_goes(tmp_path, broker, metadata, nursery):
    metadata.save()
    nursery.start_soon(metadata.run)
    broker.create_channel("live", "one")
    broker.create_channel("doomed", "ch")
    await until(lambda: names(tmp_path) == {"live": ["one"], "doomed": ["ch"]})

    broker.delete_topic(broker.topics["doomed"])
    broker.delete_channel(broker.topics["live"], broker.topics["live"].channels["one"])
    await until(lambda: names(tmp_path) == {"live": []})


async def test_many_creations_are_few_writes(tmp_path, broker, metadata, nursery, caplog):
    caplog.set_level("INFO")
    metadata.save()
    nursery.start_soon(metadata.run)
    for number in range(200):
        broker.create_channel(f"t{number}", "c")
        await trio.lowlevel.checkpoint()
    await until(lambda: len(names(tmp_path)) == 200)

    assert caplog.text.count("persisting") < 10


async def test_who_waits_finds_the_change_written(tmp_path, broker, metadata):
    broker.pause_topic(broker.create_topic("t"), paused=True)
    await metadata.persist()
    assert content(tmp_path)["topics"][0]["paused"]

    broker.pause_topic(broker.create_topic("t"), paused=False)
    await metadata.persist()
    assert not content(tmp_path)["topics"][0]["paused"]


async def test_a_change_that_somebody_waits_for_is_written_once(broker, metadata, nursery, caplog):
    caplog.set_level("INFO")
    nursery.start_soon(metadata.run)
    await trio.testing.wait_all_tasks_blocked()
    broker.pause_topic(broker.create_topic("t"), paused=True)
    await metadata.persist()
    await metadata.persist()  # behind whatever else is being written
    assert caplog.text.count("persisting") == 1


async def test_nothing_takes_the_place_of_the_file_before_it_is_on_the_disk(
    tmp_path, broker, metadata, nursery, monkeypatch
):
    """Else a loss of power may leave an empty one, with which nsqd does not start."""
    disk = FragileDisk(tmp_path)
    metadata.fs = disk
    metadata.save()
    nursery.start_soon(metadata.run)
    broker.pause_channel(broker.create_topic("t"), broker.create_channel("t", "c"), paused=True)
    await metadata.persist()

    for number in range(20):
        left = tmp_path / f"left{number}"
        disk.leave(left, random.Random(number))
        assert names(left) == {"t": ["c"]}


async def test_what_is_ephemeral_causes_no_write(tmp_path, broker, metadata, nursery):
    nursery.start_soon(metadata.run)
    broker.create_channel("t#ephemeral", "c")
    broker.pause_topic(broker.create_topic("t#ephemeral"), paused=True)
    await trio.testing.wait_all_tasks_blocked()

    assert os.listdir(tmp_path) == []


async def test_failing_disk_is_logged_once_and_tried_again(
    tmp_path, broker, metadata, nursery, caplog
):
    obstacle = tmp_path / "nsqd.dat.thread.tmp"
    obstacle.mkdir()
    metadata.retry = 0.001
    broker.create_topic("t")
    caplog.set_level("INFO")
    nursery.start_soon(metadata.run)
    await until(lambda: caplog.text.count("persisting") > 3)
    assert caplog.text.count("failed to persist metadata") == 1

    obstacle.rmdir()
    await until((tmp_path / "nsqd.dat").exists)
    assert names(tmp_path) == {"t": []}


async def test_full_disk_at_the_start_is_no_failure_and_tried_again(
    tmp_path, broker, metadata, nursery, monkeypatch
):
    metadata.retry = 0.001
    broker.create_topic("t")
    with monkeypatch.context() as patch:
        patch.setattr(SYSTEM, "write", refuse(errno.ENOSPC))
        assert "No space left" in metadata.save_at_start()
    assert os.listdir(tmp_path) == []

    nursery.start_soon(metadata.run)
    await until((tmp_path / "nsqd.dat").exists)
    assert metadata.save_at_start() == ""


def test_disk_that_is_sick_at_the_start_is_a_failure(metadata, monkeypatch):
    monkeypatch.setattr(SYSTEM, "write", refuse(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        metadata.save_at_start()


def refuse(number: int):
    def write(descriptor: int, data: bytes) -> int:
        raise OSError(number, os.strerror(number))

    return write


def test_late_write_in_the_thread_does_not_undo_a_newer_one(tmp_path, broker, metadata):
    broker.create_topic("t")
    late = metadata._next()
    broker.pause_topic(broker.create_topic("t"), paused=True)
    metadata.save()
    metadata._write(late, suffix="thread")

    assert content(tmp_path)["topics"][0]["paused"]
    assert os.listdir(tmp_path) == ["nsqd.dat"]


async def test_many_topics_are_written_with_turns_for_others_in_between(
    tmp_path, metadata, broker, monkeypatch
):
    monkeypatch.setattr("nsqd.metadata.metadata_file.STEP", 2)
    for number in range(20):
        broker.create_channel(f"t{number}", "c")
    turns = []

    async def others() -> None:
        while True:
            turns.append(len(broker.topics))
            if len(turns) == 5:
                broker.delete_topic(broker.topics["t19"])  # it is not looked at yet
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(others)
        await metadata.persist()
        nursery.cancel_scope.cancel()
    assert len(turns) > 10
    assert names(tmp_path) == {f"t{number}": ["c"] for number in range(19)}
