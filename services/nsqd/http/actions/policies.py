"""/policy/…: what topics and channels are promised and allowed, by patterns of their names."""

import logging
from functools import partial

from nsqcore.access.roles import ADMIN, READ_ALL, READ_TOPIC
from nsqcore.http.request import Request
from nsqcore.http.responses import EMPTY, HttpError, Response, json
from nsqcore.http.router import Router
from nsqcore.json import JsonError, decode
from nsqd.http.shared.arguments import valid_names
from nsqd.http.shared.context import NsqdApi
from nsqd.policies.errors import AmbiguousPolicy, InvalidPolicy, UnknownPolicy

logger = logging.getLogger(__name__)


def add_routes(router: Router, api: NsqdApi) -> None:
    """Add the actions on policies to ``router``."""
    router.add("GET", "/policy/list", partial(list_policies, api), rule=READ_ALL)
    router.add("GET", "/policy/effective", partial(effective, api), rule=READ_TOPIC)
    router.add("PUT", "/policy/set", partial(set_policy, api), rule=ADMIN)
    router.add("POST", "/policy/delete", partial(delete_policy, api), rule=ADMIN)


def list_policies(api: NsqdApi, _request: Request) -> Response:
    """GET /policy/list: all of them, by name, with where each comes from."""
    return json(api.policies.to_json())


def effective(api: NsqdApi, request: Request) -> Response:
    """GET /policy/effective?topic=[&channel=]: each value, and the policy it comes from.

    The topic and the channel need not exist.
    """
    topic, channel = valid_names(request)
    values = api.policies.policies.effective(topic, channel).values
    return json({"values": {key: values[key].to_json() for key in sorted(values)}})


async def set_policy(api: NsqdApi, request: Request) -> Response:
    """PUT /policy/set?name=. Answered when it would outlive a crash."""
    name = _name(request)
    try:
        raw = decode(request.body)
    except JsonError as error:
        raise HttpError(400, "INVALID_POLICY", detail=f"not JSON: {error}") from None
    try:
        await api.policies.set(name, raw)
    except (InvalidPolicy, AmbiguousPolicy) as error:
        raise _refused(error) from None
    except OSError as error:
        raise _failed(name, error) from error
    return EMPTY


async def delete_policy(api: NsqdApi, request: Request) -> Response:
    """POST /policy/delete?name=. Answered when it would outlive a crash."""
    name = _name(request)
    try:
        await api.policies.delete(name)
    except UnknownPolicy:
        raise HttpError(404, "POLICY_NOT_FOUND") from None
    except InvalidPolicy as error:
        raise _refused(error) from None
    except OSError as error:
        raise _failed(name, error) from error
    return EMPTY


def _name(request: Request) -> str:
    name = request.arg("name")
    if name is None:
        raise HttpError(400, "MISSING_ARG_NAME")
    return name


def _refused(error: InvalidPolicy | AmbiguousPolicy) -> HttpError:
    if isinstance(error, AmbiguousPolicy):
        return HttpError(409, "AMBIGUOUS_POLICY", detail=str(error))
    return HttpError(400, "INVALID_POLICY", detail=str(error))


def _failed(name: str, error: OSError) -> HttpError:
    logger.error("POLICY(%s): failed to keep it - %s", name[:64], error)
    return HttpError(500, "INTERNAL_ERROR")
