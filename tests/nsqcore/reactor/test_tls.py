"""TLS: policies for client certificates, versions, files that change, and sessions inside."""

import shutil
import ssl

import attrs
import pytest
import trio
import trio.testing
import trustme

from nsqcore.net.tls import (
    TLS1_0,
    TLS1_3,
    ServerTls,
    TlsError,
    facts,
)
from nsqcore.reactor.transport import serve_stream


@attrs.frozen
class Files:
    """Certificates in files: an authority's, a server's, a client's, and one nobody signed."""

    ca: str
    server: str
    client: str
    rogue: str
    other_server: str


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> Files:
    path = tmp_path_factory.mktemp("tls")
    ca, stranger = trustme.CA(), trustme.CA()

    def write(name: str, cert: trustme.LeafCert) -> str:
        cert.private_key_and_cert_chain_pem.write_to_path(str(path / name))
        return str(path / name)

    ca.cert_pem.write_to_path(str(path / "ca.pem"))
    return Files(
        str(path / "ca.pem"),
        write("server.pem", ca.issue_cert("localhost", common_name="a server")),
        write("client.pem", ca.issue_cert("client@example.test", common_name="a client")),
        write("rogue.pem", stranger.issue_cert("rogue@example.test", common_name="a rogue")),
        write("other.pem", ca.issue_cert("localhost", common_name="another server")),
    )


def client_context(files: Files, cert: str = "") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=files.ca)
    if cert:
        context.load_cert_chain(cert)
    return context


async def connect(stream: trio.abc.Stream, context: ssl.SSLContext) -> trio.SSLStream:
    client = trio.SSLStream(stream, context, server_hostname="localhost")
    await client.do_handshake()
    return client


@pytest.fixture
def shake(files):
    """Connects a client to a server; gives both streams, or raises what the server saw."""

    async def connect_both(server: ServerTls, cert: str = ""):
        ours, theirs = trio.testing.memory_stream_pair()
        streams = {}
        failures = []
        context = client_context(files, cert)

        async def serve() -> None:
            try:
                streams["server"] = await server.accept(theirs)
            except TlsError as error:
                failures.append(error)

        async def join() -> None:
            try:
                streams["client"] = await connect(ours, context)
                await streams["client"].send_all(b"x")
            except trio.BrokenResourceError:
                pass

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(serve)
                nursery.start_soon(join)
        if failures:
            raise failures[0]
        return streams["server"], streams["client"]

    return connect_both


def server_with(files: Files, **options) -> ServerTls:
    server = ServerTls(files.server, files.server, **options)
    server.load()
    return server


async def test_by_default_no_certificate_is_asked_for(files, shake):
    server, _ = await shake(server_with(files))
    assert facts(server).version == "TLS1.3"
    assert facts(server).cipher_suite.startswith("TLS_")
    assert facts(server).common_name == ""


@pytest.mark.parametrize("who", ["client", "rogue"])
async def test_require_takes_any_certificate(files, shake, who):
    server, client = await shake(server_with(files, policy="require"), cert=getattr(files, who))
    assert facts(server).common_name == f"a {who}"
    await server.send_all(b"hello")
    assert await client.receive_some() == b"hello"


async def test_require_refuses_a_client_without_a_certificate(files, shake):
    with pytest.raises(TlsError, match="certificate"):
        await shake(server_with(files, policy="require"))


async def test_require_verify_takes_certificates_of_the_authority_only(files, shake):
    server = server_with(files, policy="require-verify", root_ca=files.ca)
    stream, _ = await shake(server, cert=files.client)
    assert facts(stream).common_name == "a client"
    with pytest.raises(TlsError):
        await shake(server, cert=files.rogue)
    with pytest.raises(TlsError):
        await shake(server)


@pytest.mark.parametrize("policy", ["", "require"])
async def test_an_older_version_than_the_lowest_is_refused(files, shake, policy):
    server = server_with(files, policy=policy, min_version=TLS1_3)
    stream, _ = await shake(server, cert=files.client)
    assert facts(stream).version == "TLS1.3"

    ours, theirs = trio.testing.memory_stream_pair()
    context = client_context(files, files.client)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with trio.open_nursery() as nursery:

        async def refused() -> None:
            with pytest.raises(TlsError):
                await server.accept(theirs)

        nursery.start_soon(refused)
        with pytest.raises(trio.BrokenResourceError):
            await connect(ours, context)


@pytest.mark.parametrize("policy", ["", "require"])
async def test_tls_1_0_is_spoken_where_it_is_allowed(files, policy):
    server = server_with(files, policy=policy, min_version=TLS1_0)
    ours, theirs = trio.testing.memory_stream_pair()
    context = client_context(files, files.client)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.accept, theirs)
        stream = await connect(ours, context)
    assert facts(stream).version == "TLS1.0"


async def test_files_read_again_serve_new_connections_only(files, shake, tmp_path):
    path = tmp_path / "server.pem"
    shutil.copy(files.server, path)
    server = ServerTls(str(path), str(path))
    server.load()
    old, old_client = await shake(server)
    assert facts(old_client).common_name == "a server"

    shutil.copy(files.other_server, path)
    server.load()
    _, new_client = await shake(server)
    assert facts(new_client).common_name == "another server"
    await old.send_all(b"still here")
    assert await old_client.receive_some() == b"still here"


async def test_a_broken_file_leaves_everything_as_it_was(files, shake, tmp_path):
    path = tmp_path / "server.pem"
    shutil.copy(files.server, path)
    server = ServerTls(str(path), str(path))
    server.load()
    path.write_text("nonsense")
    with pytest.raises(TlsError, match=r"server\.pem"):
        server.load()
    _, client = await shake(server)
    assert facts(client).common_name == "a server"


@pytest.mark.parametrize("policy", ["", "require", "require-verify"])
def test_files_that_are_missing_or_no_certificates_are_named(files, tmp_path, policy):
    nowhere = str(tmp_path / "nowhere.pem")
    for cert, key, root in (
        (files.server, "", ""),
        ("", files.server, ""),
        (nowhere, files.server, ""),
        (files.server, nowhere, ""),
        (files.server, files.ca, ""),
        (files.server, files.other_server, ""),
        (files.server, files.server, nowhere),
    ):
        with pytest.raises(TlsError, match="TLS"):
            ServerTls(cert, key, policy, root).load()


@pytest.mark.parametrize("policy", ["", "require"])
async def test_garbage_instead_of_a_handshake_is_refused(files, policy):
    server = server_with(files, policy=policy)
    ours, theirs = trio.testing.memory_stream_pair()
    await ours.send_all(b"PUB topic\n" * 20)
    with pytest.raises(TlsError, match="handshake"):
        await server.accept(theirs)


@pytest.mark.parametrize("policy", ["", "require"])
async def test_a_peer_that_does_not_speak_tls_is_told_so_in_the_clear(files, policy):
    server = server_with(files, policy=policy)
    ours, theirs = trio.testing.memory_stream_pair()
    await ours.send_all(b"PUB topic\n" * 20)
    with pytest.raises(TlsError):
        await server.accept(theirs, farewell=lambda error: str(error).encode())
    assert await ours.receive_some() == b"tls: first record does not look like a TLS handshake"
    assert await ours.receive_some() == b""


@pytest.mark.parametrize("policy", ["require", "require-verify"])
@pytest.mark.parametrize(
    ("version", "alert"),
    [
        (ssl.TLSVersion.TLSv1_2, "HANDSHAKE_FAILURE"),
        (ssl.TLSVersion.TLSv1_3, "CERTIFICATE_REQUIRED"),
    ],
)
async def test_a_client_is_told_why_its_handshake_failed(files, nursery, policy, version, alert):
    server = server_with(files, policy=policy)
    ours, theirs = trio.testing.memory_stream_pair()
    context = client_context(files)
    context.minimum_version = context.maximum_version = version

    async def serve() -> None:
        with pytest.raises(TlsError):
            await server.accept(theirs, farewell=lambda _error: b"not for TLS")

    nursery.start_soon(serve)
    client = trio.SSLStream(ours, context, server_hostname="localhost")
    with pytest.raises(trio.BrokenResourceError) as broken:
        await client.receive_some()
    assert alert in str(broken.value.__cause__)


async def test_a_client_that_never_shakes_hands_is_given_up(files, autojump_clock):
    server = server_with(files)
    _ours, theirs = trio.testing.memory_stream_pair()
    with pytest.raises(TlsError, match="handshake"):
        await server.accept(theirs)
    assert trio.current_time() == 5


@pytest.mark.parametrize("policy", ["", "require"])
async def test_a_session_is_served_inside_tls(files, shake, new_session, nursery, policy):
    stream, client = await shake(server_with(files, policy=policy), cert=files.client)
    session = new_session()
    nursery.start_soon(serve_stream, stream, session)
    await client.send_all(b"\nbig 1000000\nbye\n")
    received = b""
    while chunk := await client.receive_some():
        received += chunk
    assert received == b"x!\n" + bytes(1_000_000) + b"goodbye\n"
    await session.ended.wait()
    assert (session.ends, session.error) == (1, None)


@pytest.mark.parametrize("policy", ["", "require"])
async def test_a_client_that_goes_without_a_word_is_no_error(
    files, shake, new_session, nursery, policy
):
    stream, client = await shake(server_with(files, policy=policy), cert=files.client)
    session = new_session()
    nursery.start_soon(serve_stream, stream, session)
    await client.transport_stream.aclose()
    await session.ended.wait()
    assert session.error is None


async def test_connections_may_be_tls_from_the_beginning(files, start_server):
    server = await start_server(wrap=server_with(files).accept)
    context = client_context(files)
    stream = await connect(await server.connect(), context)
    assert await server.ask(stream, b"hello\n") == b"hello!\n"
    await stream.send_all(b"bye\n")
    assert await server.rest(stream) == b"goodbye\n"


async def test_a_failed_handshake_is_the_end_of_one_connection(files, start_server):
    server = await start_server(wrap=server_with(files).accept)
    await (await server.connect()).send_all(b"GET / HTTP/1.1\r\n\r\n")
    context = client_context(files)
    stream = await connect(await server.connect(), context)
    assert await server.ask(stream, b"hello\n") == b"hello!\n"
    await server.sessions[0].ended.wait()
    assert isinstance(server.sessions[0].error, TlsError)
