"""What a client may do now: the states of commands, permissions, and how it is told no."""

import logging

from nsqcore.names import quote
from nsqcore.units import SECOND
from nsqcore.wire.errors import AuthFirst, Invalid, ProtocolError, Unauthorized
from nsqcore.wire.frames import error_frame
from nsqd.client.client import Client, State

logger = logging.getLogger(__name__)

# Lines of the log in a second about what one client was refused.
LINES = 10

HOLDING = (State.SUBSCRIBED, State.CLOSING)

# The states in which a command is read at all; the others may come at any time.
STATES: dict[bytes, tuple[State, ...]] = {
    b"IDENTIFY": (State.INIT,),
    b"AUTH": (State.INIT,),
    b"SUB": (State.INIT,),
    b"RDY": HOLDING,
    b"FIN": HOLDING,
    b"REQ": HOLDING,
    b"TOUCH": HOLDING,
    b"TERM": HOLDING,
    b"CLS": (State.SUBSCRIBED,),
}


class PermissionsExpired(Exception):
    """The auth server is to be asked anew, and then the command tried again."""


def refuse(client: Client, error: ProtocolError) -> None:
    """Tell the client of ``error``, and the log."""
    log_refusal(client, error)
    client.outbox.add(error_frame(error))


def _is_worth_a_line(client: Client) -> bool:
    """Whether this refusal is among the first `LINES` of the second; tells how many were not."""
    second = client.services.now() // SECOND
    if second != client.refused_in:
        if client.refused > LINES:
            logger.error("[%s] - %d more refusals", client.name, client.refused - LINES)
        client.refused_in, client.refused = second, 0
    client.refused += 1
    return client.refused <= LINES


def log_refusal(client: Client, error: ProtocolError) -> None:
    """Tell the log that the client was refused something; of refusals by the thousand, a few."""
    if not error.fatal and not _is_worth_a_line(client):
        return
    cause = f" - {error.cause}" if error.cause else ""
    line = "client(%s) - %s %s%s" if error.fatal else "[%s] - %s %s%s"
    logger.error(line, client.name, error.code, str(error), cause)


def check_state(client: Client, name: bytes) -> None:
    """Raise Invalid if the command ``name`` may not come in the client's state."""
    allowed = STATES.get(name)
    if allowed is not None and client.state not in allowed:
        raise Invalid(f"cannot {name.decode()} in current state")


def check_permission(client: Client, name: str, topic: str, channel: str, permission: str) -> None:
    """Raise AuthFirst, Unauthorized or PermissionsExpired unless the client may do this.

    Where no auth servers are set everybody may do everything.
    """
    if not client.services.settings.limits.auth_required:
        return
    permissions = client.permissions
    if permissions is None:
        raise AuthFirst(f"AUTH required before {name}")
    if permissions.expires <= client.services.now():
        raise PermissionsExpired
    if not permissions.allow(topic, channel, permission):
        raise Unauthorized(f"AUTH failed for {name} on {quote(topic)} {quote(channel)}")
