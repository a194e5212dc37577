"""TLS as a layer of a connection, over memory: OpenSSL is given bytes and asked for bytes.

Everything that a round has received is decrypted at once, record by record into one buffer, so
that a session is fed once for a hundred small records.
"""

import re
import ssl
from contextlib import suppress
from typing import Any

from nsqcore.classes import define, field, frozen
from nsqcore.errors import NsqError
from nsqcore.net.ciphers import suite_name, version_name

# Of the largest chunk that is decrypted at once.
BUFFER_SIZE = 256 * 1024

# The peer's first bytes are those of something else; in the words of the original and of OpenSSL.
NO_TLS = "tls: first record does not look like a TLS handshake"
_NO_TLS = re.compile("wrong.version.number|http.request|https.proxy.request", re.IGNORECASE)

# Kinds of names, as `ssl` calls them, and as we do.
_KINDS = {"DNS": "dns", "URI": "uri", "email": "email", "IP Address": "ip"}

# Between two calls of a session nothing is in it: all connections share it.
_buffer = memoryview(bytearray(BUFFER_SIZE))


class TlsError(NsqError):
    """TLS settings that cannot work, or a handshake that did not.

    ``alert`` is what the peer is told, in TLS's own words.
    """

    alert: bytes = b""


@frozen
class TlsInfo:
    """What a connection agreed on, in the words of the statistics."""

    version: str = ""
    cipher_suite: str = ""
    negotiated_protocol: str = ""
    #: The common name of the peer's certificate; "" without one.
    common_name: str = ""
    #: All names in it, with their kind: ``cn:app``, ``dns:app.example``, ``uri:spiffe://…``.
    names: tuple[str, ...] = ()


@define(eq=False, repr=False)
class TlsLayer:
    """The server's side of one TLS connection. ``context`` is an `ssl.SSLContext` or the like.

    ``verified``: the context takes no client certificate that it has not verified.
    """

    context: Any
    verified: bool = False
    is_open: bool = field(default=False, init=False)
    has_more: bool = field(default=False, init=False)
    ended: bool = field(default=False, init=False)
    _incoming: ssl.MemoryBIO = field(factory=ssl.MemoryBIO, init=False)
    _outgoing: ssl.MemoryBIO = field(factory=ssl.MemoryBIO, init=False)
    _object: Any = field(init=False)
    #: What was found wrong behind bytes that were still right.
    _failure: TlsError | None = field(default=None, init=False)
    _names: tuple[str, ...] | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._object = self.context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    @property
    def has_output(self) -> bool:
        """There is a part of the handshake, or an alert, to be sent."""
        return self._outgoing.pending > 0

    def decode(self, data: bytes, limit: int) -> bytes:
        """Decrypted bytes; none as long as the handshake goes on.

        Raises:
            TlsError: the handshake failed, or what came is not what was sent.
        """
        if data:
            self._incoming.write(data)
        if not self.is_open:
            self._shake_hands()
            return b""
        return self._read(min(limit, BUFFER_SIZE))

    def _shake_hands(self) -> None:
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return
        except (ssl.SSLError, OSError) as error:
            raise self._describe(error) from None
        self.is_open = True
        # The peer's first bytes may have come with its last of the handshake.
        self.has_more = self._incoming.pending > 0 or self._object.pending() > 0

    def _describe(self, error: Exception) -> TlsError:
        """What a handshake failed of, in words, and what the peer is told."""
        if _NO_TLS.search(str(error)):
            # An alert would mean nothing to the peer.
            return TlsError(NO_TLS)
        failure = TlsError(f"TLS handshake: {error or type(error).__name__}")
        failure.alert = self._outgoing.read()
        return failure

    def _read(self, limit: int) -> bytes:
        if self._failure is not None:
            raise self._failure
        tls, incoming, size = self._object, self._incoming, 0
        self.has_more = False
        try:
            while True:
                count = tls.read(limit - size, _buffer[size:])
                if not count:
                    self.ended = True
                    break
                size += count
                if not incoming.pending and not tls.pending():
                    break
                if size >= limit:
                    self.has_more = True
                    break
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLError, OSError) as error:
            failure = TlsError(f"TLS: {error}")
            if not size:
                raise failure from None
            self._failure, self.has_more = failure, True
        return bytes(_buffer[:size])

    def encode(self, data: bytes | memoryview) -> bytes:
        """``data`` in records, behind what TLS itself has to say."""
        if data:
            write, size = self._object.write, len(data)
            done = write(data)
            while done < size:
                done += write(memoryview(data)[done:])
        return self._outgoing.read()

    def end_input(self) -> None:
        """The peer sends no more. Many a client goes without TLS's parting word, which is fine.

        Raises:
            TlsError: the handshake was not complete.
        """
        if not self.is_open:
            raise TlsError("TLS handshake: the peer has hung up")

    def close(self) -> bytes:
        """The parting word (close_notify)."""
        if self.is_open:
            # The peer has not said its own yet, or has broken off.
            with suppress(ssl.SSLError, OSError):
                self._object.unwrap()
        return self._outgoing.read()

    def verified_names(self) -> tuple[str, ...]:
        """The names in the client certificate that was verified, as in `TlsInfo`."""
        if not self.verified or not self.is_open:
            return ()
        if self._names is None:
            self._names = self.info().names
        return self._names

    def info(self) -> TlsInfo:
        """What the connection, whose handshake is done, agreed on."""
        tls = self._object
        cipher = tls.cipher()
        shown = tls.getpeercert() or {}
        subject = shown.get("subject", ())
        common_names = [value for names in subject for name, value in names if name == "commonName"]
        others = [(_KINDS.get(kind), value) for kind, value in shown.get("subjectAltName", ())]
        return TlsInfo(
            version_name(tls.version()),
            suite_name(cipher[0]) if cipher else "",
            tls.selected_alpn_protocol() or "",
            common_names[-1] if common_names else "",
            (
                *(f"cn:{name}" for name in common_names[-1:]),
                *(f"{kind}:{value}" for kind, value in others if kind),
            ),
        )
