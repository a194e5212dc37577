"""Admin actions: checked, done, written to the log, notified.

Both roads to a change end here: the JSON API and the forms of the pages. An action is refused with
`Refused`, which carries the status and text of the API; daemons that failed while others did it
come back as a warning text.
"""

import logging
from collections.abc import Sequence

import attrs

from nsqadmin.auth.principals import Principal
from nsqadmin.auth.refused import Refused
from nsqadmin.core.admin import Admin
from nsqadmin.core.audit import DONE, FAILED, PARTIAL, REFUSED, audit
from nsqadmin.core.notify import AdminAction
from nsqcore.classes import frozen
from nsqcore.cluster.upstream import AllFailed, UpstreamError
from nsqcore.names import is_valid_name
from nsqcore.units import SECOND

logger = logging.getLogger(__name__)

# Characters of what a request says that the log shows: names have 64.
_LOGGED = 200
VERBS = ("pause", "unpause", "empty", "delete", "create", "tombstone")


@frozen(kw_only=True)
class Action:
    """A change somebody wants: a verb of `VERBS` on a topic or, if it is named, a channel.

    ``node`` limits it to one nsqd, by HTTP address; tombstone needs it.
    """

    verb: str
    topic: str
    channel: str = ""
    node: str = ""

    @property
    def name(self) -> str:
        """What notifications and the log call it."""
        if self.verb == "tombstone":
            return "tombstone_topic_producer"
        if self.verb == "publish" or self.verb.endswith("_messages"):
            return self.verb
        return f"{self.verb}_{'channel' if self.channel else 'topic'}"

    @property
    def target(self) -> str:
        """What it acts on, for people."""
        name = f"{self.topic}/{self.channel}" if self.channel else self.topic
        return f"{name} on {self.node}" if self.node else name


@frozen(kw_only=True)
class Origin:
    """The request that an action came with."""

    principal: Principal
    user_agent: str
    url: str


def warning(failures: Sequence[UpstreamError]) -> str:
    """The API's ``message`` for daemons that failed while others did not."""
    return f"WARNING: {'; '.join(str(failure) for failure in failures)}" if failures else ""


def upstream_error(error: AllFailed) -> Refused:
    """The API's answer when no daemon at all could be asked."""
    return Refused(502, f"UPSTREAM_ERROR: {error}")


def allow(principal: Principal, action: Action, *, right: str = "") -> None:
    """Refuse what the principal may not do.

    Args:
        right: the verb whose right is needed, where the action's own verb may be none. Dead letters
            name the topics that they go back to themselves: to redrive needs all topics.

    Raises:
        Refused: 403.
    """
    if not principal.may(right or action.verb, action.topic if right != "redrive" else ""):
        logger.warning(
            "user(%s): refused %s %s from %s",
            principal.user or "-", printable(action.name), printable(action.target),
            principal.address,
        )  # fmt: skip
        record(principal, action, REFUSED)
        raise Refused(403, "FORBIDDEN")


def record(
    principal: Principal,
    action: Action,
    outcome: str,
    *,
    count: int | None = None,
    detail: str = "",
) -> None:
    """Write ``action`` into the audit log."""
    audit(
        action.name,
        outcome,
        principal,
        topic=action.topic,
        channel=action.channel,
        node=action.node,
        count=count,
        detail=detail,
    )


def printable(text: str) -> str:
    """``text`` for the log, which is read line by line."""
    return "".join(c if c.isprintable() else "?" for c in text[:_LOGGED])


async def perform(admin: Admin, action: Action, origin: Origin) -> str:
    """Do ``action``; the warning about daemons that failed, or an empty text.

    Raises:
        Refused: not allowed, not valid, or nobody could be asked.
    """
    allow(origin.principal, action)
    if action.verb in ("create", "tombstone") and not is_valid_name(action.topic):
        raise Refused(400, "INVALID_TOPIC")
    if action.verb == "create" and action.channel and not is_valid_name(action.channel):
        raise Refused(400, "INVALID_CHANNEL")
    principal, user = origin.principal, origin.principal.user or "-"
    try:
        failures = await _do(admin, action)
    except AllFailed as error:
        logger.error(
            "user(%s): failed to %s %s from %s: %s",
            user, action.name, printable(action.target), principal.address, error,
        )  # fmt: skip
        record(principal, action, FAILED, detail=str(error))
        raise upstream_error(error) from error
    target = printable(action.target)
    logger.info("user(%s): %s %s from %s", user, action.name, target, principal.address)
    for failure in failures:
        logger.warning("user(%s): %s: %s", user, action.name, failure)
    record(principal, action, PARTIAL if failures else DONE, detail=warning(failures))
    notify(admin, action, origin)
    return warning(failures)


async def _do(admin: Admin, action: Action) -> tuple[UpstreamError, ...]:
    cluster = admin.cluster
    match action.verb:
        case "create":
            return await cluster.create(action.topic, action.channel)
        case "delete":
            return await cluster.delete(action.topic, action.channel)
        case "tombstone":
            return await cluster.tombstone(action.topic, action.node)
        case "pause" | "unpause" | "empty":
            node = action.node or None
            return await cluster.act(action.verb, action.topic, action.channel, node=node)
    raise Refused(400, "INVALID_ACTION")


def tell(
    admin: Admin, action: Action, origin: Origin, *, log: str, outcome: str, count: int, detail: str
) -> None:
    """Write what became of ``action`` into the log and the audit log; tell of it if any was done.

    ``log`` is what its line says behind who did it.
    """
    principal = origin.principal
    logger.info("user(%s): %s", principal.user or "-", log)
    record(principal, action, outcome, count=count, detail=detail)
    if count:
        notify(admin, action, origin)


def notify(admin: Admin, action: Action, origin: Origin) -> None:
    """Tell whoever is to be told of every action."""
    whole = attrs.evolve(action, channel="")
    # As the original: creating a channel creates its topic too, and says so first.
    for part in [whole, action] if action.verb == "create" and action.channel else [action]:
        admin.notifier.notify(
            AdminAction(
                action=part.name,
                topic=part.topic,
                channel=part.channel,
                node=part.node,
                timestamp=admin.wall() // SECOND,
                user=origin.principal.user,
                remote_ip=origin.principal.address,
                user_agent=origin.user_agent,
                url=origin.url,
            )
        )
