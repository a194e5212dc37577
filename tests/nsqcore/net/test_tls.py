"""TLS: policies for client certificates, versions, files that change; bytes in, bytes out."""

import contextlib
import shutil
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from tests.nsqcore.net.chains import make_chain

from nsqcore.net.tls import TLS1_0, TLS1_2, TLS1_3, ServerTls
from nsqcore.net.tls_layer import TlsError, TlsLayer

SPIFFE = "spiffe://example.test/shop"


@attrs.frozen
class Files:
    """Certificates in files: an authority's, a server's, a client's, and one nobody signed."""

    ca: str
    server: str
    client: str
    rogue: str
    other_server: str
    workload: str


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
        write("other.pem", ca.issue_cert("localhost", "127.0.0.1", common_name="another server")),
        workload_certificate(ca, path / "workload.pem"),
    )


def workload_certificate(ca: trustme.CA, path: Path) -> str:
    """A certificate as workloads of a mesh have them, named by a URI alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    authority = load_pem_private_key(ca.private_key_pem.bytes(), None)
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(x509.load_pem_x509_certificate(ca.cert_pem.bytes()).subject)
        .subject_name(x509.Name([]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(1))
        .not_valid_after(now + timedelta(1))
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(SPIFFE)]), critical=True
        )
        .sign(authority, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + made.public_bytes(Encoding.PEM))
    return str(path)


def client_context(files: Files, cert: str = "") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=files.ca)
    if cert:
        context.load_cert_chain(cert)
    return context


@attrs.define(eq=False)
class Client:
    """The other end of a `TlsLayer`: what it sends is decoded there at once."""

    context: ssl.SSLContext
    layer: TlsLayer
    incoming: ssl.MemoryBIO = attrs.field(factory=ssl.MemoryBIO)
    outgoing: ssl.MemoryBIO = attrs.field(factory=ssl.MemoryBIO)
    tls: ssl.SSLObject = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.tls = self.context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def shake_hands(self) -> "Client":
        """Raises TlsError as the server does, or `ssl.SSLError` for the client's view."""
        done = False
        while not (done and self.layer.is_open):
            try:
                self.tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                pass
            data = self.outgoing.read()
            assert data or self.layer.has_output or done, "both wait"
            self.layer.decode(data, 1000)
            self.incoming.write(self.layer.encode(b""))
        return self

    def send(self, data: bytes, limit: int = 1_000_000) -> bytes:
        """What the layer decodes of ``data``."""
        self.tls.write(data)
        found = self.layer.decode(self.outgoing.read(), limit)
        while self.layer.has_more:
            found += self.layer.decode(b"", limit)
        return found

    def hear(self, data: bytes) -> bytes:
        """What comes out of ``data`` as the layer encodes it."""
        self.incoming.write(self.layer.encode(data))
        found = b""
        while len(found) < len(data):
            found += self.tls.read(1_000_000)
        return found


@pytest.fixture
def shake(files):
    """Connects a client to a server; gives both ends, or raises what the server saw."""

    def connect(server: ServerTls, cert: str = "") -> Client:
        return Client(client_context(files, cert), server.layer()).shake_hands()

    return connect


def server_with(files: Files, **options) -> ServerTls:
    server = ServerTls(files.server, files.server, **options)
    server.load()
    return server


def test_by_default_no_certificate_is_asked_for(files, shake):
    info = shake(server_with(files)).layer.info()
    assert info.version == "TLS1.3"
    assert info.cipher_suite.startswith("TLS_")
    assert info.common_name == ""


@pytest.mark.parametrize("who", ["client", "rogue"])
def test_require_takes_any_certificate(files, shake, who):
    client = shake(server_with(files, policy="require"), cert=getattr(files, who))
    assert client.send(b"x") == b"x"
    assert client.layer.info().common_name == f"a {who}"
    assert client.hear(b"hello") == b"hello"


@pytest.mark.parametrize("who", ["client", "rogue"])
def test_the_name_of_a_certificate_that_nobody_has_verified_is_no_proof(files, shake, who):
    layer = shake(server_with(files, policy="require"), cert=getattr(files, who)).layer
    assert (layer.info().common_name, layer.verified_names()) == (f"a {who}", ())


@pytest.mark.parametrize("min_version", [TLS1_0, TLS1_3])
@pytest.mark.parametrize("policy", ["require-verify", "verify-if-given"])
def test_the_names_in_a_verified_certificate_are(files, shake, policy, min_version):
    server = server_with(files, policy=policy, root_ca=files.ca, min_version=min_version)
    assert server.layer().verified_names() == ()  # before the handshake
    found = shake(server, cert=files.client).layer.verified_names()
    assert found == ("cn:a client", "email:client@example.test")
    with_all = shake(server, cert=files.other_server).layer.verified_names()
    assert with_all == ("cn:another server", "dns:localhost", "ip:127.0.0.1")
    assert shake(server, cert=files.workload).layer.verified_names() == (f"uri:{SPIFFE}",)


@pytest.mark.parametrize("min_version", [TLS1_0, TLS1_3])
def test_verify_if_given_lets_in_who_shows_none_and_nobody_who_shows_a_wrong_one(
    files, shake, min_version
):
    server = server_with(files, policy="verify-if-given", root_ca=files.ca, min_version=min_version)
    client = shake(server)
    assert (client.send(b"x"), client.layer.verified_names()) == (b"x", ())
    with pytest.raises(TlsError):
        shake(server, cert=files.rogue)


def test_require_refuses_a_client_without_a_certificate(files, shake):
    with pytest.raises(TlsError, match="certificate"):
        shake(server_with(files, policy="require"))


@pytest.mark.parametrize("min_version", [TLS1_0, TLS1_3])
def test_require_verify_takes_certificates_of_the_authority_only(files, shake, min_version):
    server = server_with(files, policy="require-verify", root_ca=files.ca, min_version=min_version)
    client = shake(server, cert=files.client)
    assert client.send(b"x") == b"x"
    assert client.layer.info().common_name == "a client"
    with pytest.raises(TlsError):
        shake(server, cert=files.rogue)
    with pytest.raises(TlsError):
        shake(server)


@pytest.mark.slow
@pytest.mark.parametrize("min_version", [TLS1_0, TLS1_2])
@pytest.mark.parametrize("kind", ["md5", "sha1", "rsa-512", "rsa-1024", "ec", "issued by md5"])
def test_weak_certificates_are_not_taken_for_verified(files, shake, tmp_path, kind, min_version):
    ca, client = make_chain(tmp_path, kind)
    server = server_with(files, policy="require-verify", root_ca=ca, min_version=min_version)
    context = client_context(files)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.load_cert_chain(client)
    if kind == "ec" or (kind == "rsa-1024" and min_version == TLS1_0):
        assert Client(context, server.layer()).shake_hands().send(b"x") == b"x"
    else:
        with pytest.raises((TlsError, ssl.SSLError)):
            Client(context, server.layer()).shake_hands()


@pytest.mark.parametrize("policy", ["", "require"])
def test_an_older_version_than_the_lowest_is_refused(files, shake, policy):
    server = server_with(files, policy=policy, min_version=TLS1_3)
    assert shake(server, cert=files.client).layer.info().version == "TLS1.3"

    context = client_context(files, files.client)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(TlsError):
        Client(context, server.layer()).shake_hands()


@pytest.mark.parametrize("policy", ["", "require", "require-verify"])
def test_tls_1_0_is_spoken_where_it_is_allowed(files, policy):
    server = server_with(files, policy=policy, root_ca=files.ca, min_version=TLS1_0)
    context = client_context(files, files.client)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
    client = Client(context, server.layer()).shake_hands()
    assert client.layer.info().version == "TLS1.0"


def test_files_read_again_serve_new_connections_only(files, shake, tmp_path):
    path = tmp_path / "server.pem"
    shutil.copy(files.server, path)
    server = ServerTls(str(path), str(path))
    server.load()
    old = shake(server)
    assert "a server" in str(old.tls.getpeercert()["subject"])

    shutil.copy(files.other_server, path)
    server.load()
    assert "another server" in str(shake(server).tls.getpeercert()["subject"])
    assert old.hear(b"still here") == b"still here"


def test_a_broken_file_leaves_everything_as_it_was(files, shake, tmp_path):
    path = tmp_path / "server.pem"
    shutil.copy(files.server, path)
    server = ServerTls(str(path), str(path))
    server.load()
    path.write_text("nonsense")
    with pytest.raises(TlsError, match=r"server\.pem"):
        server.load()
    assert "a server" in str(shake(server).tls.getpeercert()["subject"])


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
def test_garbage_instead_of_a_handshake_is_refused_without_an_alert(files, policy):
    with pytest.raises(TlsError, match="does not look like a TLS handshake") as refused:
        server_with(files, policy=policy).layer().decode(b"PUB topic\n" * 20, 1000)
    assert refused.value.alert == b""


@pytest.mark.parametrize("policy", ["require", "require-verify"])
@pytest.mark.parametrize(
    ("version", "alert"),
    [
        (ssl.TLSVersion.TLSv1_2, "HANDSHAKE_FAILURE"),
        (ssl.TLSVersion.TLSv1_3, "CERTIFICATE_REQUIRED"),
    ],
)
def test_a_client_is_told_why_its_handshake_failed(files, policy, version, alert):
    context = client_context(files)
    context.minimum_version = context.maximum_version = version
    client = Client(context, server_with(files, policy=policy).layer())
    with pytest.raises(TlsError) as failure:
        client.shake_hands()
    client.incoming.write(failure.value.alert)
    with pytest.raises(ssl.SSLError, match=alert):
        client.tls.read(1)


@pytest.mark.parametrize("policy", ["", "require", "require-verify"])
@pytest.mark.parametrize("min_version", [TLS1_0, TLS1_3])
def test_what_comes_with_the_last_of_the_handshake_is_decoded(files, policy, min_version):
    server = server_with(files, policy=policy, root_ca=files.ca, min_version=min_version)
    client = Client(client_context(files, files.client), server.layer())
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.do_handshake()
    client.layer.decode(client.outgoing.read(), 1000)
    client.incoming.write(client.layer.encode(b""))
    client.tls.do_handshake()
    assert client.send(b"GET / HTTP/1.1\r\n\r\n") == b"GET / HTTP/1.1\r\n\r\n"


def test_a_peer_that_hangs_up_during_the_handshake_has_failed(files):
    with pytest.raises(TlsError, match="handshake"):
        server_with(files).layer().end_input()


@pytest.mark.parametrize("policy", ["", "require"])
def test_all_records_that_have_come_are_decoded_at_once(files, shake, policy):
    client = shake(server_with(files, policy=policy), cert=files.client)
    for number in range(100):
        client.tls.write(b"FIN %03d\n" % number)
    assert client.layer.decode(client.outgoing.read(), 100_000).count(b"\n") == 100
    assert not client.layer.has_more


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["", "require"])
@pytest.mark.parametrize("limit", [1, 1000, 1_000_000])
def test_as_much_as_one_likes_passes_in_pieces_of_any_size(files, shake, policy, limit):
    client = shake(server_with(files, policy=policy), cert=files.client)
    data = bytes(range(256)) * (1 if limit == 1 else 2000)
    assert client.send(data, limit) == data
    assert client.hear(data) == data
    data = data[:5000]
    client.tls.write(data)
    record = client.outgoing.read()
    pieces = b"".join(client.layer.decode(record[at : at + 1], limit) for at in range(len(record)))
    while client.layer.has_more:
        pieces += client.layer.decode(b"", limit)
    assert pieces == data


@pytest.mark.parametrize("policy", ["", "require"])
def test_what_was_changed_on_the_way_is_an_error_behind_what_was_not(files, shake, policy):
    client = shake(server_with(files, policy=policy), cert=files.client)
    client.tls.write(b"good")
    good = client.outgoing.read()
    client.tls.write(b"bad")
    bad = bytearray(client.outgoing.read())
    bad[-1] ^= 1
    assert client.layer.decode(good + bytes(bad), 1000) == b"good"
    with pytest.raises(TlsError):
        client.layer.decode(b"", 1000)


@pytest.mark.parametrize("policy", ["", "require"])
def test_both_ends_say_goodbye(files, shake, policy):
    client = shake(server_with(files, policy=policy), cert=files.client)
    client.incoming.write(client.layer.close())
    assert client.tls.read(1) == b""
    client = shake(server_with(files, policy=policy), cert=files.client)
    client.send(b"x")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.tls.unwrap()
    assert client.layer.decode(client.outgoing.read(), 100) == b""
    assert client.layer.ended
