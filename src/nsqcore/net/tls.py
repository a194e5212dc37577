"""TLS of a server: from the files and the policy an operator names.

`ServerTls` can read its files again while it serves; connections keep what they began with.
"""

import ssl
import warnings
from typing import Any

from nsqcore.classes import define, field
from nsqcore.net.tls_layer import TlsError, TlsLayer

#: The numbers by which TLS itself names its versions.
TLS1_0, TLS1_1, TLS1_2, TLS1_3 = 0x301, 0x302, 0x303, 0x304

NO_CLIENT_CERTIFICATE, ANY_CLIENT_CERTIFICATE = "", "require"
VERIFIED, VERIFIED_IF_GIVEN = "require-verify", "verify-if-given"
_VERIFYING = (VERIFIED, VERIFIED_IF_GIVEN)


@define(eq=False, repr=False)
class ServerTls:
    """How a server does TLS. Made by `load`; ``policy`` is what is asked of clients.

    ``require`` takes any certificate unverified, ``require-verify`` those of ``root_ca`` (or of
    the system's authorities), ``verify-if-given`` the same or none; anything else asks for none.
    """

    cert: str
    key: str
    policy: str = NO_CLIENT_CERTIFICATE
    root_ca: str = ""
    min_version: int = TLS1_0
    _context: Any = field(default=None, init=False)

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
            self._context = self._make_context()
        except OSError as error:  # ssl.SSLError is one
            raise TlsError(f"TLS ({self.cert}, {self.key}, {self.root_ca}): {error}") from error

    def _make_context(self) -> Any:
        """The context that the policy asks for."""
        version = self.min_version
        weak_allowed = version < TLS1_2 and self.policy in _VERIFYING
        if self.policy != ANY_CLIENT_CERTIFICATE and not weak_allowed:
            return self._verifying_context()
        # needs another TLS library, which takes 40 ms to import
        from nsqcore.net import openssl

        if self.policy in _VERIFYING:
            return openssl.strong_certificate_context(
                self.cert, self.key, self.root_ca, min_version=version,
                required=self.policy == VERIFIED,
            )  # fmt: skip
        return openssl.any_certificate_context(self.cert, self.key, min_version=version)

    def _verifying_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        _set_min_version(context, self.min_version)
        context.load_cert_chain(self.cert, self.key)
        if self.policy in _VERIFYING:
            required = self.policy == VERIFIED
            context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
            if self.root_ca:
                context.load_verify_locations(cadata=_authorities(self.root_ca))
            else:
                context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
        return context

    def layer(self) -> TlsLayer:
        """The TLS of a new connection."""
        return TlsLayer(self._context, verified=self.policy in _VERIFYING)


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
