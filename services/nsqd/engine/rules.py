"""What an operator may decide for a topic or channel, and change while nsqd runs."""

from attrs import fields

from nsqcore.classes import field, frozen

REJECT, DROP_OLDEST, DEAD_LETTER = "reject", "drop_oldest", "dead_letter"


@frozen(kw_only=True)
class Rules:
    """The rules for one topic or channel. Parts ask it when they need a rule and copy nothing.

    A field is what the flags say for all, unless a policy has a key of its name (`nsqd.policies`).

    Args:
        mem_queue_size: how many messages its queue keeps in memory.
        max_channel_consumers: how many consumers a channel may have; 0: any number.
        max_depth: how many messages may be queued; publishers are refused beyond. 0: any number.
        durability: what OK promises: none, os, interval or always (docs/guarantees.md).
        overflow: what becomes of messages beyond that: ``reject`` refuses the publisher;
            ``drop_oldest`` and ``dead_letter`` make room in the channel.
        max_attempts: how often a message is delivered before it is dead. 0: any number of times.
        dead_letter_topic: where dead messages go; ``discard``: nowhere. Empty: `TOPIC.dead`.
        message_ttl: how long after its publication a message is delivered, in ns. 0: for ever.
        topology_aware: consumers nearby are served first, and deliveries counted by distance.
    """

    mem_queue_size: int = 10_000
    max_channel_consumers: int = 0
    max_depth: int = 0
    overflow: str = REJECT
    max_attempts: int = 0
    dead_letter_topic: str = ""
    message_ttl: int = 0
    durability: str = "none"
    topology_aware: bool = False
    #: Whether each message is looked at before it is delivered.
    sifts: bool = field(init=False)
    #: Whether there may be more messages than there are to be.
    trims: bool = field(init=False)
    #: Whether messages may have to leave that nobody asks for.
    tidies: bool = field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "sifts", bool(self.max_attempts or self.message_ttl))
        object.__setattr__(self, "trims", bool(self.max_depth and self.overflow != REJECT))
        object.__setattr__(self, "tidies", bool(self.trims or self.message_ttl))

    def is_full(self, depth: int, count: int) -> bool:
        """Whether ``count`` more messages are refused where ``depth`` are queued."""
        return bool(self.max_depth) and not self.trims and depth + count > self.max_depth

    @property
    def speaks(self) -> bool:
        """Whether messages may be refused, too."""
        return bool(self.max_depth) or self.buries

    @property
    def buries(self) -> bool:
        """Whether messages may be dead, or be dropped."""
        return self.sifts or self.trims or bool(self.dead_letter_topic)


RULE_FIELDS = frozenset(one.name for one in fields(Rules) if one.init)
