"""PUB, MPUB and DPUB: one road into the broker.

The reply's place in the outbox is taken at once, and filled when the storage says what has become
of the messages: commands behind it go on meanwhile.
"""

import logging

from nsqcore.classes import define
from nsqcore.net.effects import Close
from nsqcore.net.outbox import Slot
from nsqcore.units import MS
from nsqcore.wire.commands import CreateTopic, Publish, PublishDeferred, PublishHeaded
from nsqcore.wire.errors import DpubFailed, MpubFailed, PubFailed
from nsqcore.wire.frames import OK_FRAME, error_frame
from nsqd.client.client import Client, OthersFirst
from nsqd.client.permissions import PUBLISH
from nsqd.client.refusals import check_permission, log_refusal
from nsqd.engine.errors import TOPIC_FULL, Exiting

logger = logging.getLogger(__name__)

# Topics made in one tick, by everybody, before others have their turn: some ten milliseconds' work.
NEW_TOPICS = 64

FAILURES = {
    "PUB": PubFailed,
    "MPUB": MpubFailed,
    "DPUB": DpubFailed,
    "XPUB": PubFailed,
    "XMPUB": MpubFailed,
}


def publish(client: Client, command: Publish) -> Close | OthersFirst | None:
    """PUB and MPUB."""
    services, outbox, topic, bodies = client.services, client.outbox, command.topic, command.bodies
    name = "MPUB" if command.many else "PUB"
    if services.settings.limits.auth_required:
        check_permission(client, name, topic, "", PUBLISH)
    broker = services.broker
    crowded = broker.newcomers >= NEW_TOPICS and topic not in broker.topics
    reply = PublishReply(outbox, client, name, topic, len(bodies), command.replies)
    outbox.enter(reply)
    broker.publish(topic, bodies, services.now(), reply.done)
    if outbox.closing is None and not crowded:
        return None
    return _after(client)


def _after(client: Client) -> Close | OthersFirst:
    """What comes after a publish that was refused, or made one new topic more of many."""
    # refused already: the commands behind it are not for a connection that ends
    return OthersFirst() if client.outbox.closing is None else Close()


def publish_deferred(client: Client, command: PublishDeferred) -> Close | OthersFirst | None:
    """DPUB."""
    services, outbox, topic = client.services, client.outbox, command.topic
    check_permission(client, "DPUB", topic, "", PUBLISH)
    broker = services.broker
    crowded = broker.newcomers >= NEW_TOPICS and topic not in broker.topics
    reply = PublishReply(outbox, client, "DPUB", topic, 1, 1)
    outbox.enter(reply)
    delay = command.delay * MS
    broker.publish(topic, [command.body], services.now(), reply.done, delay=delay)
    return _after(client) if crowded or outbox.closing is not None else None


def publish_headed(client: Client, command: PublishHeaded) -> Close | OthersFirst | None:
    """XPUB and XMPUB."""
    services, outbox, topic = client.services, client.outbox, command.topic
    name = "XMPUB" if command.many else "XPUB"
    check_permission(client, name, topic, "", PUBLISH)
    broker = services.broker
    crowded = broker.newcomers >= NEW_TOPICS and topic not in broker.topics
    reply = PublishReply(outbox, client, name, topic, len(command.bodies), 1)
    outbox.enter(reply)
    delay = command.delay * MS
    broker.publish_headed(topic, command.bodies, services.now(), reply.done, delay=delay)
    return _after(client) if crowded or outbox.closing is not None else None


@define(eq=False, repr=False)
class PublishReply(Slot):
    """The place of the replies to ``replies`` commands that publish ``messages`` to ``topic``."""

    client: Client
    name: str
    topic: str
    messages: int
    replies: int

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
            if failure == TOPIC_FULL and client.identity.soft_errors:
                self.release(error_frame(error) * self.replies)
                return
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
