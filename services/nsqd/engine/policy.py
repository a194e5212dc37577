"""What an operator may decide for a topic or channel, and change while nsqd runs."""

from attrs import fields, frozen


@frozen(kw_only=True)
class Policy:
    """The rules for one topic or channel. Parts ask it when they need a rule and copy nothing.

    A field is what the flags say for all, unless a policy has a key of its name (`nsqd.policies`).

    Args:
        mem_queue_size: how many messages its queue keeps in memory.
        max_channel_consumers: how many consumers a channel may have; 0: any number.
        max_depth: how many messages may be queued; publishers are refused beyond. 0: any number.
        durability: what OK promises: none, os, interval or always (docs/guarantees.md).
        topology_aware: consumers nearby are served first, and deliveries counted by distance.
    """

    mem_queue_size: int = 10_000
    max_channel_consumers: int = 0
    max_depth: int = 0
    durability: str = "none"
    topology_aware: bool = False


POLICY_FIELDS = frozenset(field.name for field in fields(Policy))
