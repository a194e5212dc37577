"""TLS of a server: from the files and the policy an operator names, and streams made with it.

`ServerTls` can read its files again while it serves; connections keep what they began with.
Handshakes have a deadline.
"""

import re
import ssl
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import attrs
import trio

from nsqcore.errors import NsqError
from nsqcore.net.bytestream import ByteStream
from nsqcore.net.ciphers import suite_name, version_name

# As the original.
HANDSHAKE_TIMEOUT = 5.0

# For a peer that does not take what it is told at the end.
FAREWELL_TIMEOUT = 1.0

# The peer's first bytes are those of something else; in the words of the original and of OpenSSL.
NO_TLS = "tls: first record does not look like a TLS handshake"
_NO_TLS = re.compile("wrong.version.number|http.request|https.proxy.request", re.IGNORECASE)

#: The numbers by which TLS itself names its versions.
TLS1_0, TLS1_1, TLS1_2, TLS1_3 = 0x301, 0x302, 0x303, 0x304

NO_CLIENT_CERTIFICATE, ANY_CLIENT_CERTIFICATE, VERIFIED = "", "require", "require-verify"


# A `trio.SSLStream`, whose methods of the `ssl.SSLObject` inside are invisible to type checkers.
TlsStream = Any


class TlsError(NsqError):
    """TLS settings that cannot work, or a handshake that did not."""


def _nothing(_error: TlsError) -> bytes:
    return b""


@attrs.frozen
class TlsFacts:
    """What a connection agreed on, in the words of the statistics."""

    version: str = ""
    cipher_suite: str = ""
    negotiated_protocol: str = ""
    #: The common name of the peer's certificate; "" without one.
    common_name: str = ""


@attrs.define(eq=False)
class ServerTls:
    """How a server does TLS. Made by `load`; ``policy`` is what is asked of clients.

    ``require`` takes any certificate unverified, ``require-verify`` those of ``root_ca`` (or of
    the system's authorities); anything else asks for none.
    """

    cert: str
    key: str
    policy: str = NO_CLIENT_CERTIFICATE
    root_ca: str = ""
    min_version: int = TLS1_0
    _context: Any = attrs.field(default=None, init=False)

    def load(self) -> None:
        """Read the files, for connections from now on; if that fails all stays as it was.

        Raises:
            TlsError: a file is missing or not what it should be.
        """
        if not self.cert or not self.key:
            raise TlsError("TLS needs both a certificate and a key")
        try:
            if self.root_ca:
                # Read whatever the policy is: a wrong path is an error in any case.
                _authorities(self.root_ca)
            if self.policy == ANY_CLIENT_CERTIFICATE:
                # needs another TLS library, which takes 40 ms to import
                from nsqcore.net.anycert import any_certificate_context

                self._context = any_certificate_context(
                    self.cert, self.key, min_version=self.min_version
                )
            else:
                self._context = self._verifying_context()
        except OSError as error:  # ssl.SSLError is one
            raise TlsError(f"TLS ({self.cert}, {self.key}, {self.root_ca}): {error}") from error

    def _verifying_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        _set_min_version(context, self.min_version)
        context.load_cert_chain(self.cert, self.key)
        if self.policy == VERIFIED:
            context.verify_mode = ssl.CERT_REQUIRED
            if self.root_ca:
                context.load_verify_locations(cadata=_authorities(self.root_ca))
            else:
                context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
        return context

    async def accept(
        self, stream: ByteStream, *, farewell: Callable[[TlsError], bytes] = _nothing
    ) -> TlsStream:
        """``stream`` with TLS, after the handshake.

        Args:
            farewell: gives what is sent, after the alert, to a peer whose handshake failed.

        Raises:
            TlsError: the handshake failed or took too long; the stream is closed.
        """
        below = cast("trio.abc.Stream", stream)
        context = _Attempt(self._context)
        wrapped = trio.SSLStream(below, cast("ssl.SSLContext", context), server_side=True)
        try:
            with trio.fail_after(HANDSHAKE_TIMEOUT):
                await wrapped.do_handshake()
        except (trio.BrokenResourceError, trio.TooSlowError) as error:
            failure, alert = _failure(error), context.outgoing.read()
            if failure.args[0] == NO_TLS:
                alert = b""  # the peer would not know what it is
            with trio.move_on_after(FAREWELL_TIMEOUT), suppress(trio.BrokenResourceError):
                await below.send_all(alert + farewell(failure))
            await trio.aclose_forcefully(below)
            raise failure from error
        return wrapped


@attrs.define(eq=False)
class _Attempt:
    """The context of one handshake. trio forgets the alert of one that fails; here it is kept."""

    context: Any
    outgoing: ssl.MemoryBIO = attrs.field(factory=ssl.MemoryBIO, init=False)

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, **how: Any) -> Any:
        """As `ssl.SSLContext.wrap_bio`."""
        self.outgoing = outgoing
        return self.context.wrap_bio(incoming, outgoing, **how)


def _failure(error: Exception) -> TlsError:
    """What a handshake failed of, in words."""
    reason = error.__cause__ or error
    if _NO_TLS.search(str(reason)):
        return TlsError(NO_TLS)
    return TlsError(f"TLS handshake: {reason or type(reason).__name__}")


def facts(stream: TlsStream) -> TlsFacts:
    """What the connection of ``stream``, whose handshake is done, agreed on."""
    cipher = stream.cipher()
    subject = (stream.getpeercert() or {}).get("subject", ())
    common_names = [value for names in subject for name, value in names if name == "commonName"]
    return TlsFacts(
        version_name(stream.version()),
        suite_name(cipher[0]) if cipher else "",
        stream.selected_alpn_protocol() or "",
        common_names[-1] if common_names else "",
    )


def check_authorities(path: str) -> None:
    """Return if ``path`` holds certificates of authorities. Raises TlsError."""
    try:
        _authorities(path)
    except OSError as error:
        raise TlsError(f"TLS ({path}): {error}") from error


def _authorities(path: str) -> str:
    """The certificates of a file, as text.

    Raises:
        OSError: it cannot be read, or holds none.
    """
    with open(path, encoding="ascii", errors="replace") as file:
        found = file.read()
    if "-----BEGIN CERTIFICATE-----" not in found:
        raise ssl.SSLError(f"no certificate in {path}")
    return found


def _set_min_version(context: ssl.SSLContext, version: int) -> None:
    with warnings.catch_warnings():
        # TLS 1.0 is what the operator may ask for, and the original's default.
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion(max(version, TLS1_0))
    if version < TLS1_2:
        # OpenSSL 3 refuses the signatures of TLS 1.0 and 1.1 above this level.
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
