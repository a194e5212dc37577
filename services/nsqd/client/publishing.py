"""PUB, MPUB and DPUB: one road into the broker.

The reply's place in the outbox is taken at once, and filled when the storage says what has become
of the messages: commands behind it go on meanwhile.
"""

import logging

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
    services, outbox, topic, bodies = client.services, client.outbox, command.topic, command.bodies
    name = "MPUB" if command.many else "PUB"
    if services.settings.limits.auth_required:
        check_permission(client, name, topic, "", PUBLISH)
    reply = PublishReply(client, name, topic, len(bodies), command.replies)
    outbox.enter(reply)
    services.broker.publish(topic, bodies, services.now(), reply.done)
    # refused already: the commands behind it are not for a connection that ends
    return None if outbox.closing is None else Close()


def publish_deferred(client: Client, command: PublishDeferred) -> Close | None:
    """DPUB."""
    services, outbox, topic = client.services, client.outbox, command.topic
    check_permission(client, "DPUB", topic, "", PUBLISH)
    reply = PublishReply(client, "DPUB", topic, 1, 1)
    outbox.enter(reply)
    delay = command.delay * MS
    services.broker.publish(topic, [command.body], services.now(), reply.done, delay=delay)
    return None if outbox.closing is None else Close()


class PublishReply(Slot):
    """The place of the replies to ``replies`` commands that publish ``messages`` to ``topic``."""

    __slots__ = ("client", "messages", "name", "replies", "topic")

    def __init__(self, client: Client, name: str, topic: str, messages: int, replies: int) -> None:
        self.outbox = client.outbox
        self.data = None
        self.behind = []
        self.client = client
        self.name = name
        self.topic = topic
        self.messages = messages
        self.replies = replies

    def done(self, failure: str | None) -> None:
        """Answer, now that the storage has said what has become of the messages."""
        client, topic = self.client, self.topic
        if failure is None:
            counts = client.pub_counts
            counts[topic] = counts.get(topic, 0) + self.messages
            replies = self.replies
            self.outbox.fill(self, OK_FRAME if replies == 1 else OK_FRAME * replies)
        elif client.outbox.closing is None:
            error = FAILURES[self.name](f"{self.name} failed {failure}").because(failure)
            log_refusal(client, error)
            self.release(error_frame(error))
            client.outbox.close("publish failed")
        else:
            self.release(b"")  # the connection ends with the error before it


def create_topic(client: Client, command: CreateTopic) -> None:
    """The topic of a faulty MPUB, if the client may publish to it."""
    check_permission(client, "MPUB", command.topic, "", PUBLISH)
    try:
        client.services.broker.create_topic(command.topic)
    except (OSError, Exiting) as error:
        logger.debug("client(%s): %s", client.name, error)
