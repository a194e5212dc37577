"""What is done to single messages from the pages: checked, done, written to the log, notified."""

from collections.abc import Sequence

import attrs

from nsqadmin.actions.perform import (
    Action,
    Origin,
    allow,
    printable,
    record,
    tell,
    upstream_error,
    warning,
)
from nsqadmin.auth.refused import Refused
from nsqadmin.core.admin import Admin
from nsqadmin.core.audit import DONE, FAILED, PARTIAL
from nsqadmin.language.spoken import gettext as _
from nsqcore.classes import frozen
from nsqcore.cluster.each.messages import act_on_messages, holders
from nsqcore.cluster.upstream import AllFailed, UpstreamError
from nsqcore.names import is_valid_name

MESSAGE_VERBS = ("finish", "requeue", "dead", "copy")
# Messages of one action from a page.
MOST = 250


@frozen(kw_only=True)
class MessageAction:
    """A verb of `MESSAGE_VERBS` for messages of a topic or channel, by node and id.

    ``to`` is the topic that copies go to, ``reason`` is for the log of the nsqds.
    """

    verb: str
    topic: str
    channel: str
    picked: Sequence[tuple[str, str]]
    to: str = ""
    reason: str = ""

    @property
    def whole(self) -> Action:
        """What it is called where actions are named."""
        return Action(verb=f"{self.verb}_messages", topic=self.topic, channel=self.channel)


async def nodes_of(admin: Admin, topic: str) -> list[str]:
    """The nsqds that have ``topic``: nobody else is ever asked.

    Raises:
        Refused: there can be no such topic, or nobody could be asked.
    """
    if not is_valid_name(topic):
        raise Refused(404, "NOT_FOUND")
    try:
        answer = await holders(admin.cluster, topic)
    except AllFailed as error:
        raise upstream_error(error) from error
    return [producer.http_address for producer in answer.value]


async def perform_on_messages(admin: Admin, action: MessageAction, origin: Origin) -> str:
    """Do ``action``; what was not done, or an empty text.

    Raises:
        Refused: not allowed, not valid, or nobody could be asked.
    """
    allow(origin.principal, action.whole, right=action.verb)
    if action.verb == "copy" and not is_valid_name(action.to):
        raise Refused(400, "INVALID_TOPIC")
    if action.to:
        allow(origin.principal, attrs.evolve(action.whole, topic=action.to), right=action.verb)
    if not 0 < len(action.picked) <= MOST:
        raise Refused(400, "INVALID_VALUE")
    known = await nodes_of(admin, action.topic)
    params = {"topic": action.topic}
    more = {"channel": action.channel, "to": action.to, "reason": action.reason}
    params |= {name: value for name, value in more.items() if value}
    done, problems = 0, list[str]()
    failures: list[UpstreamError] = []
    for node in dict.fromkeys(node for node, _id in action.picked):
        ids = [id for at, id in action.picked if at == node]
        if node not in known:
            problems.append(_("%(node)s does not have the topic", node=node))
            continue
        try:
            answer = await act_on_messages(admin.upstream, [node], action.verb, ids, params)
        except AllFailed as error:
            failures += error.failures
            continue
        done += answer.value.done
        problems += [_("%(id)s is not there any more", id=id) for id in answer.value.missing]
        problems += [f"{id}: {why}" for id, why in answer.value.failed.items()]
    _tell(admin, action, origin, done)
    if failures:
        problems.append(warning(failures))
    return "; ".join(problems)


def _tell(admin: Admin, action: MessageAction, origin: Origin, done: int) -> None:
    ids = ", ".join(id for _node, id in action.picked[:20])
    to = f" to {printable(action.to)}" if action.to else ""
    log = f"{action.whole.name} {printable(action.whole.target)}{to} from"
    log += f" {origin.principal.address}: {done} of {len(action.picked)} done: {printable(ids)}"
    outcome = DONE if done == len(action.picked) else PARTIAL if done else FAILED
    told = {"reason": action.reason, "to": action.to, "ids": ids}
    detail = "; ".join(f"{name}: {value}" for name, value in told.items() if value)
    tell(admin, action.whole, origin, log=log, outcome=outcome, count=done, detail=detail)


async def publish_test(admin: Admin, topic: str, node: str, body: bytes, origin: Origin) -> None:
    """Publish ``body`` at the nsqd at ``node``.

    Raises:
        Refused: not allowed, not valid, or it did not take it.
    """
    action = Action(verb="publish", topic=topic, node=node)
    allow(origin.principal, action)
    if not body:
        raise Refused(400, "MSG_EMPTY")
    if node not in await nodes_of(admin, topic):
        raise Refused(400, "INVALID_NODE")
    try:
        await admin.upstream.send(node, "/pub", {"topic": topic}, body)
    except UpstreamError as error:
        record(origin.principal, action, FAILED, detail=str(error))
        raise upstream_error(AllFailed("nsqd", (error,))) from error
    size = f"{len(body)} bytes"
    log = f"publish {printable(action.target)} from {origin.principal.address}: {size}"
    tell(admin, action, origin, log=log, outcome=DONE, count=1, detail=size)
