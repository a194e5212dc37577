"""TLS to nsqlookupd: for addresses with ``tls://``, which are never spoken to without."""

import logging
import ssl

import trio

from nsqcore.app import threads
from nsqcore.classes import define, field, frozen
from nsqcore.tls import client_tls

logger = logging.getLogger(__name__)

SCHEME = "tls://"


@frozen(kw_only=True)
class LookupTlsSettings:
    """Paths of files: whom to trust (the system's authorities if empty), and what to show."""

    authorities: str = ""
    certificate: str = ""
    key: str = ""


def is_secure(address: str) -> bool:
    """Whether the nsqlookupd at ``address`` is to be spoken to over TLS."""
    return address.startswith(SCHEME)


@define(eq=False, repr=False)
class LookupTls:
    """How nsqlookupds are connected to over TLS. The files are read when they are needed first."""

    settings: LookupTlsSettings = field(factory=LookupTlsSettings)
    context: ssl.SSLContext | None = field(default=None, init=False)

    def load(self) -> None:
        """Read the files, for connections from now on. Raises OSError."""
        self.context = client_tls(
            authorities=self.settings.authorities,
            certificate=self.settings.certificate,
            key=self.settings.key,
        )

    def reload(self) -> None:
        """Read them again, as SIGHUP asks; keeps those in use if it cannot."""
        if self.context is None:
            return
        try:
            self.load()
        except OSError as error:
            logger.error("LOOKUP: keeping the certificates in use - %s", error)
        else:
            logger.info("LOOKUP: certificates read again")

    async def connect(self, name: str, host: str, port: int) -> trio.SSLStream[trio.SocketStream]:
        """A connection to the nsqlookupd at ``host``, whose certificate is for ``name``.

        Raises OSError, trio.BrokenResourceError.
        """
        if self.context is None:
            await threads.run_sync(self.load)
        assert self.context is not None
        transport = await trio.open_tcp_stream(host, port)
        stream = trio.SSLStream(
            transport, self.context, server_hostname=name, https_compatible=True
        )
        try:
            await stream.do_handshake()
        except BaseException:
            await trio.aclose_forcefully(transport)
            raise
        return stream
