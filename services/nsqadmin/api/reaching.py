"""Questions to the cluster, with the API's answer where nobody answers them."""

import logging
from collections.abc import Awaitable
from typing import TypeVar

from nsqadmin.actions.perform import upstream_error
from nsqcore.cluster.upstream import AllFailed, Answer

logger = logging.getLogger(__name__)

T = TypeVar("T")


async def reach(question: Awaitable[Answer[T]]) -> Answer[T]:
    """The answer to a question to the cluster; 502 if nobody answers."""
    try:
        answer = await question
    except AllFailed as error:
        logger.error("api: %s", error)
        raise upstream_error(error) from error
    for failure in answer.failures:
        logger.warning("api: %s", failure)
    return answer
