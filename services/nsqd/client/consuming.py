"""SUB and what consumers send: RDY, FIN, REQ, TOUCH, CLS."""

import logging
from functools import partial
from random import random

from nsqcore.names import as_text
from nsqcore.units import MS
from nsqcore.wire.commands import Finish, Ready, Requeue, StartClose, Subscribe, Terminate, Touch
from nsqcore.wire.errors import FinFailed, Invalid, ReqFailed, SubFailed, TermFailed, TouchFailed
from nsqcore.wire.frames import CLOSE_WAIT_FRAME, OK_FRAME
from nsqcore.wire.lines import message_id, parse_number
from nsqd.client.client import Client, State
from nsqd.client.permissions import SUBSCRIBE
from nsqd.client.refusals import check_permission, check_state, refuse
from nsqd.client.subscriber import ClientSubscriber
from nsqd.engine.channel import Channel
from nsqd.engine.delivery.consumer import Consumer
from nsqd.engine.errors import Exiting, NotInFlight, NotOwner, TooManyConsumers

# Bytes of a TERM's reason that are kept.
MAX_REASON = 256

SHARED = (
    "SUB failed at the shared address of several nsqd: they have no nsqlookupd by which a consumer"
    " would find the others; connect to the own address of each"
)

logger = logging.getLogger(__name__)


def subscribe(client: Client, command: Subscribe) -> None:
    """SUB."""
    check_state(client, b"SUB")
    check_heartbeats(client)
    services = client.services
    if not services.may_subscribe():
        raise SubFailed(SHARED)
    if services.settings.limits.auth_required:
        check_permission(client, "SUB", command.topic, command.channel, SUBSCRIBE)
    identity = client.identity
    locality, counted = _localities(client)
    consumer = Consumer(
        ClientSubscriber(client),
        msg_timeout=identity.msg_timeout * MS,
        max_msg_timeout=services.settings.max_msg_timeout,
        sampled=partial(_sampled, identity.sample_rate) if identity.sample_rate else None,
        locality=locality,
        counted=counted,
    )
    try:
        channel = services.broker.create_channel(command.topic, command.channel)
        channel.add(consumer)
    except Exiting as error:
        failed = SubFailed("SUB failed to deal with exiting topic/channel")
        raise failed.because(error) from None
    except (TooManyConsumers, OSError) as error:
        raise SubFailed(f"SUB failed {error}").because(error) from None
    client.channel, client.consumer = channel, consumer
    client.state = State.SUBSCRIBED
    slot = client.outbox.hold()
    services.broker.topics[command.topic].when_open(partial(slot.release, OK_FRAME))


def _sampled(rate: int) -> bool:
    return random() * 100 <= rate


def check_heartbeats(client: Client) -> None:
    """Raise Invalid where the client has turned its heartbeats off."""
    if client.identity.heartbeat_interval <= 0:
        raise Invalid("cannot SUB with heartbeats disabled")


def _localities(client: Client) -> tuple[int, int]:
    """How near a client is to nsqd when it is served, and when its deliveries are counted.

    0 in the same zone, 1 in the same region, 2 elsewhere. A zone or region without a name makes
    nobody be served first, but counts as the same for those who said in IDENTIFY that they are in
    none, as in the original.
    """
    ours, theirs = client.services.settings.limits, client.identity
    zone = ours.topology_zone == theirs.topology_zone
    region = ours.topology_region == theirs.topology_region
    served = 0 if zone and ours.topology_zone else 1 if region and ours.topology_region else 2
    return served, 2 if not client.identified else 0 if zone else 1 if region else 2


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
    client.services.broker.mark_ready(channel)


def finish(client: Client, command: Finish) -> None:
    """FIN."""
    channel, consumer = _subscription(client, b"FIN")
    services = client.services
    wall = services.now() + services.broker.wall_offset
    for id in channel.finish(consumer, command.ids, wall):
        refuse(client, FinFailed(f"FIN {as_text(id)} failed {channel.not_held(id)}"))
    services.broker.mark_ready(channel)


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
    for id in channel.requeue(consumer, command.ids, min(delay * MS, longest), services.now()):
        refuse(client, ReqFailed(f"REQ {as_text(id)} failed {channel.not_held(id)}"))
    services.broker.mark_ready(channel)


def terminate(client: Client, command: Terminate) -> None:
    """TERM: of clients that asked for it; for others there is no such command."""
    if not client.identity.terminate:
        raise Invalid("invalid command TERM")
    channel, consumer = _subscription(client, b"TERM")
    message_id("TERM", command.ids, 1)
    why = as_text(b" ".join(command.words)[:MAX_REASON])
    error = "".join(c if c.isprintable() else "?" for c in why)
    for id in channel.terminate(consumer, command.ids, error):
        refuse(client, TermFailed(f"TERM {as_text(id)} failed {channel.not_held(id)}"))
    client.services.broker.mark_ready(channel)


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
