"""All policies of one nsqd, and what they come to for a topic or a channel.

Those that match are merged key by key: the higher priority wins, and then a limit caps what it is
above. Two policies of the same priority that give a value to the same key of the same names are
refused when the second is defined, so that there is always one answer.

Those of ``--policy-file`` and those that were set over HTTP stand side by side; the file's can only
be changed there.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import combinations
from typing import Any

from nsqcore.classes import Factory, define, field, frozen
from nsqd.policies.errors import AmbiguousPolicy, InvalidPolicy, UnknownPolicy
from nsqd.policies.keys import KEYS, SUPPORTED
from nsqd.policies.policy import LIMIT, POLICY, Policy

# Each is looked at whenever a topic or channel is made, and with each other when a file is read.
MAX_POLICIES = 250
# What was merged is kept, for names that exist and others that were asked for.
_MAX_MERGED = 10_000


@frozen
class Value:
    """A value as it is used, and the policy that it comes from."""

    value: Any
    policy: Policy
    key: str

    def to_json(self) -> dict[str, Any]:
        """As it was given, with where it comes from."""
        return {
            "value": self.policy.definition[self.key],
            "policy": self.policy.name,
            "kind": self.policy.kind,
        }


@frozen
class Effective:
    """What all policies come to for one topic or channel."""

    values: Mapping[str, Value]

    def get(self, key: str, default: Any = None) -> Any:
        """The value of ``key`` as it is used; ``default`` where no policy says anything."""
        found = self.values.get(key)
        return default if found is None else found.value


NOTHING = Effective({})


@define(eq=False, repr=False)
class Policies:
    """The policies of one nsqd. ``supported`` are the keys that something acts on."""

    supported: Collection[str] = SUPPORTED
    #: By name, those set over HTTP and those of the file.
    own: dict[str, Policy] = Factory(dict)
    of_file: dict[str, Policy] = Factory(dict)
    _listeners: list[Callable[[], None]] = Factory(list)
    _merged: dict[tuple[str, str | None], Effective] = field(factory=dict, init=False)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Have ``listener`` called after each change: effective values may be others now."""
        self._listeners.append(listener)

    def all(self) -> list[Policy]:
        """Every policy, by name."""
        return sorted([*self.own.values(), *self.of_file.values()], key=lambda one: one.name)

    def with_policy(self, policy: Policy) -> dict[str, Policy]:
        """What `own` would be with ``policy``, in place of one of its name.

        Raises:
            InvalidPolicy: there are too many, or it is one of the file's.
            AmbiguousPolicy: another one ties with it.
        """
        self._refuse_file(policy.name)
        own = {**self.own, policy.name: policy}
        _check_number(len(own) + len(self.of_file))
        for other in (*own.values(), *self.of_file.values()):
            _check_tie(policy, other)
        return own

    def without(self, name: str) -> dict[str, Policy]:
        """What `own` would be without the policy ``name``.

        Raises:
            InvalidPolicy: it is one of the file's.
            UnknownPolicy: there is none.
        """
        self._refuse_file(name)
        if name not in self.own:
            raise UnknownPolicy(name)
        return {key: policy for key, policy in self.own.items() if key != name}

    def _refuse_file(self, name: str) -> None:
        if name in self.of_file:
            raise InvalidPolicy(f"{name} is in the policy file and can only be changed there")

    def set_own(self, own: Mapping[str, Policy]) -> None:
        """Put ``own``, checked by `with_policy` or `without`, into force."""
        self.own = dict(own)
        self._changed()

    def set_file(self, policies: Iterable[Policy]) -> None:
        """Put the policies of the file into force, in place of those it had.

        Raises:
            InvalidPolicy: two have one name, or there are too many; nothing is changed.
            AmbiguousPolicy: two tie; nothing is changed.
        """
        of_file: dict[str, Policy] = {}
        for policy in policies:
            if policy.name in of_file or policy.name in self.own:
                raise InvalidPolicy(f"{policy.name} is defined twice")
            of_file[policy.name] = policy
        together = [*self.own.values(), *of_file.values()]
        _check_number(len(together))
        for one, other in combinations(together, 2):
            _check_tie(one, other)
        self.of_file = of_file
        self._changed()

    def _changed(self) -> None:
        self._merged.clear()
        for listener in self._listeners:
            listener()

    def effective(self, topic: str, channel: str | None = None) -> Effective:
        """What they come to for ``topic``, or for a channel of it."""
        if not self.own and not self.of_file:
            return NOTHING
        name = (topic, channel)
        found = self._merged.get(name)
        if found is None:
            if len(self._merged) >= _MAX_MERGED:
                self._merged.clear()
            found = self._merged[name] = Effective(_merge(self.all(), topic, channel))
        return found


def _merge(policies: Iterable[Policy], topic: str, channel: str | None) -> dict[str, Value]:
    matching = [policy for policy in policies if policy.pattern.matches(topic, channel)]
    values: dict[str, Value] = {}
    for policy in sorted(matching, key=lambda one: one.priority):
        if policy.kind == POLICY:
            values |= _values(policy, channel)
    for policy in matching:
        if policy.kind == LIMIT:
            for key, cap in _values(policy, channel).items():
                if key not in values or cap.value < values[key].value:
                    values[key] = cap
    return values


def _values(policy: Policy, channel: str | None) -> dict[str, Value]:
    """The values that are about a topic, or where there is a ``channel``, about that."""
    return {
        key: Value(value, policy, key)
        for key, value in policy.values.items()
        if (KEYS[key].of_topics if channel is None else KEYS[key].of_channels)
    }


def _check_number(number: int) -> None:
    if number > MAX_POLICIES:
        raise InvalidPolicy(f"more than {MAX_POLICIES} policies")


def _check_tie(one: Policy, other: Policy) -> None:
    """Raises AmbiguousPolicy where neither would win."""
    if one is other or one.priority != other.priority or LIMIT in (one.kind, other.kind):
        return
    shared = sorted(set(one.values) & set(other.values))
    if shared and one.pattern.overlaps(other.pattern):
        raise AmbiguousPolicy(
            f"{one.name} ({one.pattern}) and {other.name} ({other.pattern}) both have priority"
            f" {one.priority} and set {', '.join(shared)}: give one of them another priority"
        )
