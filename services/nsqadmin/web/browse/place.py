"""Whose messages a request of the browser is about."""

from collections.abc import Mapping, Sequence

from nsqadmin.actions.perform import Action, allow
from nsqadmin.auth.principals import Principal
from nsqadmin.language.spoken import N_
from nsqcore.classes import frozen

# What is done to messages, on buttons.
BUTTONS = {
    "finish": N_("Finish"),
    "requeue": N_("Requeue"),
    "dead": N_("Dead-letter"),
    "copy": N_("Copy"),
}


@frozen
class Place:
    """A topic, or a channel of it."""

    topic: str
    channel: str

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.topic}/{self.channel}" if self.channel else self.topic

    @property
    def params(self) -> dict[str, str]:
        """For nsqds."""
        return {"topic": self.topic, **({"channel": self.channel} if self.channel else {})}

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> "Place":
        """That of a form or a URL."""
        return cls(fields.get("topic", "").strip(), fields.get("channel", "").strip())


def allow_reading(principal: Principal, place: Place) -> None:
    """Raises Refused where the principal may not see messages of ``place``."""
    allow(principal, Action(verb="read", topic=place.topic, channel=place.channel))


def read_picks(picks: Sequence[str]) -> list[tuple[str, str]]:
    """Node and id of each message that was chosen."""
    return [(node, id) for node, _, id in (pick.rpartition("|") for pick in picks)]
