"""What the API changes: POST and DELETE below ``/api``."""

import attrs
from quart import Blueprint, Response, request

from nsqadmin.actions.perform import Action, allow, perform
from nsqadmin.auth.refused import Refused
from nsqadmin.core.admin import Admin
from nsqadmin.web.requests import json_object, origin_of, respond, text_field


def add_changes(api: Blueprint, admin: Admin) -> None:
    """Route the changes of topics, channels and nodes."""

    async def run(action: Action) -> Response:
        message = await perform(admin, action, origin_of(request))
        return respond({"message": message})

    async def allowed_fields(action: Action, right: str, *names: str) -> list[str]:
        """Fields of the body. Who may not act is told so first, whatever the body is."""
        fields: list[str] = [""] * len(names)
        refusal: tuple[int, str] | None = None
        try:
            body = await json_object(request)
            fields = [text_field(body, name) for name in names]
        except Refused as error:
            refusal = error.status, str(error)
        known = dict(zip(names, fields, strict=True))
        told = attrs.evolve(
            action,
            verb=known.get("action") or action.verb,
            topic=known.get("topic") or action.topic,
            channel=known.get("channel") or action.channel,
        )
        allow(origin_of(request).principal, told, right=right)
        if refusal is not None:
            raise Refused(*refusal)
        return fields

    @api.post("/topics")
    async def create() -> Response:
        action = Action(verb="create", topic="")
        topic, channel = await allowed_fields(action, "create", "topic", "channel")
        return await run(attrs.evolve(action, topic=topic, channel=channel))

    @api.post("/topics/<topic>")
    @api.post("/topics/<topic>/<channel>")
    async def act(topic: str, channel: str = "") -> Response:
        action = Action(verb="act", topic=topic, channel=channel)
        (verb,) = await allowed_fields(action, "pause", "action")
        if verb not in ("pause", "unpause", "empty"):
            raise Refused(400, "INVALID_ACTION")
        return await run(attrs.evolve(action, verb=verb))

    @api.delete("/topics/<topic>")
    @api.delete("/topics/<topic>/<channel>")
    async def delete(topic: str, channel: str = "") -> Response:
        return await run(Action(verb="delete", topic=topic, channel=channel))

    @api.delete("/nodes/<node>")
    async def tombstone(node: str) -> Response:
        action = Action(verb="tombstone", topic="", node=node)
        try:
            (topic,) = await allowed_fields(action, "tombstone", "topic")
        except Refused as error:
            raise error if error.status == 403 else Refused(400, "INVALID_BODY") from error
        return await run(attrs.evolve(action, topic=topic))
