"""What follows when topics and channels come and go: registration, and lines in the log."""

import logging

from nsqcore.classes import frozen
from nsqd.engine.broker import Kind
from nsqd.engine.channel import Channel
from nsqd.engine.topic import Topic
from nsqd.lookup.registrar import LookupRegistrar
from nsqd.lookup.topic_channels import TopicChannels

logger = logging.getLogger(__name__)


@frozen(eq=False)
class Changes:
    """Listens to the broker."""

    registrar: LookupRegistrar
    topic_channels: TopicChannels

    def changed(self, kind: Kind, topic: Topic, channel: Channel | None) -> None:
        """Take note of a topic or channel that came, went or was paused."""
        self.registrar.changed(kind, topic, channel)
        _log(kind, topic, channel)
        if kind == "create" and channel is None and not topic.is_open:
            self.topic_channels.created(topic)


def _log(kind: Kind, topic: Topic, channel: Channel | None) -> None:
    """Note what came or went, in the lines of the original."""
    if kind == "create" and channel is None:
        logger.info("TOPIC(%s): created", topic.name)
    elif kind == "create" and channel is not None:
        logger.info("TOPIC(%s): new channel(%s)", topic.name, channel.name)
    elif kind == "delete" and channel is None:
        logger.info("TOPIC(%s): deleting", topic.name)
    elif kind == "delete" and channel is not None:
        logger.info("TOPIC(%s): deleting channel %s", topic.name, channel.name)
        logger.info("CHANNEL(%s): deleting", channel.name)
