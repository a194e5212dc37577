"""/metrics: what is measured of every daemon's process, before what it counts itself."""

import platform
from functools import cache

from nsqcore.app import threads
from nsqcore.app.process.version import VERSION, release
from nsqcore.http.responses import Response
from nsqcore.metrics.prometheus import CONTENT_TYPE, build_info
from nsqcore.operations.process import process_metrics


async def process_text(program: str, **build: str) -> str:
    """The metrics of this process, and what is running: ``build`` says more about that."""
    return await threads.run_sync(_process_text, program, *build.items())


def _process_text(program: str, *build: tuple[str, str]) -> str:
    return process_metrics() + _build_text(program, *build)


@cache
def _build_text(program: str, *build: tuple[str, str]) -> str:
    python = platform.python_version()
    return build_info(program, version=VERSION, release=release(), python=python, **dict(build))


def response(text: str) -> Response:
    """``text`` as the answer to a scrape."""
    return Response(200, text.encode(), CONTENT_TYPE, versioned=False)
