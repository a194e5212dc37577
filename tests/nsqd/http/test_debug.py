"""/debug/…."""

import pytest


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/debug/pprof/", "goroutine"),
        ("/debug/pprof/cmdline", "\0"),
        ("/debug/pprof/symbol", "num_symbols"),
        ("/debug/pprof/heap", "objects"),
        ("/debug/pprof/goroutine", "<init>"),
        ("/debug/pprof/block", "MainThread"),
        ("/debug/pprof/threadcreate", "MainThread"),
    ],
)
async def test_process_can_be_looked_into(nsqd, path, content):
    answer = await nsqd.get(path)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert content in answer.text


async def test_profile_is_taken_for_as_long_as_asked(nsqd, autojump_clock):
    answer = await nsqd.get("/debug/pprof/profile?seconds=60")
    assert answer.status == 200
    assert "function calls" in answer.text


async def test_profile_of_no_number_is_refused(nsqd):
    assert (await nsqd.get("/debug/pprof/profile?seconds=long")).status == 400


async def test_symbols_may_be_posted(nsqd):
    assert (await nsqd.post("/debug/pprof/symbol", b"0x1")).status == 200


async def test_block_rate_has_to_be_a_number(nsqd):
    assert (await nsqd.put("/debug/setblockrate?rate=5")).status == 200
    for query in ("?rate=x", ""):
        answer = await nsqd.put(f"/debug/setblockrate{query}")
        assert answer.status == 400
        assert answer.text.startswith("invalid block rate : ")


async def test_memory_can_be_freed(nsqd):
    answer = await nsqd.post("/debug/freememory")
    assert (answer.status, answer.body) == (200, b"")


async def test_other_debug_paths_are_unknown(nsqd):
    assert (await nsqd.get("/debug/nonsense")).refusal == (404, "NOT_FOUND")
