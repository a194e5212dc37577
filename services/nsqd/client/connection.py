"""Upgrades of a V2 connection: TLS, then deflate or snappy, as IDENTIFY agreed.

The session stays the same; only the stream under it changes. Each layer is
announced by an OK inside it (spec: "IDENTIFY").
"""

from collections.abc import Callable

from attrs import frozen

from nsqcore.net import tls
from nsqcore.net.bytestream import ByteStream
from nsqcore.reactor.transport import Codec, CodecStream, PrependedStream, serve_stream
from nsqcore.wire.deflate import DeflateCodec
from nsqcore.wire.errors import IdentifyFailed
from nsqcore.wire.frames import OK_FRAME, error_frame
from nsqd.client.client import TlsState
from nsqd.client.session import Session


def _refusal(error: tls.TlsError) -> bytes:
    return error_frame(IdentifyFailed(f"IDENTIFY failed {error}"))


@frozen
class Upgrader:
    """Performs upgrades; ``server_tls`` is None where there is no certificate."""

    server_tls: tls.ServerTls | None
    end_tick: Callable[[], None]

    async def upgrade(self, session: Session, stream: ByteStream) -> None:
        """Serve ``session`` over ``stream``, upgraded, until the connection ends.

        Raises TlsError, or what the stream raises, where the upgrade fails.
        """
        client = session.client
        identity = client.identity
        if leftover := session.parser.leftover():
            stream = PrependedStream(stream, leftover)
        if identity.tls and self.server_tls is not None:
            stream = await self.server_tls.accept(stream, farewell=_refusal)
            found = tls.facts(stream)
            client.tls = TlsState(
                version=found.version,
                cipher_suite=found.cipher_suite,
                negotiated_protocol=found.negotiated_protocol,
                common_name=found.common_name,
            )
            session.parser.tls_missing = False
            await stream.send_all(OK_FRAME)
        codec: Codec | None = None
        if identity.snappy:
            # its library takes 1.6 MB, for a compression that few clients use
            from nsqcore.wire.snappy import SnappyCodec

            codec = SnappyCodec()
        elif identity.deflate:
            codec = DeflateCodec(identity.deflate_level)
        if codec is not None:
            stream = CodecStream(stream, codec)
            await stream.send_all(OK_FRAME)
        await serve_stream(stream, session, end_tick=self.end_tick)
