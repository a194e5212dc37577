"""What clients did and saw, and whether it is as an nsqd promises that keeps what it acknowledged.

Clients note every publish, delivery, FIN and kill with the time; `History.faults` compares. Bodies
are different from each other. Times are monotonic seconds of this machine.
"""

from collections import defaultdict
from itertools import pairwise

from attrs import Factory, define, field, frozen

# A FIN that was sent so many seconds before a kill may not have been read.
FIN_WINDOW = 5.0


@define
class Publish:
    """A message that somebody tried to publish. ``outcome``: ok, refused, or unknown."""

    due: float = 0.0
    outcome: str = "unknown"


@frozen
class Delivery:
    """A message as a consumer got it."""

    at: float
    attempts: int


@define(eq=False)
class History:
    """Of one topic. ``channels`` were there before the first publish."""

    channels: tuple[str, ...]
    publishes: dict[bytes, Publish] = Factory(dict)
    kills: list[float] = Factory(list)
    deliveries: dict[str, dict[bytes, list[Delivery]]] = field(init=False)
    finished: dict[str, dict[bytes, float]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.deliveries = {channel: defaultdict(list) for channel in self.channels}
        self.finished = {channel: {} for channel in self.channels}

    @property
    def acknowledged(self) -> set[bytes]:
        """What nsqd said OK to."""
        return {body for body, publish in self.publishes.items() if publish.outcome == "ok"}

    def missing(self) -> dict[str, set[bytes]]:
        """What was acknowledged and has not come, by channel."""
        acknowledged = self.acknowledged
        return {
            channel: left
            for channel in self.channels
            if (left := acknowledged - self.deliveries[channel].keys())
        }

    def faults(self) -> list[str]:
        """What is wrong, once everything that was to be delivered has been."""
        found = []
        for channel, bodies in self.missing().items():
            some = sorted(body[:20] for body in bodies)[:9]
            found.append(f"{channel}: lost {len(bodies)}, such as {some}")
        for channel in self.channels:
            for body, deliveries in self.deliveries[channel].items():
                wrong = self._faults(body, deliveries)
                found += [f"{channel}: {body[:20]!r} {fault}" for fault in wrong]
                found += self._came_again(channel, body, deliveries[-1].at)
        return found

    def _faults(self, body: bytes, deliveries: list[Delivery]) -> list[str]:
        publish = self.publishes.get(body)
        if publish is None:
            return ["was never published"]
        found = []
        if publish.outcome == "refused":
            found.append("was refused, and came")
        early = publish.due - deliveries[0].at
        if early > 0:
            found.append(f"came {early:.3f} s early")
        for one, two in pairwise(deliveries):
            if two.attempts < one.attempts + 1 - self._uncounted(deliveries, one.at, two.at):
                found.append(f"attempts fell from {one.attempts} to {two.attempts}")
        return found

    def _came_again(self, channel: str, body: bytes, last: float) -> list[str]:
        finished = self.finished[channel].get(body)
        if finished is None or last <= finished or self._kills(finished, finished + FIN_WINDOW):
            return []
        return [f"{channel}: {body[:20]!r} came again after its FIN, and nobody was killed"]

    def _uncounted(self, deliveries: list[Delivery], one: float, two: float) -> int:
        """How many of ``deliveries`` up to ``one`` may be missing from the attempts at ``two``.

        Nobody waits until a delivery is written down: a kill may take those shortly before it.
        """
        kills = [kill for kill in self.kills if one - FIN_WINDOW <= kill <= two]
        shortly = [
            sum(kill - FIN_WINDOW <= each.at <= kill for each in deliveries) for kill in kills
        ]
        return sum(max(1, count) for count in shortly)

    def _kills(self, start: float, end: float) -> int:
        return sum(start <= kill <= end for kill in self.kills)
