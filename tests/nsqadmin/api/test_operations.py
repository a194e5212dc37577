import pytest
from prometheus_client.parser import text_string_to_metric_families

from nsqadmin.auth.passwords import hash_password


async def asked(s, path):
    response = await s.client.get(path)
    return response.status_code, await response.get_data(as_text=True)


def values(text):
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not set(sample.labels) - {"version", "release", "python"}
    }


async def test_who_asks_whether_it_lives_or_is_ready_is_answered(site):
    async with site() as s:
        assert await asked(s, "/livez") == (200, "OK")
        assert await s.json("/readyz") == {"status": "ready", "checks": {"loop": "ok"}}


async def test_a_silent_cluster_is_counted_and_does_not_make_it_unready(site):
    async with site(nsqlookupd_http_addresses=("127.0.0.1:1",)) as s:
        assert (await s.json("/readyz"))["status"] == "ready"
        status, text = await asked(s, "/metrics")
        assert (status, values(text)["nsqadmin_nsqlookupds_silent"]) == (200, 1)


async def test_metrics_tell_what_the_collector_saw_and_of_the_process(site):
    async with site() as s:
        _, text = await asked(s, "/metrics")
    found = values(text)
    assert found["nsqadmin_nsqds"] == 2
    assert found["nsqadmin_nsqds_silent"] == 0
    assert found["nsqadmin_nsqlookupds"] == 1
    assert found["nsqadmin_topics"] == 2  # one of them without an nsqd
    assert found["nsqadmin_build_info"] == 1
    assert found["nsqadmin_event_loop_lag_seconds"] < 10
    assert found["process_resident_memory_bytes"] > 0


async def test_they_answer_at_the_root_as_well_as_under_the_base_path(site):
    async with site(base_path="/nsq") as s:
        for path in ("/livez", "/nsq/livez", "/readyz", "/nsq/readyz", "/metrics", "/nsq/metrics"):
            assert (await asked(s, path))[0] == 200, path


@pytest.mark.usefixtures("cheap_hashes")
async def test_they_answer_without_a_login(site, tmp_path):
    file = tmp_path / "users"
    file.write_text(f"ann:admin:{hash_password('secret')}\n")
    async with site(auth_file=str(file)) as s:
        for path in ("/livez", "/readyz", "/metrics"):
            assert (await asked(s, path))[0] == 200, path
        assert (await asked(s, "/api/topics"))[0] == 401
