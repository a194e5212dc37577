"""Single messages on many nsqd at once: listed, fetched, and acted on.

A message is at one nsqd, and nothing in its id says at which: all are asked.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from functools import partial
from typing import Any

from nsqcore.classes import frozen
from nsqcore.cluster.cluster import Cluster
from nsqcore.cluster.producer import Producer
from nsqcore.cluster.upstream import AllFailed, Answer, Upstream, UpstreamError, ask_all
from nsqcore.readers import count, objects, text

KIND = "nsqd"
# Dead letters of one request to an nsqd: a fraction of a second, where its timeout is 5 s.
REDRIVE_STEP = 5000
# Ids in one request, as nsqd takes them.
AT_ONCE = 1000


@frozen
class MessagePage:
    """A page of messages of one nsqd, as it tells them; ``next`` is the cursor of the following
    page, empty at the end, ``total`` how many there are in that state."""

    node: str
    topic: str
    messages: list[dict[str, Any]]
    next: str
    total: int
    scanned: int


@frozen
class Acted:
    """What became of messages, over all nsqd. ``failed`` are ids by why nothing was done."""

    done: int
    missing: tuple[str, ...]
    failed: Mapping[str, str]


async def holders(cluster: Cluster, topic: str) -> Answer[list[Producer]]:
    """The nsqds that have ``topic``; none where everybody who was asked says so. Raises
    AllFailed."""
    try:
        return await cluster.producers(topic)
    except AllFailed as error:
        if error.failures and all(map(is_not_there, error.failures)):
            return Answer([], ())
        raise


async def list_messages(upstream: Upstream, node: str, params: Mapping[str, str]) -> MessagePage:
    """The page that ``params`` ask for, at the nsqd at ``node``.

    Raises:
        UpstreamError: it did not answer, or refused.
    """
    return await upstream.read(node, "/message/list", params, partial(_read_page, node))


def _read_page(node: str, raw: object) -> MessagePage:
    if not isinstance(raw, dict) or not isinstance(raw.get("messages"), list):
        raise UpstreamError(node, f"{node}: no answer of an nsqd: no messages in it")
    return MessagePage(
        node,
        text(raw, "topic"),
        objects(raw, "messages"),
        text(raw, "next"),
        count(raw, "total"),
        count(raw, "scanned"),
    )


async def list_everywhere(
    upstream: Upstream, nodes: Sequence[str], params: Mapping[str, str]
) -> Answer[list[MessagePage]]:
    """The first page of each of ``nodes``. Those that do not have the topic, or the channel, have
    none."""

    async def ask(node: str) -> MessagePage | None:
        try:
            return await list_messages(upstream, node, params)
        except UpstreamError as error:
            if is_not_there(error):
                return None
            raise

    answer = await ask_all(KIND, nodes, ask)
    return Answer([page for _, page in answer.value if page is not None], answer.failures)


async def describe_message(
    upstream: Upstream, nodes: Sequence[str], params: Mapping[str, str]
) -> Answer[dict[str, Any] | None]:
    """A message as JSON, and its ``node``, from whoever has it; None if nobody does."""

    async def ask(node: str) -> dict[str, Any] | None:
        try:
            found = await upstream.read(node, "/message/get", params, lambda raw: raw)
        except UpstreamError as error:
            if is_not_there(error):
                return None
            raise
        return {"node": node, **found} if isinstance(found, dict) else None

    answer = await ask_all(KIND, nodes, ask)
    found = [message for _, message in answer.value if message is not None]
    return Answer(found[0] if found else None, answer.failures)


async def get_message(
    upstream: Upstream, nodes: Sequence[str], params: Mapping[str, str]
) -> Answer[bytes | None]:
    """The body of a message, from whoever has it; None if nobody does."""

    async def ask(node: str) -> bytes | None:
        try:
            return await upstream.fetch(node, "/message/get", {**params, "format": "raw"})
        except UpstreamError as error:
            if is_not_there(error):
                return None
            raise

    answer = await ask_all(KIND, nodes, ask)
    found = [body for _, body in answer.value if body is not None]
    return Answer(found[0] if found else None, answer.failures)


async def act_on_messages(
    upstream: Upstream,
    nodes: Sequence[str],
    verb: str,
    ids: Sequence[str],
    params: Mapping[str, str],
) -> Answer[Acted]:
    """Do ``verb`` (finish, requeue, dead, copy) to ``ids``, wherever they are.

    Raises AllFailed.
    """

    async def ask(node: str) -> object:
        try:
            return await upstream.ask(node, f"/message/{verb}", {**params, "id": list(ids)})
        except UpstreamError as error:
            if is_not_there(error):
                return {"done": 0, "missing": list(ids)}
            raise

    answer = await ask_all(KIND, nodes, ask)
    done, missing, failed = 0, set(ids), dict[str, str]()
    for _, raw in answer.value:
        if not isinstance(raw, dict):
            continue
        done += count(raw, "done")
        missing &= set(raw.get("missing") or ())
        failed |= dict.fromkeys(raw.get("failed") or (), text(raw, "detail"))
    return Answer(
        Acted(done, tuple(id for id in dict.fromkeys(ids) if id in missing), failed),
        answer.failures,
    )


@frozen
class Redriven:
    """How many dead letters were ``moved``, are ``left``, and why some were ``kept``; those of the
    ids that nobody has, and how many ``nodes`` have the topic and the channel."""

    moved: int
    left: int
    kept: dict[str, int]
    missing: tuple[str, ...] = ()
    nodes: int = 0


async def redrive_messages(
    upstream: Upstream, nodes: Sequence[str], ids: Sequence[str], params: Mapping[str, str]
) -> Answer[Redriven]:
    """Send dead letters back to where they come from: those with ``ids``, or if there are none,
    all. Each of ``nodes`` takes the ``limit`` of ``params`` for itself. Raises AllFailed."""
    query: dict[str, str | Sequence[str]] = dict(params)
    if ids:
        query["id"] = list(ids)

    async def ask(node: str) -> object:
        try:
            return await upstream.ask(node, "/message/redrive", query)
        except UpstreamError as error:
            if is_not_there(error):
                return None
            raise

    answer = await ask_all(KIND, nodes, ask)
    moved, left, kept = 0, 0, dict[str, int]()
    missing, asked = set(ids), 0
    for _, raw in answer.value:
        if not isinstance(raw, dict):
            continue
        asked += 1
        missing &= set(raw.get("missing") or ())
        moved += count(raw, "moved")
        left += count(raw, "left")
        given = raw.get("kept")
        reasons: dict[str, Any] = given if isinstance(given, dict) else {}
        for why in reasons:
            kept[str(why)] = kept.get(str(why), 0) + count(reasons, why)
    unknown = tuple(id for id in dict.fromkeys(ids) if id in missing)
    return Answer(Redriven(moved, left, kept, unknown, asked), answer.failures)


async def redrive_steps(
    upstream: Upstream, node: str, params: Mapping[str, str], limit: int | None = None
) -> AsyncGenerator[Redriven, None]:
    """Send back what the nsqd at ``node`` has, or its ``limit`` oldest, in steps that are answered
    soon; yields each. Those that stay are tried once. Raises AllFailed."""
    seen, there = 0, 0
    while limit is None or seen < limit:
        # what stays goes to the end, and would come again
        step = min([REDRIVE_STEP, *(most - seen for most in (limit, there) if most)])
        answer = await redrive_messages(upstream, [node], (), {**params, "limit": str(step)})
        done = answer.value
        yield done
        taken = done.moved + sum(done.kept.values())
        there = there or done.moved + done.left
        seen += taken
        if not taken or seen >= there:
            return


def is_not_there(error: UpstreamError) -> bool:
    """Whether an nsqd said that it does not have the topic, the channel or the message."""
    unknown = ("TOPIC_NOT_FOUND", "CHANNEL_NOT_FOUND", "MESSAGE_NOT_FOUND")
    return error.status == 404 and any(word in str(error) for word in unknown)
