"""Parameters of a request: those that several endpoints take, and how they are refused."""

from collections.abc import Mapping

from nsqcore.http.request import Request
from nsqcore.http.responses import HttpError
from nsqcore.names import is_valid_name
from nsqd.engine.broker import Broker
from nsqd.engine.topic import Topic

_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def boolean(value: str | None, *, default: bool) -> bool:
    """The value of a switch; ``default`` if it is missing, or not one of the known words."""
    return default if value is None else _BOOLEANS.get(value, default)


def new_topic_name(broker: Broker, args: Mapping[str, list[str]]) -> str:
    """The name in ``topic=``, for a topic that need not exist. Raises HttpError."""
    names = args.get("topic")
    if names is None:
        raise HttpError(400, "MISSING_ARG_TOPIC")
    name = names[0]
    if name not in broker.topics and not is_valid_name(name):
        raise HttpError(400, "INVALID_TOPIC")
    return name


def existing_topic(broker: Broker, request: Request, *, checked: bool = False) -> Topic:
    """The topic in ``topic=``; with ``checked``, a bad name is told apart from an unknown one.

    Raises HttpError.
    """
    name = request.arg("topic")
    if name is None:
        raise HttpError(400, "MISSING_ARG_TOPIC")
    topic = broker.topics.get(name)
    if topic is None:
        if checked and not is_valid_name(name):
            raise HttpError(400, "INVALID_TOPIC")
        raise HttpError(404, "TOPIC_NOT_FOUND")
    return topic


def valid_names(request: Request) -> tuple[str, str | None]:
    """The names in ``topic=`` and ``channel=``; None without the latter. Raises HttpError."""
    topic, channel = request.arg("topic"), request.arg("channel")
    if topic is None:
        raise HttpError(400, "MISSING_ARG_TOPIC")
    if not is_valid_name(topic):
        raise HttpError(400, "INVALID_ARG_TOPIC")
    if channel is not None and not is_valid_name(channel):
        raise HttpError(400, "INVALID_ARG_CHANNEL")
    return topic, channel


def topic_and_channel(broker: Broker, request: Request) -> tuple[Topic, str]:
    """The topic in ``topic=`` and the name in ``channel=``. Raises HttpError."""
    topic, channel = valid_names(request)
    if channel is None:
        raise HttpError(400, "MISSING_ARG_CHANNEL")
    if topic not in broker.topics:
        raise HttpError(404, "TOPIC_NOT_FOUND")
    return broker.topics[topic], channel
