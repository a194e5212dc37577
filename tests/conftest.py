"""What holds for every test, whoever starts them: a busy machine, the background, nohup."""

import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tests.e2e.daemons import Daemon, daemons
from tests.e2e.peer import Peer

from nsqcore.app.process import garbage

# Nohup and shells without job control have signals ignored, also by what the tests start.
for number, usual in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, usual)

# Where the environment says PYTHONDONTWRITEBYTECODE each test process would compile all tests anew,
# 10 s of its CPU, and each program its modules.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# While tests are collected nothing becomes garbage, and to look for it is a third of the time.
gc.disable()

# Whoever is asked is on this machine, where a proxy would not look.
here = {os.environ.get("no_proxy", ""), "localhost", "127.0.0.1"} - {""}
os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(sorted(here))

# Property tests have no stopwatch. Their examples are the same each time, so that what fails has to
# do with what was changed; `make explore` looks for new ones.
calm = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("nsq", derandomize=True, **calm)
settings.register_profile("explore", max_examples=500, **calm)
settings.load_profile("nsq")


def pytest_collection_finish() -> None:
    """Put what was imported and collected out of the collector's sight.

    A full collection, and a count of what is alive, looks at a million objects otherwise: 0.3 s in
    each of the tests of what is left behind.
    """
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="module", autouse=True)
def young_heap() -> None:
    """What the tests of other modules left alive is out of the collector's sight, too."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Reports that can be sent between test processes: names from the wire may be any bytes."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections
    ]
    return report


@pytest.fixture
def tuned_collector() -> Iterator[None]:
    """The garbage collector as it is in a daemon: it does not look at all that pytest holds."""
    thresholds = gc.get_threshold()
    garbage.tune()
    yield
    gc.set_threshold(*thresholds)


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
