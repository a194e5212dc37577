"""Handshakes over either TLS library: who fails is told why and closed at once."""

import re
import ssl

import pytest
import trio
from tests.nsqcore.net.chains import make_chain
from tests.nsqd.sites import Site, before_tls, certificate, longest, site

from nsqcore.net.tls import TLS1_0, TLS1_2

__all__ = ["certificate", "longest", "site"]  # fixtures

# pyOpenSSL verifies where TLS 1.0 is allowed, `ssl` where it is not.
LIBRARIES = {"pyOpenSSL": TLS1_0, "ssl": TLS1_2}
VERSIONS = {"TLS 1.2": ssl.TLSVersion.TLSv1_2, "TLS 1.3": ssl.TLSVersion.TLSv1_3}
# What is wrong with a client's certificate, and the alert that says so.
WRONG = {
    "none": "HANDSHAKE_FAILURE|CERTIFICATE_REQUIRED",
    "of another authority": "UNKNOWN_CA",
    "expired": "CERTIFICATE_EXPIRED",
    # pyOpenSSL lets nobody say why a certificate is refused.
    "sha1": "UNKNOWN_CA|BAD_CERTIFICATE|INTERNAL_ERROR",
    # Our own look at certificates does not know the curve; TLS 1.3 has no place for it.
    "ec-secp160r1": "UNKNOWN_CA|BAD_CERTIFICATE|INTERNAL_ERROR|CERTIFICATE_REQUIRED",
}
PING = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def chains(tmp_path_factory) -> dict[str, tuple[str, str]]:
    """An authority and a client's certificate of it for each of ``WRONG``, and good ones."""
    kinds = ("good", "expired", "sha1", "ec-secp160r1")
    found = {kind: make_chain(tmp_path_factory.mktemp("chain"), kind) for kind in kinds}
    found["none"] = found["good"][0], ""
    found["of another authority"] = found["expired"][0], found["good"][1]
    return found


async def connect(site: Site, where: str) -> trio.SocketStream:
    """A client whose next bytes are to be a TLS handshake."""
    return await (before_tls(site) if where == "tcp" else site.connect(where))


def verify(site: Site, root_ca: str, library: str) -> None:
    """From now on ask clients for certificates of ``root_ca``."""
    site.tls.policy, site.tls.root_ca = "require-verify", root_ca
    site.tls.min_version = LIBRARIES[library]
    site.tls.load()


def offering(site: Site, chain: str, version: str = "TLS 1.3") -> ssl.SSLContext:
    """How a client with the certificate in the file ``chain``, if any, does TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=site.authority)
    context.minimum_version = context.maximum_version = VERSIONS[version]
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    if chain:
        context.load_cert_chain(chain)
    return context


async def everything(stream: trio.abc.ReceiveStream) -> bytes:
    """What comes up to the end, which must be no deadline's."""
    found = b""
    with trio.fail_after(3):
        while chunk := await stream.receive_some(1000):
            found += chunk
    return found


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("where", ["tcp", "https"])
@pytest.mark.parametrize("what", WRONG)
async def test_who_shows_a_wrong_certificate_is_told_and_closed(
    site, chains, library, version, where, what
):
    root_ca, chain = chains[what]
    verify(site, root_ca, library)
    stream = await connect(site, where)
    client = trio.SSLStream(stream, offering(site, chain, version), server_hostname="localhost")
    with pytest.raises(trio.BrokenResourceError) as failure:
        await everything(client)
    assert isinstance(failure.value.__cause__, ssl.SSLError), failure.value.__cause__
    assert re.search(WRONG[what], str(failure.value.__cause__))
    await everything(stream)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("where", ["tcp", "https"])
@pytest.mark.parametrize("what", ["plain bytes", "garbage", "half a handshake"])
async def test_who_sends_no_handshake_is_closed(site, chains, library, where, what):
    verify(site, chains["good"][0], library)
    stream = await connect(site, where)
    await stream.send_all(
        {
            "plain bytes": PING,
            "garbage": b"\x16\x03\x01\x00\x10" + b"\xff" * 16,
            "half a handshake": b"\x16\x03\x01\x02\x00\x01\x00",
        }[what]
    )
    await stream.send_eof()
    told = await everything(stream)
    assert (b"E_IDENTIFY_FAILED" in told) == (where == "tcp")


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("policy", ["", "require", "require-verify"])
@pytest.mark.parametrize("where", ["tcp", "https"])
async def test_a_request_that_comes_with_the_last_of_the_handshake_is_answered(
    site, chains, library, policy, where
):
    root_ca, chain = chains["good"]
    verify(site, root_ca, library)
    site.tls.policy = policy
    site.tls.load()
    stream = await connect(site, where)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = offering(site, chain).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with trio.fail_after(3):
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await stream.send_all(outgoing.read())
                incoming.write(await stream.receive_some(65536))
        tls.write(PING if where == "https" else b"PUB t\n\0\0\0\1xPUB t\n\0\0\0\1x")
        await stream.send_all(outgoing.read())
        answer = b""
        while answer.count(b"OK") < (2 if where == "https" else 3):
            try:
                answer += tls.read(1000)
            except ssl.SSLWantReadError:
                incoming.write(await stream.receive_some(65536))
