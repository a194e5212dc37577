"""What each command does. One table, one function a command.

A function raises a `ProtocolError` to refuse; `execute` turns it into the error
frame. It returns an effect where I/O is needed; the commands behind it then wait
in ``client.pending``.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from nsqcore.names import as_text, quote
from nsqcore.net.effects import Close, Effect
from nsqcore.units import MS
from nsqcore.wire.commands import (
    Auth,
    Command,
    CreateTopic,
    Fault,
    Finish,
    Identify,
    Nop,
    Publish,
    PublishDeferred,
    Ready,
    Requeue,
    StartClose,
    Subscribe,
    Touch,
)
from nsqcore.wire.errors import (
    AuthDisabled,
    AuthFailed,
    AuthFirst,
    DpubFailed,
    FinFailed,
    Invalid,
    MpubFailed,
    ProtocolError,
    PubFailed,
    ReqFailed,
    SubFailed,
    TouchFailed,
    Unauthorized,
)
from nsqcore.wire.frames import CLOSE_WAIT_FRAME, OK_FRAME, error_frame, response_frame
from nsqcore.wire.identify import Identity, negotiate, parse_request
from nsqcore.wire.identify import reply as identify_reply
from nsqcore.wire.parser import parse_number
from nsqd.client.client import AuthorizeNow, Client, State, UpgradeNow
from nsqd.client.permissions import PUBLISH, SUBSCRIBE
from nsqd.engine.channel import Channel
from nsqd.engine.consumer import Consumer
from nsqd.engine.errors import Exiting, NotInFlight, NotOwner, TooManyConsumers

logger = logging.getLogger(__name__)


# Publishes of fewer messages are queued together with those of other clients.
FEW = 64

# Characters of an IDENTIFY that are logged: a client may repeat it as often as it likes.
MAX_LOGGED = 1024

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
    b"CLS": (State.SUBSCRIBED,),
}


# What a command may need of the session: an effect, or I/O that the session makes one of.
Outcome = Effect | UpgradeNow | AuthorizeNow | None


def execute(client: Client, commands: list[Command]) -> Outcome:
    """Act on ``commands``; stops at the first that needs I/O or ends the connection."""
    for done, command in enumerate(commands, 1):
        try:
            effect = HANDLERS[type(command)](client, command)
        except _PermissionsExpired:
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


def refuse(client: Client, error: ProtocolError) -> None:
    """Tell the client of ``error``, and the log."""
    cause = f" - {error.cause}" if error.cause else ""
    line = "client(%s) - %s %s%s" if error.fatal else "[%s] - %s %s%s"
    logger.error(line, client.name, error.code, str(error), cause)
    client.outbox.add(error_frame(error))


def check_state(client: Client, name: bytes) -> None:
    """Raise Invalid if the command ``name`` may not come in the client's state."""
    allowed = STATES.get(name)
    if allowed is not None and client.state not in allowed:
        raise Invalid(f"cannot {name.decode()} in current state")


# ------------------------------------------------------------------ publishing


def publish(client: Client, command: Publish) -> None:
    """PUB and MPUB."""
    services = client.services
    if services.settings.limits.auth_required:
        _check_permission(client, _name(command), command.topic, "", PUBLISH)
    if services.draining():
        raise _failed(command, "draining")
    if command.last and len(command.bodies) < FEW:
        outcome = partial(_published_soon, client, command)
        services.broker.publish_soon(command.topic, command.bodies, outcome)
        client.publishing = True
        return
    try:
        services.broker.publish(command.topic, command.bodies, services.now())
    except (OSError, Exiting) as error:
        raise _failed(command, str(error)) from None
    _published(client, command)


def _published(client: Client, command: Publish) -> None:
    topic, counts = command.topic, client.pub_counts
    counts[topic] = counts.get(topic, 0) + len(command.bodies)
    client.outbox.add(OK_FRAME * command.replies)


def _published_soon(client: Client, command: Publish, error: str | None) -> None:
    client.publishing = False
    if error is None:
        _published(client, command)
        return
    refuse(client, _failed(command, error))
    client.outbox.close("publish failed")


def _name(command: Publish) -> str:
    return "MPUB" if command.many else "PUB"


def _failed(command: Publish, error: str) -> ProtocolError:
    failed = MpubFailed if command.many else PubFailed
    return failed(f"{_name(command)} failed {error}").because(error)


def publish_deferred(client: Client, command: PublishDeferred) -> None:
    """DPUB."""
    services = client.services
    if services.settings.limits.auth_required:
        _check_permission(client, "DPUB", command.topic, "", PUBLISH)
    try:
        if services.draining():
            raise Exiting("draining")
        services.broker.defer(command.topic, command.body, command.delay * MS, services.now())
    except (OSError, Exiting) as error:
        raise DpubFailed(f"DPUB failed {error}").because(error) from None
    client.pub_counts[command.topic] = client.pub_counts.get(command.topic, 0) + 1
    client.outbox.add(OK_FRAME)


def create_topic(client: Client, command: CreateTopic) -> None:
    """The topic of a faulty MPUB, if the client may publish to it."""
    if client.services.settings.limits.auth_required:
        _check_permission(client, "MPUB", command.topic, "", PUBLISH)
    try:
        client.services.broker.topic(command.topic)
    except (OSError, Exiting) as error:
        logger.debug("client(%s): %s", client.name, error)


# ------------------------------------------------------------------ consuming


def subscribe(client: Client, command: Subscribe) -> None:
    """SUB."""
    check_state(client, b"SUB")
    _check_heartbeats(client)
    services = client.services
    if services.settings.limits.auth_required:
        _check_permission(client, "SUB", command.topic, command.channel, SUBSCRIBE)
    identity = client.identity
    consumer = Consumer(
        send=client.outbox.add,
        unread=lambda: client.outbox.size,
        when_drained=partial(_when_drained, client),
        channel_deleted=lambda: client.outbox.close("channel deleted"),
        msg_timeout=identity.msg_timeout * MS,
        max_msg_timeout=services.settings.max_msg_timeout,
        sample_rate=identity.sample_rate,
        locality=_locality(client),
        owner=client,
    )
    try:
        channel = services.broker.channel(command.topic, command.channel)
        channel.add(consumer)
    except Exiting as error:
        failed = SubFailed("SUB failed to deal with exiting topic/channel")
        raise failed.because(error) from None
    except (TooManyConsumers, OSError) as error:
        raise SubFailed(f"SUB failed {error}").because(error) from None
    client.channel, client.consumer = channel, consumer
    client.state = State.SUBSCRIBED
    client.outbox.add(OK_FRAME)


def _when_drained(client: Client, call: Callable[[], None]) -> None:
    def drained() -> None:
        call()
        client.services.request_tick()

    client.outbox.drained = drained


def _check_heartbeats(client: Client) -> None:
    if client.identity.heartbeat_interval <= 0:
        raise Invalid("cannot SUB with heartbeats disabled")


def _locality(client: Client) -> int:
    ours, theirs = client.services.settings.limits, client.identity
    if not ours.topology_region or ours.topology_region != theirs.topology_region:
        return 2
    return 0 if ours.topology_zone and ours.topology_zone == theirs.topology_zone else 1


def _subscription(client: Client, name: bytes) -> tuple[Channel, Consumer]:
    check_state(client, name)
    assert client.channel is not None
    assert client.consumer is not None
    return client.channel, client.consumer


def ready(client: Client, command: Ready) -> None:
    """RDY."""
    channel, consumer = _subscription(client, b"RDY")
    if client.state is State.CLOSING:
        return  # whatever it says: nothing more is sent
    count = 1 if command.count is None else parse_number(command.count)
    if count is None:
        raise Invalid(f"RDY could not parse count {as_text(command.count or b'')}")
    most = client.services.settings.limits.max_rdy_count
    if count > most:
        raise Invalid(f"RDY count {count} out of range 0-{most}")
    consumer.ready = count
    client.services.broker.mark(channel)


def finish(client: Client, command: Finish) -> None:
    """FIN."""
    channel, consumer = _subscription(client, b"FIN")
    services = client.services
    wall = services.now() + services.broker.wall_offset
    for id in channel.finish(consumer, command.ids, wall):
        refuse(client, FinFailed(f"FIN {as_text(id)} failed {channel.not_held(id)}"))
    services.broker.mark(channel)


def requeue(client: Client, command: Requeue) -> None:
    """REQ."""
    channel, consumer = _subscription(client, b"REQ")
    services = client.services
    delay = parse_number(command.delay)
    if delay is None:
        raise Invalid(f"REQ could not parse timeout {as_text(command.delay)}")
    longest = services.settings.max_req_timeout
    if delay * MS > longest:
        logger.info("client(%s): REQ timeout %d ms clamped", client.name, delay)
    try:
        channel.requeue(consumer, command.id, min(delay * MS, longest), services.now())
    except (NotInFlight, NotOwner) as error:
        raise ReqFailed(f"REQ {as_text(command.id)} failed {error}") from None
    services.broker.mark(channel)


def touch(client: Client, command: Touch) -> None:
    """TOUCH."""
    channel, consumer = _subscription(client, b"TOUCH")
    try:
        channel.touch(consumer, command.id, client.services.now())
    except (NotInFlight, NotOwner) as error:
        raise TouchFailed(f"TOUCH {as_text(command.id)} failed {error}") from None


def start_close(client: Client, command: StartClose) -> None:
    """CLS."""
    _, consumer = _subscription(client, b"CLS")
    consumer.closing = True
    consumer.ready = 0
    client.state = State.CLOSING
    client.outbox.add(CLOSE_WAIT_FRAME)


# ------------------------------------------------------------------ the session itself


def identify(client: Client, command: Identify) -> UpgradeNow | None:
    """IDENTIFY."""
    check_state(client, b"IDENTIFY")
    limits = client.services.settings.limits
    request = parse_request(command.body)
    logger.info("[%s] IDENTIFY: %s", client.name, str(request)[:MAX_LOGGED])
    identity = negotiate(request, client.identity, limits)
    if request.feature_negotiation:
        _check_upgrades(client, identity)
    client.identity = identity
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


class _PermissionsExpired(Exception):
    """The auth server is to be asked anew, and then the command tried again."""


def _check_permission(client: Client, name: str, topic: str, channel: str, permission: str) -> None:
    permissions = client.permissions
    if permissions is None:
        raise AuthFirst(f"AUTH required before {name}")
    if permissions.expires <= client.services.now():
        raise _PermissionsExpired
    if not permissions.allow(topic, channel, permission):
        raise Unauthorized(f"AUTH failed for {name} on {quote(topic)} {quote(channel)}")


def nop(client: Client, command: Nop) -> None:
    """NOP: receiving anything at all was its point."""


def fault(client: Client, command: Fault) -> Effect | None:
    """Bytes that were not the protocol."""
    # without the TLS that is required the state does not matter
    if client.tls is not None or not client.services.settings.tls_required:
        check_state(client, command.command)
        if command.command == b"SUB":
            _check_heartbeats(client)
    if command.silent:
        logger.error("client(%s): %s", client.name, str(command.error))
        return Close()
    # not raised: the command would be kept by the traceback of its own error
    refuse(client, command.error)
    return Close()


HANDLERS: dict[type, Callable[[Client, Any], Outcome]] = {
    Publish: publish,
    PublishDeferred: publish_deferred,
    Finish: finish,
    Requeue: requeue,
    Touch: touch,
    Ready: ready,
    Subscribe: subscribe,
    Identify: identify,
    Auth: authenticate,
    StartClose: start_close,
    Nop: nop,
    CreateTopic: create_topic,
    Fault: fault,
}
