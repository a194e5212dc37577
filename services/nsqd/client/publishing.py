"""PUB, MPUB and DPUB: one road into the broker.

The reply's place in the outbox is taken at once, and filled when the storage says what has become
of the messages: commands behind it go on meanwhile.
"""

import logging
from functools import partial

from nsqcore.net.effects import Close
from nsqcore.net.outbox import Slot
from nsqcore.units import MS
from nsqcore.wire.commands import CreateTopic, Publish, PublishDeferred
from nsqcore.wire.errors import DpubFailed, MpubFailed, PubFailed
from nsqcore.wire.frames import OK_FRAME, error_frame
from nsqd.client.client import Client
from nsqd.client.permissions import PUBLISH
from nsqd.client.refusals import check_permission, log_refusal
from nsqd.engine.errors import Exiting

logger = logging.getLogger(__name__)

FAILURES = {"PUB": PubFailed, "MPUB": MpubFailed, "DPUB": DpubFailed}


def publish(client: Client, command: Publish) -> Close | None:
    """PUB and MPUB."""
    name = "MPUB" if command.many else "PUB"
    return _publish(client, name, command.topic, command.bodies, command.replies)


def publish_deferred(client: Client, command: PublishDeferred) -> Close | None:
    """DPUB."""
    return _publish(client, "DPUB", command.topic, [command.body], 1, command.delay * MS)


def _publish(
    client: Client, name: str, topic: str, bodies: list[bytes], replies: int, delay: int = 0
) -> Close | None:
    services = client.services
    if services.settings.limits.auth_required:
        check_permission(client, name, topic, "", PUBLISH)
    outbox = client.outbox
    done = partial(_published, client, outbox.hold(), name, topic, len(bodies), replies)
    services.broker.publish(topic, bodies, services.now(), done, delay=delay)
    # refused already: the commands behind it are not for a connection that ends
    return None if outbox.closing is None else Close()


def _published(
    client: Client,
    slot: Slot,
    name: str,
    topic: str,
    messages: int,
    replies: int,
    failure: str | None,
) -> None:
    """Answer ``replies`` commands that published ``messages`` to ``topic``."""
    if failure is None:
        counts = client.pub_counts
        counts[topic] = counts.get(topic, 0) + messages
        slot.release(OK_FRAME * replies)
    elif client.outbox.closing is None:
        error = FAILURES[name](f"{name} failed {failure}").because(failure)
        log_refusal(client, error)
        slot.release(error_frame(error))
        client.outbox.close("publish failed")
    else:
        slot.release(b"")  # the connection ends with the error before it


def create_topic(client: Client, command: CreateTopic) -> None:
    """The topic of a faulty MPUB, if the client may publish to it."""
    check_permission(client, "MPUB", command.topic, "", PUBLISH)
    try:
        client.services.broker.create_topic(command.topic)
    except (OSError, Exiting) as error:
        logger.debug("client(%s): %s", client.name, error)
