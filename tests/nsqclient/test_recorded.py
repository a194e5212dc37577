"""The client with what the original's daemons said: what it says to them, and what comes of it."""

import base64
import json
from typing import Any

import anyio
import pytest
from tests.fakes.raw_server import RawServer
from tests.nsqclient.backends import BACKENDS, on_a_loop
from tests.nsqclient.recorded_layers import Reader
from tests.nsqclient.recordings import FOLDER, SCENES, Replayed, layered, load, lookups, options

from nsqclient.http.lookupd import LookupdHttp


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", SCENES)
@on_a_loop
async def test_the_client_says_and_concludes_what_it_did_with_the_original(name):
    recording = load(name)
    streams: list[Replayed] = []

    async def dial(_address: str) -> Any:
        if len(streams) == len(recording["connections"]):
            await anyio.sleep_forever()
        streams.append(Replayed(recording["connections"][len(streams)], Reader(name)))
        return layered(name, streams[-1])

    async def end() -> None:
        while not streams[0].sent.endswith(b"NOP\n"):  # it has answered the heartbeat
            await streams[0].heard.wait()

    with anyio.fail_after(60):
        assert await SCENES[name](options(name, dial), end) == recording["outcome"]
    assert [stream.sent for stream in streams] == [stream.wanted for stream in streams]
    assert len(streams) == len(recording["connections"])


@pytest.mark.parametrize("backend", BACKENDS)
@on_a_loop
async def test_answers_of_the_original_nsqlookupd_are_understood():
    recording = json.loads((FOLDER / "lookups.json").read_text())

    def answer(request: bytes) -> bytes:
        return base64.b64decode(recording["answers"][request.split()[1].decode()])

    with RawServer(answer) as server:
        async with LookupdHttp(server.url) as api:
            assert await lookups(api) == [
                "['c'] ['here:24150']",
                "[] []",
                "['here:24150']",
                "['t', 'empty'] ['c']",
            ]
