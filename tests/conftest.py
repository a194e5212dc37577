"""What holds for every test, whoever starts them: a busy machine, the background, nohup."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tests.e2e.daemons import Daemon, daemons
from tests.e2e.peer import Peer

# Nohup and shells without job control have signals ignored, also by what the tests start.
for number in signal.SIGINT, signal.SIGHUP:
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)

# Whoever is asked is on this machine, where a proxy would not look.
here = {os.environ.get("no_proxy", ""), "localhost", "127.0.0.1"} - {""}
os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(sorted(here))

# Property tests have no stopwatch. Their examples are the same each time, so that what fails has to
# do with what was changed; `make explore` looks for new ones.
calm = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("nsq", derandomize=True, **calm)
settings.register_profile("explore", max_examples=500, **calm)
settings.load_profile("nsq")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Reports that can be sent between test processes: names from the wire may be any bytes."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections
    ]
    return report


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Makes daemons: `daemon("nsqd", "--flag")` is started and ready; they end with the test."""
    with daemons(tmp_path) as make:
        yield make


@pytest.fixture
def peer() -> Iterator[Callable[[Daemon], Peer]]:
    """Makes raw V2 connections: `peer(nsqd)`."""
    with contextlib.ExitStack() as open_peers:

        def connect(nsqd: Daemon) -> Peer:
            made = Peer.connect(nsqd.tcp_port)
            open_peers.callback(made.close)
            return made

        yield connect
