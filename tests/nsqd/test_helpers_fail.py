"""Whatever fails beside the event loop, nsqd goes on serving."""

import contextlib
import errno
import inspect
import pkgutil
import re
import ssl
from collections.abc import Awaitable, Callable

import pytest
import trio
from tests.nsqd.client.conftest import Wire, bodies, body
from tests.nsqd.test_service import Running, dial, nsqd  # noqa: F401 - a fixture

from nsqcore.app.supervise import supervise
from nsqcore.backoff import Backoff
from nsqcore.http.client import RequestFailed
from nsqd.service import Nsqd

pytestmark = pytest.mark.slow

# What the libraries of the helpers raise: the system, names, TLS, HTTP, JSON, threads, imports.
ERRORS: list[Exception] = [
    OSError(errno.EMFILE, "Too many open files"),
    OSError(errno.ENOSPC, "No space left on device"),
    ConnectionResetError("reset"),
    RuntimeError("can't start new thread"),
    ModuleNotFoundError("No module named 'gone'"),
    UnicodeEncodeError("idna", "a..b", 1, 2, "label empty"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    OverflowError("int too large to convert to float"),
    ValueError("no JSON"),
    RecursionError("nested"),
    MemoryError(),
    ssl.SSLError("handshake"),
    RequestFailed("no answer"),
    trio.BrokenResourceError("broken"),
    trio.ClosedResourceError("closed"),
    trio.TooSlowError("late"),
    ExceptionGroup("nursery", [KeyError("a"), ExceptionGroup("inner", [TypeError("b")])]),
]

HELPERS = {
    "timers": "nsqcore.reactor.timers.Timers.run",
    "clock": "nsqd.lifecycle.wall_clock.follow_wall_clock",
    "sync": "nsqd.lifecycle.sync.keep_synced",
    "disk": "nsqd.lifecycle.sync.watch_health",
    "metadata": "nsqd.metadata.metadata_file.MetadataFile.run",
    "lag": "nsqcore.operations.lag.LoopLag.run",
    "topics": "nsqd.lookup.topic_channels.TopicChannels.run",
    "lookup": "nsqd.lookup.registrar.LookupRegistrar.run",
    "statsd": "nsqd.statsd.reporter.StatsdReporter.run",
    "durability": "nsqd.lifecycle.durability.Durability.run",
    "garbage": "nsqcore.app.process.garbage.MemoryWatch.run",
    "space": "nsqd.lifecycle.data_path.FreeSpace.run",
}


def failing(task: Callable[..., Awaitable[None]], failed: list[Exception]):
    """``task``, once it has raised each of `ERRORS`."""

    async def fail(*args: object) -> None:
        await trio.lowlevel.checkpoint()
        if len(failed) < len(ERRORS):
            failed.append(ERRORS[len(failed)])
            raise failed[-1]
        await task(*args)

    return fail


async def exchange(running: Running) -> None:
    """A message from a client to another, over TCP and over HTTP."""
    consumer: Wire = await running.connect(b"SUB t c\n", b"RDY 9\n")
    producer = await running.connect(b"PUB t\n" + body(b"one"))
    assert await producer.many(1) == ["OK"]
    assert (await running.ask("POST", "/pub?topic=t", b"two"))[0] == 200
    answers = await consumer.many(3)
    assert sorted(bodies(answers)) == [b"one", b"two"]
    assert (await running.ask("GET", "/ping"))[0] == 200
    assert (await running.ask("GET", "/metrics"))[0] == 200


@pytest.mark.parametrize("helper", HELPERS)
async def test_a_helper_that_fails_in_every_way_ends_nothing(
    nsqd,  # noqa: F811
    helper,
    monkeypatch,
    caplog,
):
    failed: list[Exception] = []
    module, _, name = HELPERS[helper].rpartition(".")
    owner = pkgutil.resolve_name(module)
    monkeypatch.setattr(owner, name, failing(getattr(owner, name), failed))
    monkeypatch.setitem(supervise.__kwdefaults__, "backoff", Backoff(0.0005, 0.0005))
    settings = {"nsqlookupd_tcp_addresses": (), "statsd_address": "127.0.0.1:1"}
    async with nsqd(**settings, min_free_bytes=1) as running:
        with trio.fail_after(60):
            while len(failed) < len(ERRORS):  # noqa: ASYNC110 - counts what was raised
                await trio.sleep(0.001)
        await exchange(running)
    lines = [record.getMessage() for record in caplog.records]
    told = [line for line in lines if line.startswith(f"{helper}: failed, starting it again")]
    assert len(told) == len(ERRORS)
    assert lines[-1] == "NSQ: bye"


def test_every_helper_is_made_to_fail():
    started = re.findall(r'start_soon\(supervise, "(\w+)"', inspect.getsource(Nsqd))
    assert sorted(HELPERS) == sorted(started)


async def test_a_session_that_cannot_be_made_costs_one_connection(
    nsqd,  # noqa: F811
    monkeypatch,
):
    async with nsqd() as running:
        for error in ERRORS:
            with monkeypatch.context() as patch, trio.fail_after(60):
                patch.setattr("nsqd.lifecycle.sessions.open_session", raising([error]))
                refused = await dial(running.tcp)
                async with refused:
                    with contextlib.suppress(trio.BrokenResourceError):
                        assert await refused.receive_some() == b""
        await exchange(running)


async def test_an_auth_server_that_fails_in_every_way_refuses_the_client_in_words(
    nsqd,  # noqa: F811
    monkeypatch,
):
    errors = ERRORS.copy()

    async def fail(*_args: object, **_more: object) -> None:
        raise errors.pop(0)

    monkeypatch.setattr("nsqcore.http.client.HttpClient.request", fail)
    async with nsqd(auth_http_addresses=("127.0.0.1:1",)) as running:
        for left in range(len(ERRORS), 0, -1):
            assert len(errors) == left
            client = await running.connect(b"AUTH\n" + body(b"secret"))
            assert await client.next() == "E_AUTH_FAILED AUTH failed"
        assert (await running.ask("GET", "/ping"))[0] == 200


async def test_a_drain_that_fails_goes_on_and_ends(nsqd, monkeypatch):  # noqa: F811
    async with nsqd() as running:
        await running.ask("POST", "/pub?topic=t", b"left")
        errors = ERRORS.copy()
        monkeypatch.setattr("nsqd.lifecycle.drain.INTERVAL", 1)
        monkeypatch.setattr("nsqd.lifecycle.drain._has_work", raising(errors))
        assert (await running.ask("PUT", "/config/drain"))[0] == 200
        with trio.fail_after(60):
            await running.process.shutdown.wait()
        assert not errors


def raising(errors: list[Exception]):
    """A function that raises each of the errors, and afterwards finds nothing."""

    def fail(*_args: object) -> None:
        if errors:
            raise errors.pop(0)

    return fail
