"""Which roles a provider's groups give: the values of ``--oidc-role``."""

from collections.abc import Mapping, Sequence
from typing import Any

from nsqadmin.auth.accounts import Role, RoleOnTopics
from nsqcore.access.lines import parse_topics
from nsqcore.access.roles import ALL_TOPICS

_ROLES = {role.name.lower(): role for role in Role}


def parse_group_role(value: str) -> tuple[str, RoleOnTopics]:
    """Group and role of ``group=role[:topics]``; a group may have a ``=`` itself.

    Raises:
        ValueError: it is none.
    """
    group, _, given = value.rpartition("=")
    role, colon, topics = given.partition(":")
    if not group or role not in _ROLES:
        raise ValueError("expected group=viewer|operator|admin, perhaps with :orders*,billing")
    return group, RoleOnTopics(_ROLES[role], parse_topics(topics) if colon else (ALL_TOPICS,))


def grants_of(
    claims: Mapping[str, Any], claim: str, roles: Sequence[tuple[str, RoleOnTopics]]
) -> tuple[RoleOnTopics, ...]:
    """What the groups in ``claim``, a list or one name, allow; nothing if none has a role."""
    told = claims.get(claim)
    groups = {told} if isinstance(told, str) else set()
    if isinstance(told, list):
        groups = {group for group in told if isinstance(group, str)}
    return tuple(role for group, role in roles if group in groups)
