"""TLS for the client policy ``require``: a certificate must be shown, any certificate will do.

Python's `ssl` cannot do this: it asks for no certificate or verifies the one it gets. OpenSSL can,
by a verification callback, which pyOpenSSL offers. This is a context with the one method that
`trio.SSLStream` uses of an `ssl.SSLContext`, and an object with those it uses of an
`ssl.SSLObject`; errors are translated. Remove it when `ssl` learns to accept any certificate.
"""

import ssl
from collections.abc import Callable
from typing import Any, TypeVar

import attrs
from OpenSSL import SSL

T = TypeVar("T")

# The most one call of OpenSSL gives back: a TLS record.
RECORD = 16 * 1024


def _accept_any(*_args: object) -> bool:
    """OpenSSL's opinion on a certificate is not asked for."""
    return True


@attrs.frozen(eq=False)
class AnyCertificateContext:
    """A server context that takes any client certificate, but insists on one."""

    context: SSL.Context

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | None = None,
        session: object = None,
    ) -> "AnyCertificateObject":
        """The TLS state of one connection."""
        connection = SSL.Connection(self.context, None)
        connection.set_accept_state()
        return AnyCertificateObject(incoming, outgoing, connection)


def any_certificate_context(cert: str, key: str, *, min_version: int) -> AnyCertificateContext:
    """A context with the certificate chain and key of these files.

    Raises:
        OSError: they cannot be read, or are no certificate and its key.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    try:
        context.use_certificate_chain_file(cert)
        context.use_privatekey_file(key)
        context.check_privatekey()
    except SSL.Error as error:
        raise ssl.SSLError(f"{cert}, {key}: {_reason(error)}") from error
    context.set_min_proto_version(min_version)
    if min_version < SSL.TLS1_2_VERSION:
        # OpenSSL 3 refuses the signatures of TLS 1.0 and 1.1 above this level.
        context.set_cipher_list(b"DEFAULT:@SECLEVEL=0")
    # Without a name for its sessions a server that asks for certificates cannot resume any.
    context.set_session_id(b"nsq")
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _accept_any)
    return AnyCertificateContext(context)


def _reason(error: SSL.Error) -> str:
    """OpenSSL's words for what went wrong."""
    stack = error.args[0] if error.args else None
    return str(stack[-1][-1]) if isinstance(stack, list) and stack else str(error) or "failed"


@attrs.define(eq=False)
class AnyCertificateObject:
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
        """The subject of the peer's certificate, in the shape of `ssl.SSLObject.getpeercert`."""
        certificate = self._connection.get_peer_certificate(as_cryptography=True)
        if certificate is None:
            return {}
        names = [
            (("commonName" if a.oid.dotted_string == "2.5.4.3" else a.oid.dotted_string, a.value),)
            for a in certificate.subject
        ]
        return {"subject": tuple(names)}

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
