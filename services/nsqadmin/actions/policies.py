"""Policies set and deleted on every nsqd: checked, done, written to the log, notified."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from nsqadmin.actions.perform import Origin, printable, warning
from nsqadmin.auth.principals import Principal
from nsqadmin.auth.refused import Refused
from nsqadmin.core.admin import Admin
from nsqadmin.core.audit import DONE, FAILED, PARTIAL, REFUSED, audit
from nsqadmin.core.notify import AdminAction
from nsqadmin.language.spoken import gettext as _
from nsqcore.cluster.each import policies
from nsqcore.cluster.upstream import UpstreamError
from nsqcore.json import JsonError, decode
from nsqcore.units import SECOND

logger = logging.getLogger(__name__)

SET, DELETE = "set_policy", "delete_policy"


def allow(principal: Principal, verb: str, name: str) -> None:
    """Refuse what the principal may not do. Raises Refused, 403."""
    if not principal.may(verb):
        user = principal.user or "-"
        target = printable(name)
        logger.warning("user(%s): refused %s %s from %s", user, verb, target, principal.address)
        audit(verb, REFUSED, principal, policy=name)
        raise Refused(403, "FORBIDDEN")


def read_definition(text: str) -> dict[str, Any]:
    """What lines such as ``max_depth = 1000`` define: JSON values, or texts. Raises ValueError."""
    definition: dict[str, Any] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals or not key:
            raise ValueError(_("%(line)r is not KEY = VALUE", line=line))
        if key in definition:
            raise ValueError(_("%(key)s is there twice", key=key))
        try:
            definition[key] = decode(value)
        except JsonError:
            definition[key] = value
    return definition


async def set_policy(admin: Admin, name: str, raw: Mapping[str, Any], origin: Origin) -> str:
    """Define a policy on every nsqd; who did not take it while others did, or an empty text.

    Raises:
        Refused: not allowed, or nobody took it.
    """
    allow(origin.principal, SET, name)
    nodes = nodes_of(admin)
    failures = await policies.set_policy(admin.upstream, nodes, name, raw)
    pattern = raw.get("pattern")
    return _tell(admin, SET, name, pattern, nodes, failures, origin)


async def delete_policy(admin: Admin, name: str, origin: Origin) -> str:
    """Remove a policy from every nsqd that has it; who failed to while others did not.

    Raises:
        Refused: not allowed, or nobody could.
    """
    allow(origin.principal, DELETE, name)
    nodes = nodes_of(admin)
    failures = await policies.delete_policy(admin.upstream, nodes, name)
    having = [failure for failure in failures if failure.status != 404]
    if having or len(failures) < len(nodes):
        failures = tuple(having)
    return _tell(admin, DELETE, name, "", nodes, failures, origin)


def nodes_of(admin: Admin) -> list[str]:
    """The addresses of every nsqd that is known."""
    return [node.address for node in admin.collector.snapshot.nodes]


def _tell(
    admin: Admin,
    verb: str,
    name: str,
    pattern: object,
    nodes: Sequence[str],
    failures: Sequence[UpstreamError],
    origin: Origin,
) -> str:
    principal, target = origin.principal, printable(name)
    user = principal.user or "-"
    if len(failures) == len(nodes):
        reasons = "\n".join(dict.fromkeys(map(str, failures))) or "there is no nsqd"
        logger.error(
            "user(%s): failed to %s %s from %s: %s",
            user, verb, target, principal.address, reasons,
        )  # fmt: skip
        audit(verb, FAILED, principal, topic=str(pattern), policy=name, detail=reasons)
        refused = failures and all(400 <= failure.status < 500 for failure in failures)
        raise Refused(400 if refused else 502, reasons)
    logger.info("user(%s): %s %s from %s", user, verb, target, principal.address)
    outcome, detail = PARTIAL if failures else DONE, warning(failures)
    audit(verb, outcome, principal, topic=str(pattern), policy=name, detail=detail)
    for failure in failures:
        logger.warning("user(%s): %s: %s", user, verb, failure)
    admin.notifier.notify(
        AdminAction(
            action=verb,
            topic=str(pattern),
            policy=name,
            timestamp=admin.wall() // SECOND,
            user=principal.user,
            remote_ip=principal.address,
            user_agent=origin.user_agent,
            url=origin.url,
        )
    )
    return warning(failures)
