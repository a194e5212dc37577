"""What each command does: one table, and the commands of the session itself.

A function raises a `ProtocolError` to refuse; `execute` turns it into the error
frame. It returns an effect where I/O is needed; the commands behind it then wait
in ``client.pending``.
"""

import logging
from collections.abc import Callable
from typing import Any

from nsqcore.net.effects import Close, Effect
from nsqcore.wire.commands import (
    Auth,
    Command,
    CreateTopic,
    Finish,
    Identify,
    Nop,
    ParseError,
    Publish,
    PublishDeferred,
    PublishHeaded,
    Ready,
    Requeue,
    StartClose,
    Subscribe,
    Terminate,
    Touch,
)
from nsqcore.wire.errors import AuthDisabled, AuthFailed, Invalid, ProtocolError, Unauthorized
from nsqcore.wire.frames import OK_FRAME, response_frame
from nsqcore.wire.identify import Identity, negotiate, parse_request
from nsqcore.wire.identify import reply as identify_reply
from nsqd.client.client import AuthorizeNow, Client, OthersFirst, UpgradeNow
from nsqd.client.consuming import (
    check_heartbeats,
    finish,
    ready,
    requeue,
    start_close,
    subscribe,
    terminate,
    touch,
)
from nsqd.client.publishing import create_topic, publish, publish_deferred, publish_headed
from nsqd.client.refusals import PermissionsExpired, check_state, refuse

logger = logging.getLogger(__name__)

# Characters of an IDENTIFY that the log shows.
MAX_LOGGED = 1024

# What a command may need of the session: an effect, or I/O that the session makes one of.
Wanted = Effect | UpgradeNow | AuthorizeNow | OthersFirst | None


def execute(client: Client, commands: list[Command]) -> Wanted:
    """Act on ``commands``; stops at the first that needs I/O or ends the connection."""
    for done, command in enumerate(commands, 1):
        try:
            effect = HANDLERS[type(command)](client, command)
        except PermissionsExpired:
            client.pending = commands[done - 1 :]
            return AuthorizeNow()
        except ProtocolError as error:
            refuse(client, error)
            if error.fatal:
                return Close()
            continue
        if effect is not None:
            client.pending = commands[done:]
            return effect
    return None


def identify(client: Client, command: Identify) -> UpgradeNow | None:
    """IDENTIFY."""
    check_state(client, b"IDENTIFY")
    limits = client.services.settings.limits
    request = parse_request(command.body)
    if logger.isEnabledFor(logging.INFO):
        logger.info("[%s] IDENTIFY: %s", client.name, str(request)[:MAX_LOGGED])
    identity = negotiate(request, client.identity, limits)
    if request.feature_negotiation:
        _check_upgrades(client, identity)
    client.identity, client.identified = identity, True
    if not request.feature_negotiation:
        client.outbox.add(OK_FRAME)
        return None
    client.outbox.add(response_frame(identify_reply(identity, limits)))
    if identity.tls or identity.deflate or identity.snappy:
        client.compressed = identity.deflate or identity.snappy
        return UpgradeNow()
    return None


def _check_upgrades(client: Client, identity: Identity) -> None:
    """Raise Invalid if ``identity`` asks for TLS or compression inside what there is already."""
    compresses = identity.deflate or identity.snappy
    if client.compressed and (compresses or identity.tls):
        raise Invalid("cannot IDENTIFY with TLS or compression inside a compressed connection")
    if client.tls is not None and identity.tls:
        raise Invalid("cannot IDENTIFY with TLS inside TLS")


def authenticate(client: Client, command: Auth) -> AuthorizeNow:
    """AUTH: has the auth server asked; `authenticated` is what comes after."""
    check_state(client, b"AUTH")
    if client.permissions is not None:
        raise Invalid("AUTH already set")
    if not client.services.settings.limits.auth_required:
        raise AuthDisabled("AUTH disabled")
    client.secret = command.secret
    return AuthorizeNow()


def authenticated(client: Client) -> None:
    """Take in what the auth server said. Raises AuthFailed, Unauthorized."""
    if client.permissions is None:
        raise AuthFailed("AUTH failed").because(client.auth_failure)
    if client.authed:
        return  # asked again for a command, which is judged by what there is now
    if not client.permissions.authorizations:
        raise Unauthorized("AUTH no authorizations found")
    client.authed = True
    client.outbox.add(response_frame(client.permissions.reply()))


def nop(client: Client, command: Nop) -> None:
    """NOP: receiving anything at all was its point."""


def parse_error(client: Client, command: ParseError) -> Effect | None:
    """Bytes that were not the protocol."""
    # without the TLS that is required the state does not matter
    if client.tls is not None or not client.services.settings.tls_required:
        check_state(client, command.command)
        if command.command == b"SUB":
            check_heartbeats(client)
    if command.silent:
        logger.error("client(%s): %s", client.name, str(command.error))
        return Close()
    # not raised: the command would be kept by the traceback of its own error
    refuse(client, command.error)
    return Close()


HANDLERS: dict[type, Callable[[Client, Any], Wanted]] = {
    Publish: publish,
    PublishDeferred: publish_deferred,
    PublishHeaded: publish_headed,
    Finish: finish,
    Requeue: requeue,
    Touch: touch,
    Terminate: terminate,
    Ready: ready,
    Subscribe: subscribe,
    Identify: identify,
    Auth: authenticate,
    StartClose: start_close,
    Nop: nop,
    CreateTopic: create_topic,
    ParseError: parse_error,
}
