"""A whole nsqlookupd over real sockets, and what becomes of bad input."""

import json
import re
from contextlib import asynccontextmanager
from datetime import timedelta
from struct import pack

import pytest
import trio
from tests.fakes.fake_http import age

from nsqcore.app.config.load import load
from nsqcore.app.config.options import OptionsError
from nsqcore.app.service import Process
from nsqcore.wire.lookup import ReplyParser, identify_command
from nsqlookupd.options import NsqlookupdOptions
from nsqlookupd.service import run

FIELDS = {"broadcast_address": "127.0.0.1", "tcp_port": 1, "http_port": 2, "version": "1.3.0"}
HERE = {"tcp_address": "127.0.0.1:0", "http_address": "127.0.0.1:0"}


@asynccontextmanager
async def running(caplog, **settings):
    """A served nsqlookupd; yields its TCP and HTTP ports and its process."""
    caplog.set_level("INFO")
    process = Process()
    async with trio.open_nursery() as nursery:
        options = NsqlookupdOptions(broadcast_address="me", **(HERE | settings))
        nursery.start_soon(run, options, process)
        with trio.fail_after(60):
            while len(ports := _ports(caplog)) < 2:
                await trio.lowlevel.checkpoint()
            yield *ports, process
            process.shutdown.set()


def _ports(caplog):
    heard = [r.getMessage() for r in caplog.records if "listening on" in r.getMessage()]
    assert all(line.startswith(("TCP: listening on ", "HTTP: listening on ")) for line in heard)
    return [int(line.rpartition(":")[2]) for line in heard]


async def replies(stream, count):
    parser, found = ReplyParser(), []
    while len(found) < count:
        data = await stream.receive_some()
        assert data, "nsqlookupd closed the connection"
        found += parser.feed(data)
    return found


async def get(port, target):
    return await ask(port, "GET", target)


async def ask(port, method, target):
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        await stream.send_all(
            f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        )
        answer = b"".join([data async for data in stream])
    return answer.partition(b"\r\n\r\n")[2]


async def test_http_answers_carry_the_date(caplog):
    async with running(caplog) as (_, http, _):
        stream = await trio.open_tcp_stream("127.0.0.1", http)
        async with stream:
            await stream.send_all(b"GET /ping HTTP/1.0\r\n\r\n")
            answer = b"".join([data async for data in stream])
    assert abs(age(answer)) < timedelta(minutes=1)


async def test_a_producer_is_found_while_its_connection_lasts(caplog):
    async with running(caplog) as (tcp, http, _):
        stream = await trio.open_tcp_stream("127.0.0.1", tcp)
        await stream.send_all(b"  V1" + identify_command(FIELDS) + b"REGISTER t c\n")
        about, ok = await replies(stream, 2)
        assert ok == b"OK"
        assert json.loads(about)["broadcast_address"] == "me"
        assert (json.loads(about)["tcp_port"], json.loads(about)["http_port"]) == (tcp, http)
        found = json.loads(await get(http, "/lookup?topic=t"))
        assert [producer["tcp_port"] for producer in found["producers"]] == [1]
        await stream.aclose()
        while json.loads(await get(http, "/lookup?topic=t"))["producers"]:
            pass
        assert json.loads(await get(http, "/topics")) == {"topics": ["t"]}


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"  V1IDENTIFY\n" + pack(">i", -1),
        b"  V1IDENTIFY\n" + pack(">i", 2**31 - 1),
        b"  V1IDENTIFY\n" + pack(">i", 2) + b"[]",
        b"  V1" + b"x" * 10_000,
        b"  V1" + bytes(range(256)) + b"\n",
    ],
)
async def test_whoever_talks_nonsense_is_told_and_closed_while_others_are_served(caplog, said):
    async with running(caplog) as (tcp, http, _):
        async with await trio.open_tcp_stream("127.0.0.1", tcp) as stream:
            await stream.send_all(said)
            heard = b"".join([data async for data in stream])
            (answer,) = ReplyParser().feed(heard)
            assert answer.startswith(b"E_")
        assert await get(http, "/ping") == b"OK"


async def test_a_stop_closes_every_connection(caplog):
    async with running(caplog) as (tcp, _, process):
        async with await trio.open_tcp_stream("127.0.0.1", tcp) as stream:
            await stream.send_all(b"  V1" + identify_command(FIELDS))
            await replies(stream, 1)
            process.shutdown.set()
            assert await stream.receive_some() == b""


async def test_the_log_tells_what_changed_in_the_lines_of_the_original(caplog):
    async with running(caplog) as (tcp, http, _):
        async with await trio.open_tcp_stream("127.0.0.1", tcp) as stream:
            await stream.send_all(b"  V1" + identify_command(FIELDS) + b"REGISTER t c\nNOPE\n")
            assert (await replies(stream, 3))[1:] == [b"OK", b"E_INVALID invalid command NOPE"]
            assert await stream.receive_some() == b""
        for target in (
            "/topic/tombstone?topic=t&node=me:2",
            "/channel/create?topic=t&channel=d",
            "/channel/delete?topic=t&channel=c",
            "/topic/delete?topic=t",
            "/topic/delete?topic=t",
        ):
            assert await ask(http, "POST", target) == b""
    lines = [record.getMessage() for record in caplog.records]
    told = [re.sub(r"127\.0\.0\.1:\d+", "ADDR", line) for line in lines]
    assert [line for line in told if line.startswith(("DB", "client(", "PROTOCOL"))] == [
        "DB: client(ADDR) REGISTER category:client key: subkey:",
        "DB: client(ADDR) REGISTER category:channel key:t subkey:c",
        "DB: client(ADDR) REGISTER category:topic key:t subkey:",
        "client(ADDR) - E_INVALID invalid command NOPE",
        "DB: client(ADDR) UNREGISTER category:client key: subkey:",
        "DB: client(ADDR) UNREGISTER of 1 topics",
        "PROTOCOL(V1): [ADDR] exiting ioloop",
        "DB: setting tombstone for producer@me:2 of topic(t)",
        "DB: adding channel(d) in topic(t)",
        "DB: adding topic(t)",
        "DB: removing channel(c) from topic(t)",
        "DB: removing channel(d) from topic(t)",
        "DB: removing topic(t)",
    ]


async def test_an_empty_address_is_any_free_port(caplog):
    flags = ["--tcp-address=", "--http-address="]
    options = load(NsqlookupdOptions, "nsqlookupd", flags, {})
    given = {"tcp_address": options.tcp_address, "http_address": options.http_address}
    async with running(caplog, **given) as (tcp, http, _):
        assert await get(http, "/ping") == b"OK"
        assert tcp not in (0, http)


@pytest.mark.parametrize("bad", ["127.0.0.1:notaport", "192.0.2.1:1"])
async def test_an_address_that_cannot_be_had_is_named(bad):
    for name in HERE:
        with pytest.raises(OptionsError) as refused:
            await run(NsqlookupdOptions(**(HERE | {name: bad})), Process())
        assert f"listen ({bad}) failed" in str(refused.value)


@pytest.mark.parametrize(
    "flag",
    [
        "--inactive-producer-timeout=0s",
        "--inactive-topic-timeout=-1s",
        "--tombstone-lifetime=-1s",
        "--broadcast-address=",
        "--broadcast-address=user:pw@host/x",
        "--tcp-address=nowhere",
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused_and_named(capsys, flag):
    with pytest.raises(SystemExit) as stop:
        load(NsqlookupdOptions, "nsqlookupd", [flag], {})
    assert stop.value.code == 1
    assert flag.partition("=")[0] in capsys.readouterr().err
