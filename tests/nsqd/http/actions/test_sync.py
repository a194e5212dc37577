"""POST /topic/sync: answered when what a durable topic accepted is on disk."""

import pytest


@pytest.fixture
async def nsqd(make_nsqd):
    nsqd = make_nsqd(durability="os")
    nsqd.api.when_synced = nsqd.durability.store.when_synced
    return nsqd


async def test_a_sync_is_answered_when_all_is_on_disk_and_not_before(nsqd):
    session = nsqd.start("/topic/create?topic=t", "POST")
    nsqd.commit()
    nsqd.start("/pub?topic=t", "POST", b"1")
    session = nsqd.start("/topic/sync?topic=t", "POST")
    assert session.outbox.take() == b""
    nsqd.commit()
    assert session.outbox.take().startswith(b"HTTP/1.1 200 ")
    assert not nsqd.durability.store.journal.file.unsynced


async def test_a_sync_that_fails_is_told(nsqd, monkeypatch):
    nsqd.start("/topic/create?topic=t", "POST")
    nsqd.commit()
    store = nsqd.durability.store

    def fail(*_: object, **__: object) -> None:
        raise OSError("sick disk")

    monkeypatch.setattr(store.disk, "sync", fail)
    monkeypatch.setattr(store.disk, "write", fail)
    session = nsqd.start("/topic/sync?topic=t", "POST")
    store.end_tick(0)
    monkeypatch.undo()
    nsqd.commit()
    assert session.outbox.take().startswith(b"HTTP/1.1 500 ")


@pytest.mark.parametrize(
    ("query", "refusal"),
    [
        ("topic=plain", (400, "NOT_DURABLE")),
        ("topic=none", (404, "TOPIC_NOT_FOUND")),
        ("topic=$", (400, "INVALID_TOPIC")),
        ("", (400, "MISSING_ARG_TOPIC")),
    ],
)
async def test_what_has_no_log_has_nothing_to_sync(make_nsqd, query, refusal):
    nsqd = make_nsqd()
    await nsqd.post("/topic/create?topic=plain")
    assert (await nsqd.post(f"/topic/sync?{query}")).refusal == refusal
