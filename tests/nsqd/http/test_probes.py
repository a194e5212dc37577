"""/livez and /readyz."""


async def test_nsqd_that_answers_is_alive_whatever_is_wrong(nsqd):
    nsqd.broker.health.failed(OSError("full"))
    answer = await nsqd.get("/livez")
    assert (answer.status, answer.body) == (200, b"OK")


async def test_nsqd_is_ready_if_all_is_well(nsqd):
    answer = await nsqd.get("/readyz")
    assert answer.status == 200
    assert answer.json["status"] == "ready"
    assert answer.json["checks"] == {
        "disk": "ok",
        "loop": "ok",
        "draining": "ok",
        "lookupd": "ok",
    }


async def test_clock_and_disk_are_told_to_those_who_compare(nsqd):
    answer = await nsqd.get("/readyz")
    assert answer.json["time"] == nsqd.api.wall / 1e9
    assert 0 <= answer.json["disk_free"] <= 1


async def test_nsqd_is_not_ready_and_says_why(nsqd):
    nsqd.broker.health.failed(OSError(28, "No space left on device"))
    nsqd.lag.seconds = 2.5
    nsqd.broker.draining = True
    answer = await nsqd.get("/readyz")
    assert answer.status == 503
    assert answer.json["status"] == "not ready"
    checks = answer.json["checks"]
    assert "No space left" in checks["disk"]
    assert checks["loop"] == "event loop is 2.5 s behind"
    assert checks["draining"] == "draining"


async def test_one_trouble_is_enough(nsqd):
    nsqd.broker.draining = True
    assert (await nsqd.get("/readyz")).status == 503
