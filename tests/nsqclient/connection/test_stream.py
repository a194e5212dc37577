import ssl
import threading

import pytest
from tests.nsqclient.backends import on_every_loop

from nsqclient import ProtocolError
from nsqclient.connection.stream import (
    CompressedStream,
    check_address,
    dial,
    split_address,
    tls_context,
    unix_path,
)
from nsqcore.tls import system_tls
from nsqcore.wire.compression.deflate import DeflateCodec
from nsqd.testing import stream_pair


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("host:1234", ("host", 1234)),
        ("host", ("host", 4150)),
        ("tcp://host:1234", ("host", 1234)),
        ("[::1]:1234", ("::1", 1234)),
        ("[::1]", ("::1", 4150)),
    ],
)
def test_addresses_are_understood(address: str, expected: tuple[str, int]):
    assert split_address(address) == expected


def test_unix_sockets_are_told_from_hosts():
    assert unix_path("unix:/run/nsqd.sock") == "/run/nsqd.sock"
    assert unix_path("unix:///run/nsqd.sock") == "/run/nsqd.sock"
    assert unix_path("/run/nsqd.sock") == "/run/nsqd.sock"
    assert unix_path("host:1") is None


@pytest.mark.parametrize("address", ["", ":1", "host:", "host:0", "host:65536", "host:x"])
def test_wrong_addresses_are_refused(address: str):
    with pytest.raises(ValueError, match="is not an address"):
        check_address(address)


@on_every_loop
async def test_host_that_cannot_be_a_host_is_nobody():
    for host in ("a..b", "a\0b", "x" * 300):
        with pytest.raises(OSError):  # noqa: PT011 - the texts are the system's
            await dial(f"{host}:1")


@on_every_loop
async def test_system_authorities_are_read_once_and_not_on_the_loop(
    monkeypatch: pytest.MonkeyPatch,
):
    threads: list[int] = []
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    def read(cafile: str | None = None) -> ssl.SSLContext:
        threads.append(threading.get_ident())
        return made

    monkeypatch.setattr(ssl, "create_default_context", read)
    system_tls.cache_clear()
    try:
        assert await tls_context(True) is made
        assert await tls_context(True) is made
    finally:
        system_tls.cache_clear()
    assert len(threads) == 1
    assert threads != [threading.get_ident()]


@on_every_loop
async def test_compressed_stream_gives_what_was_sent_however_much_one_chunk_holds():
    ours, theirs = stream_pair()
    sender, receiver = DeflateCodec(), DeflateCodec()
    stream = CompressedStream(ours, receiver, sender.compress(b"early "))
    text = b"x" * 3_000_000
    theirs.send_nowait(sender.compress(text))
    received = b""
    while len(received) < len(text) + 6:
        received += await stream.receive()
    assert received == b"early " + text
    await stream.send(b"answer")
    assert DeflateCodec().decompress(await theirs.receive()) == b"answer"
    theirs.send_nowait(b"\xff" * 100)
    with pytest.raises(ProtocolError):
        await stream.receive()
