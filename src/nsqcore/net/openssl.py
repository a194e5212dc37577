"""TLS with an opinion of our own on clients' certificates, which Python's `ssl` cannot have.

The policy ``require`` takes any certificate: `ssl` asks for none or verifies the one it gets. The
policy ``require-verify`` must refuse weak certificates though TLS 1.0 is allowed: for that version
OpenSSL's security level must be 0, at which it verifies certificates signed with MD5, too. OpenSSL
can do both by a verification callback, which pyOpenSSL offers. This is a context with the one
method that `nsqcore.net.tls_layer` uses of an `ssl.SSLContext`, and an object with those it uses of
an `ssl.SSLObject`; errors are translated. Remove it when `ssl` offers the callback.
"""

import ssl
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from OpenSSL import SSL
from OpenSSL.crypto import X509

from nsqcore.classes import define, frozen

T = TypeVar("T")

_OTHER_NAMES: dict[type[x509.GeneralName], str] = {
    x509.DNSName: "DNS", x509.UniformResourceIdentifier: "URI", x509.RFC822Name: "email",
    x509.IPAddress: "IP Address",
}  # fmt: skip

# The most one call of OpenSSL gives back: a TLS record.
RECORD = 16 * 1024


# Hashes that certificates can be forged with; the original refuses both.
WEAK_HASHES = ("md5", "sha1")
# Bits of the smallest key that the original takes.
LEAST_RSA, LEAST_EC = 1024, 224


def _accept_any(*_args: object) -> bool:
    """OpenSSL's opinion on a certificate is not asked for."""
    return True


def _accept_strong(
    _connection: object, certificate: X509, _error: int, depth: int, verified: int
) -> bool:
    """Whether a certificate of a chain is right, as OpenSSL says, and not weak.

    One with a key that cannot be judged, on a curve hardly anybody has, counts as weak.
    """
    try:
        return bool(verified) and is_strong(certificate.to_cryptography(), depth)
    except (UnsupportedAlgorithm, ValueError):
        return False


def is_strong(certificate: x509.Certificate, depth: int) -> bool:
    """Whether key and signature of a certificate, ``depth`` above the client's, can be relied on.

    The signature of an authority under its own certificate says nothing and is not looked at.
    """
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < LEAST_RSA:
        return False
    if isinstance(key, ec.EllipticCurvePublicKey) and key.key_size < LEAST_EC:
        return False
    if depth and certificate.issuer == certificate.subject:
        return True
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return False
    return algorithm is None or algorithm.name not in WEAK_HASHES


@frozen(eq=False)
class OpenSslContext:
    """A server context of pyOpenSSL, used as an `ssl.SSLContext` is."""

    context: SSL.Context

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | None = None,
        session: object = None,
    ) -> "OpenSslObject":
        """The TLS state of one connection."""
        connection = SSL.Connection(self.context, None)
        connection.set_accept_state()
        return OpenSslObject(incoming, outgoing, connection)


def any_certificate_context(cert: str, key: str, *, min_version: int) -> OpenSslContext:
    """A context that insists on a certificate, any; ``cert`` and ``key`` are its own files.

    Raises:
        OSError: they cannot be read, or are no certificate and its key.
    """
    context = _make_context(cert, key, min_version)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _accept_any)
    return OpenSslContext(context)


def strong_certificate_context(
    cert: str, key: str, root_ca: str, *, min_version: int, required: bool = True
) -> OpenSslContext:
    """A context that insists on a certificate of ``root_ca`` (or the system's) that is not weak.

    Where it is not ``required``, clients without one are let in, too.

    Raises:
        OSError: the files cannot be read, or are not what they should be.
    """
    context = _make_context(cert, key, min_version)
    try:
        if root_ca:
            context.load_verify_locations(root_ca)
        else:
            context.set_default_verify_paths()
    except SSL.Error as error:
        raise ssl.SSLError(f"{root_ca}: {_reason(error)}") from None
    insists = SSL.VERIFY_FAIL_IF_NO_PEER_CERT if required else 0
    context.set_verify(SSL.VERIFY_PEER | insists, _accept_strong)
    return OpenSslContext(context)


def _make_context(cert: str, key: str, min_version: int) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    try:
        context.use_certificate_chain_file(cert)
        context.use_privatekey_file(key)
        context.check_privatekey()
    except SSL.Error as error:
        raise ssl.SSLError(f"{cert}, {key}: {_reason(error)}") from None
    context.set_min_proto_version(min_version)
    if min_version < SSL.TLS1_2_VERSION:
        # OpenSSL 3 refuses the signatures of TLS 1.0 and 1.1 above this level.
        context.set_cipher_list(b"DEFAULT:@SECLEVEL=0")
    # Without a name for its sessions a server that asks for certificates cannot resume any.
    context.set_session_id(b"nsq")
    return context


def _other_names(certificate: x509.Certificate) -> Iterator[tuple[str, str]]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):  # there is none, or it cannot be read
        return
    for name in found:
        if kind := _OTHER_NAMES.get(type(name)):
            yield kind, str(name.value)


def _reason(error: SSL.Error) -> str:
    """OpenSSL's words for what went wrong."""
    stack = error.args[0] if error.args else None
    return str(stack[-1][-1]) if isinstance(stack, list) and stack else str(error) or "failed"


@define(eq=False, repr=False)
class OpenSslObject:
    """One connection's TLS state, between two memory buffers."""

    _incoming: ssl.MemoryBIO
    _outgoing: ssl.MemoryBIO
    _connection: SSL.Connection
    server_side: bool = True

    def do_handshake(self) -> None:
        """Go on with the handshake."""
        self._call(self._connection.do_handshake)

    def read(self, size: int, buffer: memoryview) -> int:
        """How many decrypted bytes, up to ``size``, are in ``buffer`` now.

        0 when the peer has said goodbye.
        """
        try:
            return self._call(lambda: self._connection.recv_into(buffer, min(size, RECORD)))
        except ssl.SSLZeroReturnError:
            return 0

    def pending(self) -> int:
        """1: inside may be any number of records, which only `read` can tell."""
        return 1

    def write(self, data: bytes) -> int:
        """How many of the bytes were taken: all."""
        if len(data):
            self._call(lambda: self._connection.sendall(bytes(data)))
        return len(data)

    def unwrap(self) -> None:
        """Say goodbye; done once the peer has, too."""
        if not self._call(self._connection.shutdown):
            raise ssl.SSLWantReadError

    def version(self) -> str:
        """As `ssl.SSLObject.version`."""
        return self._connection.get_protocol_version_name()

    def cipher(self) -> tuple[str, str, int] | None:
        """As `ssl.SSLObject.cipher`."""
        name = self._connection.get_cipher_name()
        if name is None:
            return None
        return name, self.version(), self._connection.get_cipher_bits() or 0

    def selected_alpn_protocol(self) -> str | None:
        """As `ssl.SSLObject.selected_alpn_protocol`."""
        return self._connection.get_alpn_proto_negotiated().decode() or None

    def getpeercert(self) -> dict[str, Any]:
        """The names in the peer's certificate, in the shape of `ssl.SSLObject.getpeercert`."""
        certificate = self._connection.get_peer_certificate(as_cryptography=True)
        if certificate is None:
            return {}
        names = [
            (("commonName" if a.oid.dotted_string == "2.5.4.3" else a.oid.dotted_string, a.value),)
            for a in certificate.subject
        ]
        return {"subject": tuple(names), "subjectAltName": tuple(_other_names(certificate))}

    def _call(self, operation: Callable[[], T]) -> T:
        """What ``operation`` gives, with the buffers carried over before and after."""
        connection = self._connection
        while self._incoming.pending:
            connection.bio_write(self._incoming.read(RECORD))
        if self._incoming.eof:
            connection.bio_shutdown()
        try:
            return operation()
        except SSL.WantReadError as error:
            raise ssl.SSLWantReadError from error
        except SSL.ZeroReturnError as error:
            raise ssl.SSLZeroReturnError from error
        except SSL.SysCallError as error:
            raise ssl.SSLEOFError(*error.args) from error
        except SSL.Error as error:
            raise ssl.SSLError(_reason(error)) from error
        finally:
            self._carry_out()

    def _carry_out(self) -> None:
        while True:
            try:
                self._outgoing.write(self._connection.bio_read(RECORD))
            except SSL.WantReadError:
                return
