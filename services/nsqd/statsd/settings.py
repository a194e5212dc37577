"""What is known of a statsd daemon before there is anything to tell it."""

from nsqcore.classes import frozen


@frozen(kw_only=True)
class StatsdSettings:
    """The statsd part of nsqd's options: ``interval`` is seconds, ``memory`` sends that too.

    In ``prefix``, ``%s`` stands for the host (`expand_prefix`).
    """

    address: str
    prefix: str
    interval: float
    packet_size: int = 508
    exclude_ephemeral: bool = False
    memory: bool = True
