import json
from pathlib import Path

from tests.fakes.fake_nsqd import fake_cluster, until
from tests.nsqclient.backends import on_both

from nsqclient import archive, open_consumer


@on_both
async def test_archive_keeps_the_message_as_a_line_of_json(tmp_path: Path):
    path = tmp_path / "dead.jsonl"
    async with fake_cluster() as cluster:
        nsqd = cluster.nsqd("a:1")
        nsqd.put("grün".encode(), b"\xff\xfe", attempts=2)
        nsqd.put(b"alive")
        async with open_consumer(
            "orders",
            "billing",
            nsqd="a:1",
            options=cluster.options(),
            max_attempts=1,
            on_give_up=archive(path),
        ) as consumer:
            (await anext(consumer)).finish_nowait()
            await until(lambda: len(nsqd.finished) == 3)
    text, binary = [json.loads(line) for line in path.read_text().splitlines()]
    assert text["body"] == "grün"
    assert binary["body_base64"] == "//4="
    assert (text["topic"], text["attempts"], text["nsqd"]) == ("orders", 2, "a:1")
    assert text["id"] == "0000000000000001"


@on_both
async def test_dropping_is_logged(caplog):
    async with fake_cluster() as cluster:
        nsqd = cluster.nsqd("a:1")
        nsqd.put(b"dead", attempts=2)
        nsqd.put(b"alive", b"dead, too")
        async with open_consumer(
            "orders", "billing", nsqd="a:1", options=cluster.options(), max_attempts=1
        ) as consumer:
            (await anext(consumer)).finish_nowait()
        assert nsqd.finished[:2] == [b"dead", b"alive"]
    assert "giving up on it after 1 attempts" in caplog.text
