"""What the engine refuses, and why; the session turns it into the protocol's errors."""

from nsqcore.errors import NsqError

# Why a publish is refused where a policy bounds the topic, or a channel of it.
TOPIC_FULL = "topic full"


class NotInFlight(NsqError):
    """No consumer of the channel holds the message."""


class NotOwner(NsqError):
    """Another consumer of the channel holds the message."""


class TooManyConsumers(NsqError):
    """The channel has all the consumers it may have."""


class Exiting(NsqError):
    """The topic or channel is gone, or the broker is closing."""
