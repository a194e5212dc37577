"""Redriving dead letters from the pages: checked, done in steps, written to the log, notified."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import aclosing

from nsqadmin.actions.messages import MOST, nodes_of
from nsqadmin.actions.perform import (
    Action,
    Origin,
    allow,
    printable,
    tell,
    upstream_error,
    warning,
)
from nsqadmin.auth.refused import Refused
from nsqadmin.core.admin import Admin
from nsqadmin.core.audit import DONE, FAILED, PARTIAL
from nsqadmin.language.spoken import gettext as _
from nsqcore.classes import define, field, frozen
from nsqcore.cluster.each.messages import redrive_messages, redrive_steps
from nsqcore.cluster.upstream import AllFailed, UpstreamError
from nsqcore.units import SECOND

# Seconds after which a page says how far it came: proxies give up after a minute.
PATIENCE = 30


@frozen(kw_only=True)
class RedriveAction:
    """Dead letters of ``topic`` (from ``channel`` of it) that go back to where they come from.

    ``picked`` are nodes and ids; none stands for all, or the ``limit`` oldest of each nsqd.
    """

    topic: str
    channel: str = ""
    picked: Sequence[tuple[str, str]] = ()
    limit: int = 0
    to_topic: bool = False

    @property
    def whole(self) -> Action:
        """What it is called where actions are named."""
        return Action(verb="redrive_messages", topic=self.topic, channel=self.channel)


@define
class RedriveResult:
    """How it went: how many were ``moved`` and are ``left``, why others stay, which of those
    chosen are gone, what went wrong."""

    moved: int = 0
    left: int = 0
    kept: Counter[str] = field(factory=Counter)
    missing: list[str] = field(factory=list)
    problems: str = ""


async def perform_redrive(
    admin: Admin, action: RedriveAction, origin: Origin, *, now: Callable[[], int]
) -> RedriveResult:
    """Do ``action``; ``now`` is the monotonic clock in nanoseconds.

    Raises:
        Refused: not allowed, not valid, or nobody could be asked.
    """
    allow(origin.principal, action.whole, right="redrive")
    if len(action.picked) > MOST:
        raise Refused(400, "INVALID_VALUE")
    known = await nodes_of(admin, action.topic)
    asked = list(dict.fromkeys(node for node, _ in action.picked)) if action.picked else known
    result, failures = RedriveResult(), list[UpstreamError]()
    strangers = [
        _("%(node)s does not have the topic", node=node) for node in asked if node not in known
    ]
    end = now() + PATIENCE * SECOND
    for node in (node for node in asked if node in known):
        ids = [id for at, id in action.picked if at == node]
        try:
            await _redrive_node(admin, action, node, ids, result, lambda: now() < end)
        except AllFailed as error:
            failures += error.failures
    if failures and not result.moved and len(failures) == len(asked):
        raise upstream_error(AllFailed("nsqd", failures))
    gone = [_("%(id)s is not there any more", id=id) for id in result.missing]
    result.problems = "; ".join([*strangers, *gone, *([warning(failures)] if failures else [])])
    _tell(admin, action, origin, result)
    return result


async def _redrive_node(
    admin: Admin,
    action: RedriveAction,
    node: str,
    ids: Sequence[str],
    result: RedriveResult,
    is_time: Callable[[], bool],
) -> None:
    """Redrive at one nsqd, step by step, until nothing moves any more. Raises AllFailed."""
    params = {"topic": action.topic, "to": "topic" if action.to_topic else "channel"}
    if action.channel:
        params["channel"] = action.channel
    if ids:
        done = (await redrive_messages(admin.upstream, [node], ids, params)).value
        result.moved += done.moved
        result.missing += done.missing
        result.left += done.left
        result.kept.update(done.kept)
        return
    left, limit = 0, action.limit or None
    try:
        async with aclosing(redrive_steps(admin.upstream, node, params, limit)) as steps:
            async for done in steps:
                result.moved += done.moved
                result.kept.update(done.kept)
                left = done.left
                if not is_time():
                    break
    finally:
        result.left += left


def _tell(admin: Admin, action: RedriveAction, origin: Origin, result: RedriveResult) -> None:
    chosen = f"{len(action.picked)} chosen" if action.picked else "all"
    if action.limit and not action.picked:
        chosen = f"at most {action.limit}"
    log = f"{action.whole.name} {printable(action.whole.target)} ({chosen}) from"
    log += f" {origin.principal.address}: {result.moved} moved, {result.left} left"
    short = result.problems or result.kept
    outcome = DONE if not short else PARTIAL if result.moved else FAILED
    detail = "; ".join([chosen, *result.kept, *filter(None, [result.problems])])
    tell(admin, action.whole, origin, log=log, outcome=outcome, count=result.moved, detail=detail)
