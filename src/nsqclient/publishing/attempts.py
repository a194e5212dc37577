"""What one publish has tried."""

from collections.abc import Sequence
from typing import NoReturn

from nsqclient.connection.connection import Connection
from nsqclient.core.errors import (
    AuthFailed,
    ClientError,
    ConnectionLost,
    ProtocolError,
    PublishError,
)
from nsqclient.publishing.endpoint import Endpoint
from nsqcore.classes import Factory, define


@define(eq=False, repr=False)
class Attempts:
    """What one publish has tried so far.

    Attributes:
        tried: the connections whose answer never came, or never could.
        refusals: the nsqds that cannot take messages now, with what they said.
        lost: the attempts that may have published the message.
        dialled: whether the nsqds that are down were asked to connect at once.
        asked: the nsqlookupds that were asked for other nsqds then (see `Nodes.is_heard`).
        taken: the nsqds that have a copy of the message.
    """

    tried: list[Connection] = Factory(list)
    refusals: dict[Endpoint, ProtocolError] = Factory(dict)
    lost: list[ConnectionLost] = Factory(list)
    dialled: bool = False
    asked: dict[str, int] = Factory(dict)
    taken: Sequence[Endpoint] = ()

    def fail(self, errors: list[ClientError], reasons: list[str]) -> NoReturn:
        """Raise that no nsqd is left: their ``errors``, and ``reasons`` why there is no other."""
        if self.refusals:
            *_, refusal = self.refusals.values()
            raise PublishError(str(refusal), code=refusal.code) from refusal
        text = "; ".join([*map(str, errors), *reasons])
        cause = errors[-1] if errors else None
        if isinstance(cause, AuthFailed) and all(isinstance(e, AuthFailed) for e in errors):
            raise AuthFailed(text, code=cause.code) from cause
        raise ConnectionLost(f"no nsqd to publish to: {text}") from cause
