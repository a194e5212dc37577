"""/ping and /info."""

import socket


async def test_ping_is_answered_in_plain_text(nsqd):
    answer = await nsqd.get("/ping")
    assert (answer.status, answer.body) == (200, b"OK")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "X-Nsq-Content-Type" not in answer.headers


async def test_ping_tells_what_is_wrong_with_the_disk(nsqd):
    nsqd.broker.health.failed(OSError(28, "No space left on device"))
    answer = await nsqd.get("/ping")
    assert answer.status == 500
    assert answer.text.startswith("NOK - ")
    assert "No space left" in answer.text
    assert "X-Nsq-Content-Type" not in answer.headers


async def test_info_tells_who_this_is(make_nsqd):
    nsqd = make_nsqd(
        broadcast_address="my.name",
        max_heartbeat_interval=90.0,
        max_output_buffer_size=70_000,
        max_output_buffer_timeout=2.0,
        max_deflate_level=9,
        topology_region="r",
        topology_zone="z",
    )
    answer = await nsqd.get("/info")
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.json == {
        "version": "1.3.0",
        "broadcast_address": "my.name",
        "hostname": socket.gethostname(),
        "http_port": 4151,
        "tcp_port": 4150,
        "start_time": 1_700_000_000,
        "max_heartbeat_interval": 90_000_000_000,
        "max_output_buffer_size": 70_000,
        "max_output_buffer_timeout": 2_000_000_000,
        "max_deflate_level": 9,
        "topology_zone": "z",
        "topology_region": "r",
    }


async def test_info_tells_of_draining(nsqd):
    nsqd.broker.draining = True
    assert (await nsqd.get("/info")).json["draining"] is True
