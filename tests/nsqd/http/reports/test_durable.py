"""What is told of durable topics, and that nothing is told where there are none."""

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from nsqd.http.reports.durable import promise_text

POLICY = b'{"pattern": "kept", "definition": {"durability": "always"}}'
DURABLE_KEYS = {"durability", "promise", "log", "lost_count", "damaged_count"}


async def make_topics(nsqd):
    """A durable topic with a message, and a plain one."""
    assert (await nsqd.put("/policy/set?name=keep", POLICY)).status == 200
    for topic in ("kept", "plain"):
        await nsqd.post(f"/topic/create?topic={topic}")
    nsqd.connect(b"PUB kept\n\0\0\0\3abc")
    nsqd.commit()


async def test_stats_tell_the_promise_and_the_log_of_durable_topics_only(nsqd):
    await make_topics(nsqd)
    kept, plain = (await nsqd.stats())["topics"]
    assert not DURABLE_KEYS & set(plain)
    assert (kept["durability"], kept["promise"]) == ("always", "on disk")
    log = kept["log"]
    assert (log["first"], log["next"], log["segments"]) == (1, 2, 1)
    assert log["bytes"] > 26 + 3
    assert (kept["lost_count"], kept["damaged_count"]) == (0, 0)
    assert kept["message_count"] == 1


async def test_stats_for_people_tell_it_too(nsqd):
    await make_topics(nsqd)
    text = (await nsqd.get("/stats")).text
    assert "durability: always (on disk) log: 1-2 bytes: " in text
    assert text.count("durability:") == 1


async def test_info_tells_what_topics_are_promised_that_have_no_policy(make_nsqd):
    assert not {"durability", "promise"} & set((await make_nsqd().get("/info")).json)
    info = (await make_nsqd(durability="interval", durability_interval=0.25).get("/info")).json
    assert (info["durability"], info["promise"]) == ("interval", "on disk every 250 ms")


@pytest.mark.parametrize(
    ("durability", "words"),
    [
        ("none", "in memory"),
        ("os", "in the system's cache"),
        ("interval", "on disk every 100 ms"),
        ("always", "on disk"),
    ],
)
def test_every_durability_has_words(durability, words):
    assert promise_text(durability, 0.1) == words


async def test_status_tells_how_the_journal_is(nsqd):
    idle = (await nsqd.get("/durable/status")).json
    assert not idle["in_use"]
    assert (idle["commits"], idle["uncommitted_bytes"]) == (0, 0)
    assert idle["recovery"]["problems"] == []
    await make_topics(nsqd)
    status = (await nsqd.get("/durable/status")).json
    assert status["in_use"]
    assert status["commits"] == 1
    assert status["journal"]["failed"] == 0
    nsqd.connect(b"PUB kept\n\0\0\0\3abc")
    assert (await nsqd.get("/durable/status")).json["uncommitted_bytes"] > 3


async def test_metrics_tell_of_commits_by_how_long_they_took(nsqd):
    await make_topics(nsqd)
    nsqd.durability.commit_times.observe(0.0003)
    nsqd.durability.commit_times.observe(7.0)
    families = {family.name: family for family in parse((await nsqd.get("/metrics")).text)}
    commits = families["nsqd_journal_commit_seconds"]
    assert commits.type == "histogram"
    found = {
        (sample.name.rpartition("_")[2], sample.labels.get("le")): sample.value
        for sample in commits.samples
    }
    assert found["bucket", "0.00025"] == 0
    assert found["bucket", "0.0005"] == found["bucket", "1.0"] == 1
    assert found["bucket", "+Inf"] == found["count", None] == 2
    assert found["sum", None] == pytest.approx(7.0003)
    assert families["nsqd_journal_commits"].samples[0].value == 1
    for name in ("uncommitted_bytes", "free_files", "full_files", "failed_files"):
        assert families[f"nsqd_journal_{name}"].samples[0].value == 0
    assert families["nsqd_damaged"].samples[0].value == 0
    assert {"nsqd_recovery_seconds", "nsqd_recovery_entries"} <= set(families)
