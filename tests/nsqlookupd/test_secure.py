"""An nsqlookupd with TLS, over real sockets: what is heard where."""

import ssl
import warnings
from contextlib import asynccontextmanager

import pytest
import trio
import trustme

from nsqcore.app.config.options import OptionsError
from nsqcore.app.service import Process
from nsqcore.wire.lookup import ReplyParser, identify_command
from nsqlookupd.options import NsqlookupdOptions
from nsqlookupd.service import run

FIELDS = {"broadcast_address": "127.0.0.1", "tcp_port": 1, "http_port": 2, "version": "1.3.0"}
IDENTIFY = b"  V1" + identify_command(FIELDS)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def flags(authority, tmp_path):
    """Settings of an nsqlookupd that asks for certificates of ``authority``."""
    made = authority.issue_cert("localhost")
    made.private_key_pem.write_to_path(str(tmp_path / "key"))
    made.cert_chain_pems[0].write_to_path(str(tmp_path / "cert"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca"))
    return {
        "tls_cert": str(tmp_path / "cert"),
        "tls_key": str(tmp_path / "key"),
        "tls_root_ca_file": str(tmp_path / "ca"),
        "tls_client_auth_policy": "require-verify",
        "tls_required": True,
        "tls_tcp_address": "127.0.0.1:0",
        "https_address": "127.0.0.1:0",
        "http_address": "127.0.0.1:0",
        "tcp_address": "127.0.0.1:0",
        "broadcast_address": "localhost",
    }


@asynccontextmanager
async def running(caplog, **settings):
    """A served nsqlookupd; yields its ports by what the log calls them."""
    caplog.set_level("INFO")
    process = Process()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, NsqlookupdOptions(**settings), process)
        with trio.fail_after(60):
            while not (ports := heard(caplog)).get("HTTPS"):
                await trio.lowlevel.checkpoint()
            yield ports
            process.shutdown.set()


def heard(caplog):
    lines = [r.getMessage() for r in caplog.records if "listening on" in r.getMessage()]
    return {line.partition(":")[0]: int(line.rpartition(":")[2]) for line in lines}


def trust(authority, certificate_of=None, **settings):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if certificate_of is not None:
        certificate_of.issue_cert("nsqd.example", common_name="nsqd").configure_cert(context)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of old versions
        for name, value in settings.items():
            setattr(context, name, value)
    return context


async def talk(port, sent, context=None):
    """What comes back, up to the end or the first reply."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    if context is not None:
        stream = trio.SSLStream(stream, context, server_hostname="localhost")
    try:
        await stream.send_all(sent)
        return await stream.receive_some()
    except trio.BrokenResourceError:
        return b""  # it has hung up
    finally:
        await trio.aclose_forcefully(stream)


@pytest.mark.slow
async def test_who_has_a_certificate_is_heard_and_told_of_the_ports_with_tls(
    caplog, flags, authority
):
    async with running(caplog, **flags) as ports:
        assert sorted(ports) == ["HTTP", "HTTPS", "TLS"]
        answer = await talk(ports["TLS"], IDENTIFY, trust(authority, authority))
        (reply,) = ReplyParser().feed(answer)
        assert f'"http_port":{ports["HTTPS"]}'.encode() in reply.replace(b" ", b"")
        nodes = b"GET /nodes HTTP/1.1\r\nHost: x\r\n\r\n"
        answer = await talk(ports["HTTPS"], nodes, trust(authority, authority))
        assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["TLS", "HTTPS"])
async def test_others_are_not(caplog, flags, authority, kind):
    old = ssl.TLSVersion.TLSv1_1
    downgraded = {"minimum_version": old, "maximum_version": old}
    async with running(caplog, **flags) as ports:
        for context in (
            trust(authority),
            trust(authority, trustme.CA()),
            trust(authority, authority, **downgraded),
        ):
            assert not await talk(ports[kind], IDENTIFY, context)
        assert not await talk(ports[kind], IDENTIFY)  # in the clear


@pytest.mark.slow
async def test_nsqds_need_a_certificate_where_others_may_have_one(caplog, flags, authority):
    flags["tls_client_auth_policy"] = "verify-if-given"
    nodes = b"GET /nodes HTTP/1.1\r\nHost: x\r\n\r\n"
    async with running(caplog, **flags) as ports:
        assert await talk(ports["TLS"], IDENTIFY, trust(authority, authority))
        for context in (trust(authority), trust(authority, trustme.CA())):
            assert not await talk(ports["TLS"], IDENTIFY, context)
        answer = await talk(ports["HTTPS"], nodes, trust(authority))
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert not await talk(ports["HTTPS"], nodes, trust(authority, trustme.CA()))


async def test_plain_http_answers_probes_alone_where_tls_is_required(caplog, flags):
    async with running(caplog, **flags) as ports:
        answer = await talk(ports["HTTP"], b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 ")
        answer = await talk(
            ports["HTTP"], b"POST /topic/create?topic=t HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        assert answer.startswith(b"HTTP/1.1 403 ")
        assert answer.endswith(b'{"message":"TLS_REQUIRED","https_port":%d}' % ports["HTTPS"])


@pytest.mark.parametrize(
    "settings",
    [
        {"tls_cert": "x"},
        {"tls_key": "x"},
        {"tls_required": True},
        {"tls_client_auth_policy": "require-verify"},
    ],
)
def test_settings_that_need_others_are_refused(settings):
    with pytest.raises(OptionsError, match="need"):
        NsqlookupdOptions(**settings)
