"""TLS, compression, AUTH and sampling against a real nsqd."""

import json
import random
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
import trustme
from tests.e2e.daemons import PATIENCE, Daemon, wait_until
from tests.fakes.fake_lookupd import fake_lookupd
from tests.nsqclient.backends import on_every_loop

from nsqclient import (
    AuthFailed,
    ConnectionLost,
    ConnectionOptions,
    HttpError,
    Message,
    NsqdHttp,
    ProtocolError,
    PublishError,
    open_consumer,
    open_producer,
)

pytestmark = pytest.mark.slow

Daemons = Callable[..., Daemon]

patient = partial(ConnectionOptions, connect_timeout=PATIENCE)


def bodies() -> list[bytes]:
    """Small, large, compressible and not."""
    noise = random.Random(1)
    return [b"x", b"a" * 300_000, noise.randbytes(300_000), *(b"%d" % n for n in range(500))]


async def round_trip(nsqd: Daemon, options: ConnectionOptions) -> None:
    sent = bodies()
    async with open_producer(nsqd.tcp, options=options) as producer:
        for body in sent[:5]:
            await producer.publish("orders", body)
        await producer.publish_many("orders", sent[5:])
        received = []
        async with open_consumer(
            "orders", "billing", nsqd=nsqd.tcp, options=options, max_in_flight=1000
        ) as consumer:
            async for message in consumer:
                async with message.process():
                    received.append(message.body)
                if len(received) == len(sent):
                    break
        assert sorted(received) == sorted(sent)


def certificates(nsqd_folder: Path) -> tuple[ssl.SSLContext, list[str]]:
    """A client's context, and the flags for an nsqd it trusts."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    chain, key = nsqd_folder / "chain.pem", nsqd_folder / "key.pem"
    chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(key)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    flags = [f"--tls-cert={chain}", f"--tls-key={key}", "--https-address=127.0.0.1:0"]
    return context, flags


@on_every_loop
async def test_messages_pass_over_a_plain_connection(daemon: Daemons):
    await round_trip(daemon("nsqd"), patient())


@on_every_loop
async def test_messages_pass_deflated(daemon: Daemons):
    await round_trip(daemon("nsqd"), patient(deflate=6))


@on_every_loop
async def test_messages_pass_in_snappy(daemon: Daemons):
    await round_trip(daemon("nsqd"), patient(snappy=True))


@on_every_loop
async def test_messages_pass_under_tls_where_it_is_required(daemon: Daemons, tmp_path: Path):
    context, flags = certificates(tmp_path)
    await round_trip(daemon("nsqd", "--tls-required=tcp-https", *flags), patient(tls=context))


@on_every_loop
async def test_messages_pass_in_snappy_under_tls(daemon: Daemons, tmp_path: Path):
    context, flags = certificates(tmp_path)
    await round_trip(daemon("nsqd", *flags), patient(tls=context, snappy=True))


@on_every_loop
async def test_certificate_of_an_unknown_authority_is_refused(daemon: Daemons, tmp_path: Path):
    _, flags = certificates(tmp_path)
    nsqd = daemon("nsqd", *flags)
    async with open_producer(nsqd.tcp, options=patient(tls=True)) as producer:
        with pytest.raises(ConnectionLost, match="TLS handshake failed"):
            await producer.publish("orders", b"x")


@on_every_loop
async def test_consumer_that_does_not_trust_the_certificate_raises_instead_of_waiting(
    daemon: Daemons, tmp_path: Path
):
    _, flags = certificates(tmp_path)
    nsqd = daemon("nsqd", *flags)
    options = patient(tls=True)
    async with open_consumer("orders", "billing", nsqd=nsqd.tcp, options=options) as consumer:
        with anyio.fail_after(PATIENCE):
            with pytest.raises(ConnectionLost, match="certificate verify failed"):
                await anext(consumer)
            with pytest.raises(ConnectionLost, match="certificate verify failed"):
                await consumer.wait_until_connected()


@on_every_loop
async def test_consumer_whose_msg_timeout_is_refused_raises_instead_of_waiting(daemon: Daemons):
    nsqd = daemon("nsqd", "--max-msg-timeout=1m")
    options = patient(msg_timeout=120.0)
    async with open_consumer("orders", "billing", nsqd=nsqd.tcp, options=options) as consumer:
        with anyio.fail_after(PATIENCE):
            with pytest.raises(ProtocolError, match="msg timeout"):
                await anext(consumer)
            with pytest.raises(ProtocolError, match="msg timeout"):
                await consumer.wait_until_connected()


@on_every_loop
async def test_nsqlookupd_of_a_private_authority_is_asked_over_https(
    daemon: Daemons, tmp_path: Path
):
    context, flags = certificates(tmp_path)
    lookupd = daemon("nsqlookupd", *flags)
    nsqd = daemon("nsqd", f"--lookupd-tcp-address={lookupd.tcp}")
    (line,) = [line for line in lookupd.log().splitlines() if "HTTPS: listening on" in line]
    url = f"https://{line.split()[-1]}"
    async with open_producer(nsqd.tcp) as producer:
        await producer.publish("orders", b"x")
    async with open_consumer("orders", "billing", lookupd=url, lookupd_tls=context) as consumer:
        with anyio.fail_after(PATIENCE):
            await (await anext(consumer)).finish()


@on_every_loop
async def test_https_is_checked_by_the_context_given(daemon: Daemons, tmp_path: Path):
    context, flags = certificates(tmp_path)
    nsqd = daemon("nsqd", *flags)
    (line,) = [line for line in nsqd.log().splitlines() if "HTTPS: listening on" in line]
    url = f"https://{line.split()[-1]}"
    async with NsqdHttp(url, tls=context) as api:
        await api.ping()
    async with NsqdHttp(url) as api:
        with pytest.raises(HttpError, match="certificate verify failed"):
            await api.ping()


@on_every_loop
async def test_who_needs_a_certificate_and_has_none_is_told_so(daemon: Daemons, tmp_path: Path):
    context, flags = certificates(tmp_path)
    flags += ["--tls-required=tcp-https", "--tls-client-auth-policy=require-verify"]
    nsqd = daemon("nsqd", *flags)
    options = ConnectionOptions(tls=context)
    async with open_producer(nsqd.tcp, options=options) as producer:
        with pytest.raises(ConnectionLost, match="alert certificate required"):
            await producer.publish("orders", b"x")


@on_every_loop
async def test_nsqd_without_tls_is_not_talked_to_in_the_clear(daemon: Daemons):
    nsqd = daemon("nsqd")
    async with open_producer(nsqd.tcp, options=patient(tls=True)) as producer:
        with pytest.raises(ConnectionLost, match="has no TLS"):
            await producer.publish("orders", b"x")


@on_every_loop
async def test_secret_opens_what_it_is_good_for(daemon: Daemons):
    async with fake_lookupd() as server:  # any HTTP server that answers as told
        permissions = {"topic": "^orders$", "channels": [".*"], "permissions": ["publish"]}
        answer = {"ttl": 60, "identity": "me", "authorizations": [permissions]}

        async def authorize() -> bytes:
            good = "secret=sesame" in server.asked[-1]
            return json.dumps(answer).encode() if good else b'{"authorizations": []}'

        server.default = authorize
        nsqd = await anyio.to_thread.run_sync(
            daemon,
            "nsqd",
            f"--auth-http-address={server.address}",
            "--http-client-request-timeout=10m",
        )
        options = patient(auth_secret="sesame")
        async with open_producer(nsqd.tcp, options=options) as producer:
            await producer.publish("orders", b"x")
            with pytest.raises(PublishError) as refused:
                await producer.publish("secrets", b"x")
            assert refused.value.code == "E_UNAUTHORIZED"
        for options in (patient(), patient(auth_secret="wrong")):
            async with open_producer(nsqd.tcp, options=options) as producer:
                with pytest.raises(AuthFailed):
                    await producer.publish("orders", b"x")


@on_every_loop
async def test_sampling_brings_a_part(daemon: Daemons):
    nsqd = daemon("nsqd")
    async with open_producer(nsqd.tcp) as producer:
        await producer.publish_many("orders", [b"x"] * 2000)

    def emptied() -> bool:
        channel = nsqd.channel("orders", "billing")
        arrived = channel.get("message_count") == 2000
        return arrived and channel["depth"] == channel["in_flight_count"] == 0

    async def handle(message: Message) -> None:
        pass

    options = patient(sample_rate=10)
    async with (
        open_consumer(
            "orders", "billing", nsqd=nsqd.tcp, options=options, max_in_flight=2500
        ) as consumer,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(consumer.run, handle)
        await anyio.to_thread.run_sync(wait_until, emptied)
        assert 50 < consumer.stats().finished < 500
        consumer.stop()


@on_every_loop
async def test_unix_socket_is_dialled(tmp_path: Path):
    path = tmp_path / "nsqd.sock"
    async with (
        await anyio.create_unix_listener(path) as listener,
        open_producer(f"unix:{path}"),
        await listener.accept() as stream,
    ):
        assert (await stream.receive()).startswith(b"  V2IDENTIFY\n")
