"""Upgrades of a V2 connection: TLS, then deflate or snappy, as IDENTIFY agreed.

The session stays the same; only the layers under it change. Each is announced by an OK inside it
(spec: "IDENTIFY").
"""

from functools import partial

from nsqcore.errors import NsqError
from nsqcore.net.effects import Effect, Upgrade
from nsqcore.net.layers import Codec, Compression
from nsqcore.net.tls import ServerTls
from nsqcore.net.tls_layer import TlsLayer
from nsqcore.wire.compression.deflate import DeflateCodec
from nsqcore.wire.errors import IdentifyFailed
from nsqcore.wire.frames import OK_FRAME, error_frame
from nsqd.client.client import TlsState
from nsqd.client.session import Session


def upgrade(server_tls: ServerTls | None, session: Session) -> Effect | None:
    """What the driver is to do for what IDENTIFY agreed; without a certificate there is no TLS."""
    first = session.parser.leftover()
    if session.client.identity.tls and server_tls is not None:
        layer = server_tls.layer()
        return Upgrade(layer, partial(_encrypted, session, layer), first, _refusal)
    return _compress(session, first)


def _refusal(error: NsqError) -> bytes:
    return error_frame(IdentifyFailed(f"IDENTIFY failed {error}"))


def _encrypted(session: Session, layer: TlsLayer) -> Effect | None:
    info = layer.info()
    session.client.tls = TlsState(
        version=info.version,
        cipher_suite=info.cipher_suite,
        negotiated_protocol=info.negotiated_protocol,
        common_name=info.common_name,
        verified_names=layer.verified_names(),
    )
    session.parser.tls_missing = False
    session.outbox.add(OK_FRAME)
    return _compress(session, b"")


def _compress(session: Session, first: bytes) -> Effect | None:
    identity = session.client.identity
    codec: Codec
    if identity.snappy:
        # its library takes 1.6 MB, for a compression that few clients use
        from nsqcore.wire.compression.snappy import SnappyCodec

        codec = SnappyCodec()
    elif identity.deflate:
        codec = DeflateCodec(identity.deflate_level)
    else:
        return None
    return Upgrade(Compression(codec), partial(session.outbox.add, OK_FRAME), first)
