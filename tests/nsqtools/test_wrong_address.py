"""An address where another kind of server listens is told in one line, which names it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.e2e.daemons import Daemon
from tests.nsqtools.tools import Tool


def flags(program: str, folder: Path) -> list[str]:
    """What else ``program`` has to be told."""
    return {
        "nsq_tail": [],
        "nsq_to_file": [f"--output-dir={folder}"],
        "nsq_to_http": ["--post=http://127.0.0.1:9/"],
        "nsq_to_nsq": ["--destination-nsqd-tcp-address=127.0.0.1:9"],
    }[program]


@pytest.mark.parametrize("program", ["nsq_tail", "nsq_to_file", "nsq_to_http", "nsq_to_nsq"])
@pytest.mark.parametrize("kind", ["lookupd-http", "nsqd-tcp"])
def test_the_address_of_another_kind_of_server_is_told_in_a_line(
    nsqd: Daemon, tool: Callable[..., Tool], tmp_path: Path, program: str, kind: str
):
    port = nsqd.tcp_port if kind == "lookupd-http" else nsqd.http_port
    more = flags(program, tmp_path)
    run = tool(program, "--topic=t", "--channel=c", f"--{kind}-address=127.0.0.1:{port}", *more)
    assert run.wait() == 1
    assert "Traceback" not in run.err
    assert run.err.count("FATAL") == 1
    assert f"127.0.0.1:{port}" in run.err.split("FATAL: ")[1]
