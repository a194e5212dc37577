"""`nsqctl bench`: figures that make sense, and a topic that is gone afterwards."""

import signal
import subprocess
from collections.abc import Callable

import pytest
from attrs import frozen
from tests.e2e.daemons import PATIENCE, Daemon, wait_until
from tests.nsqctl.program import NSQCTL, nsqctl, nsqctl_json

from nsqctl.commands.bench import percentile

QUICK = ("--count=2030", "--batch=100", "--publishers=2", "--seconds=0.2", "--rate=100")


@frozen
class Measured:
    """An nsqd and its nsqlookupd."""

    lookupd: Daemon
    nsqd: Daemon

    @property
    def options(self) -> list[str]:
        """Names them to nsqctl bench."""
        return [
            f"--nsqd-tcp-address={self.nsqd.tcp}",
            f"--nsqd-http-address={self.nsqd.http}",
            f"--lookupd-http-address={self.lookupd.http}",
        ]

    def topics(self) -> list[str]:
        """The topics that either knows."""
        own = self.nsqd.get("/stats?format=json")["topics"]
        return [topic["topic_name"] for topic in own] + self.lookupd.get("/topics")["topics"]


@pytest.fixture
def measured(daemon: Callable[..., Daemon]) -> Measured:
    """They have no topics."""
    lookupd = daemon("nsqlookupd")
    nsqd = daemon("nsqd", f"--lookupd-tcp-address={lookupd.tcp}")
    wait_until(lambda: lookupd.get("/nodes")["producers"], "it is registered")
    return Measured(lookupd, nsqd)


@pytest.mark.parametrize(("percent", "value"), [(0, 1), (50, 50), (90, 90), (99, 99), (100, 100)])
def test_a_percentile_is_what_so_many_do_not_exceed(percent: int, value: float):
    assert percentile([float(n) for n in range(100, 0, -1)], percent) == value
    assert percentile([7.0], percent) == 7


@pytest.mark.slow
def test_figures_are_measured_and_the_topic_is_forgotten(measured: Measured):
    figures = nsqctl_json("bench", *measured.options, *QUICK)
    assert figures["nsqd"] == measured.nsqd.tcp
    assert (figures["messages"], figures["size"], figures["batch"]) == (2030, 200, 100)
    assert figures["published_per_second"] > 0
    assert figures["consumed_per_second"] > 0
    latencies = [figures[f"latency_p{percent}_ms"] for percent in (50, 90, 99)]
    assert latencies[0] > 0
    assert latencies == sorted(latencies)
    assert measured.topics() == []
    out = nsqctl("bench", *measured.options, *QUICK)[0]
    assert "published per second" in out
    assert "latency p99 ms" in out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("phase", "number"), [("rates", signal.SIGINT), ("latency", signal.SIGTERM)]
)
def test_the_topic_is_gone_also_when_it_is_interrupted(
    measured: Measured, phase: str, number: signal.Signals
):
    long = "--count=100000000" if phase == "rates" else "--seconds=1000"
    command = [NSQCTL, "bench", *measured.options, *QUICK, long]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        wait_until(lambda: sent(measured.nsqd) > (0 if phase == "rates" else 2030), "it measures")
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + number
    assert (out, err) == (b"", b"")
    assert measured.topics() == []


def sent(nsqd: Daemon) -> int:
    """The messages that an nsqd has received since it was started, in the topics it has."""
    return sum(topic["message_count"] for topic in nsqd.get("/stats?format=json")["topics"])


@pytest.mark.slow
def test_an_nsqd_that_refuses_such_messages_is_told_in_a_line(daemon: Callable[..., Daemon]):
    nsqd = daemon("nsqd", "--max-msg-size=100")
    options = [f"--nsqd-tcp-address={nsqd.tcp}", f"--nsqd-http-address={nsqd.http}"]
    err = nsqctl("bench", *options, *QUICK, "--lookupd-http-address=127.0.0.1:1", status=1)[1]
    assert "nsqctl: " in err
    assert not nsqd.get("/stats?format=json")["topics"]


def test_an_nsqd_that_is_not_there_is_told_in_a_line():
    options = ["--nsqd-tcp-address=127.0.0.1:1", "--nsqd-http-address=127.0.0.1:1"]
    err = nsqctl("bench", *options, *QUICK, status=1)[1]
    assert err == "nsqctl: GET http://127.0.0.1:1/ping: connection refused\n"
