"""Roles over HTTP, what an endpoint needs, and what somebody was granted."""

import enum
from typing import Protocol

from nsqcore.classes import field, frozen
from nsqcore.globs import matches
from nsqcore.names import is_valid_name


class Role(enum.Enum):
    """What a credential is for. ``operate`` includes ``read``, and ``admin`` everything."""

    PUBLISH = "publish"
    READ = "read"
    OPERATE = "operate"
    ADMIN = "admin"


#: Which roles include each.
INCLUDED_IN = {
    Role.PUBLISH: frozenset((Role.PUBLISH, Role.ADMIN)),
    Role.READ: frozenset((Role.READ, Role.OPERATE, Role.ADMIN)),
    Role.OPERATE: frozenset((Role.OPERATE, Role.ADMIN)),
    Role.ADMIN: frozenset((Role.ADMIN,)),
}
ALL_TOPICS = "*"
# Topics of which it is remembered whether a grant covers them: matching a glob takes 20 us.
MAX_KNOWN = 1000


@frozen(eq=False)
class Rule:
    """What an endpoint needs of who asks.

    Args:
        role: the role; None lets everybody in.
        topics: the query parameters that name topics; where one is missing, or is no name, the
            request is about every topic.
        every_topic: it is about every topic, whatever it is asked.
        metrics: operators may choose to let everybody in.
    """

    role: Role | None
    topics: tuple[str, ...] = ()
    every_topic: bool = False
    metrics: bool = False


OPEN = Rule(None)
READ = Rule(Role.READ)
READ_TOPIC = Rule(Role.READ, ("topic",))
READ_ALL = Rule(Role.READ, every_topic=True)
METRICS = Rule(Role.READ, every_topic=True, metrics=True)
PUBLISH_TOPIC = Rule(Role.PUBLISH, ("topic",))
OPERATE_TOPIC = Rule(Role.OPERATE, ("topic",))
OPERATE_ALL = Rule(Role.OPERATE, every_topic=True)
OPERATE_BOTH = Rule(Role.OPERATE, ("topic", "to"))
ADMIN = Rule(Role.ADMIN, every_topic=True)


class Grant(Protocol):
    """What one credential allows."""

    @property
    def name(self) -> str:
        """Whose it is, for logs."""

    def missing(self, role: Role, topic: str | None, channel: str) -> str:
        """What it lacks to use ``role`` on ``topic``; empty where it lacks nothing.

        ``topic`` is None for all topics and "" for none at all; ``channel`` is "" for the topic.
        """


@frozen
class RoleGrant:
    """Roles on the topics that match any of some globs; those of a line of the file."""

    name: str
    roles: frozenset[Role]
    topics: tuple[str, ...] = (ALL_TOPICS,)
    _known: dict[str, bool] = field(factory=dict, init=False, eq=False, repr=False)

    def missing(self, role: Role, topic: str | None, channel: str) -> str:
        """As `Grant.missing`."""
        if not self.roles & INCLUDED_IN[role]:
            return f"role {role.value}"
        if topic == "" or ALL_TOPICS in self.topics:
            return ""
        # what is no name could be read as a glob itself
        if topic is None or not is_valid_name(topic):
            return "all topics"
        return "" if self._covers(topic) else f"topic {topic}"

    def _covers(self, topic: str) -> bool:
        covered = self._known.get(topic)
        if covered is None:
            covered = any(matches(glob, topic) for glob in self.topics)
            if len(self._known) < MAX_KNOWN:
                self._known[topic] = covered
        return covered
