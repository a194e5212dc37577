"""/config/:opt."""

import logging

import pytest

from nsqcore.app.log import LEVELS

LOOKUPDS = "/config/nsqlookupd_tcp_addresses"


async def test_lookupd_addresses_are_exchanged_while_nsqd_runs(nsqd):
    assert (await nsqd.get(LOOKUPDS)).json == []
    answer = await nsqd.put(LOOKUPDS, b'["a:1", "b:2"]')
    assert (answer.status, answer.json) == (200, ["a:1", "b:2"])
    assert answer.headers["X-Nsq-Content-Type"] == "nsq; version=1.0"
    assert (await nsqd.get(LOOKUPDS)).json == ["a:1", "b:2"]
    assert nsqd.registrar.addresses == ("a:1", "b:2")
    assert nsqd.broker.hold_new_topics


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (b"not json", (400, "INVALID_VALUE")),
        (b'{"a": 1}', (400, "INVALID_VALUE")),
        (b'["a:1", 2]', (400, "INVALID_VALUE")),
        (b'["a:1"] more', (400, "INVALID_VALUE")),
        (b"\xff", (400, "INVALID_VALUE")),
        (b"[" * 5000, (400, "INVALID_VALUE")),
        (b"", (413, "INVALID_VALUE")),
        (b" " * 10_001, (413, "INVALID_VALUE")),
    ],
)
async def test_bad_lookupd_addresses_change_nothing(make_nsqd, body, refusal):
    nsqd = make_nsqd(nsqlookupd_tcp_addresses=("a:1",), max_msg_size=10_000)
    assert (await nsqd.put(LOOKUPDS, body)).refusal == refusal
    assert (await nsqd.get(LOOKUPDS)).json == ["a:1"]
    assert nsqd.registrar.addresses == ("a:1",)


@pytest.mark.parametrize(("body", "number"), [(b"debug", 1), (b"WARN", 3), (b"fatal", 5)])
async def test_log_level_is_set_by_name_and_told_as_a_number(nsqd, body, number, caplog):
    caplog.set_level("INFO")  # and set back after the test
    assert (await nsqd.put("/config/log_level", body)).json == number
    assert (await nsqd.get("/config/log_level")).json == number
    assert logging.getLogger().level == LEVELS[body.decode().lower()]


@pytest.mark.parametrize("body", [b"loud", b'"info"', b" info", b"\xff"])
async def test_unknown_log_level_is_refused(nsqd, body):
    assert (await nsqd.put("/config/log_level", body)).refusal == (400, "INVALID_VALUE")
    assert (await nsqd.get("/config/log_level")).json == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_rdy_count", 77),
        ("msg_timeout", 30_000_000_000),
        ("max_req_timeout", 3_600_000_000_000),
        ("auth_http_addresses", ["127.0.0.1:1"]),
        ("snappy", True),
        ("mem_queue_size", 10_000),
        ("tls_min_version", 0x301),
        ("tls_required", 0),
        ("e2e_processing_latency_percentiles", [1, 0.95]),
        ("broadcast_tcp_port", 4150),
        ("broadcast_http_port", 4151),
        ("enable_experiment", []),
        ("id", 7),
    ],
)
async def test_options_have_the_types_of_the_original(make_nsqd, name, value):
    nsqd = make_nsqd(
        max_rdy_count=77,
        msg_timeout=30.0,
        auth_http_addresses=("127.0.0.1:1",),
        e2e_processing_latency_percentiles=(1.0, 0.95),
        id=7,
    )
    answer = await nsqd.get(f"/config/{name}")
    assert (answer.status, answer.json) == (200, value)
    assert type(answer.json) is type(value)


async def test_passwords_in_addresses_are_not_shown(make_nsqd):
    address = "http://user:geheim@127.0.0.1:1/auth?token=geheim"
    nsqd = make_nsqd(auth_http_addresses=(address, "user:geheim@h:1"))
    answer = await nsqd.get("/config/auth_http_addresses")
    assert answer.json == ["http://***@127.0.0.1:1/auth?token=***", "***@h:1"]


async def test_text_is_sent_as_it_is(nsqd):
    answer = await nsqd.get("/config/log_prefix")
    assert (answer.status, answer.text) == (200, "[nsqd] ")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    answer = await nsqd.get("/config/tls_cert")
    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize(
    ("prefix", "shown"), [("pre", "pre."), ("nsq.%s", "nsq.10_0_0_1_4151."), ("", "")]
)
async def test_statsd_prefix_is_told_as_it_is_used(make_nsqd, prefix, shown):
    nsqd = make_nsqd(statsd_prefix=prefix, broadcast_address="10.0.0.1")
    assert (await nsqd.get("/config/statsd_prefix")).text == shown


@pytest.mark.parametrize("name", ["nonsense", "config", "verbose", "node_id", "Id"])
async def test_unknown_option_is_refused(nsqd, name):
    assert (await nsqd.get(f"/config/{name}")).refusal == (400, "INVALID_OPTION")
    assert (await nsqd.put(f"/config/{name}", b"5")).refusal == (400, "INVALID_OPTION")


async def test_other_options_cannot_be_changed(nsqd):
    assert (await nsqd.put("/config/max_rdy_count", b"5")).refusal == (400, "INVALID_OPTION")


async def test_posting_an_option_is_not_allowed(nsqd):
    answer = await nsqd.post("/config/log_level", b"debug")
    assert answer.refusal == (405, "METHOD_NOT_ALLOWED")
    assert answer.headers["Allow"] == "GET, OPTIONS, PUT"


@pytest.mark.parametrize("body", [b"", b"true", b"1"])
async def test_draining_is_begun_once(nsqd, body):
    assert (await nsqd.get("/config/drain")).json is False
    for _ in range(2):
        answer = await nsqd.put("/config/drain", body)
        assert (answer.status, answer.json) == (200, True)
    assert nsqd.drain.active
    assert (await nsqd.get("/config/drain")).json is True


async def test_draining_cannot_be_called_off(nsqd):
    assert (await nsqd.put("/config/drain", b"false")).refusal == (400, "INVALID_VALUE")
