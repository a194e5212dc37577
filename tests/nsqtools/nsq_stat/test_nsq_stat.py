"""nsq_stat: its rows, and the process."""

import signal
import subprocess

import pytest
from tests.e2e.daemons import BIN, PATIENCE, wait_until

from nsqcore.app.config.options import OptionsError
from nsqcore.cluster.rates import Growth
from nsqtools.nsq_stat.options import StatOptions, check
from nsqtools.nsq_stat.sums import Sums

slow = pytest.mark.slow


def test_a_row_has_the_numbers_and_the_rates():
    now = Sums(
        depth=5,
        backend_depth=2,
        in_flight_count=3,
        deferred_count=4,
        requeue_count=6,
        timeout_count=7,
        message_count=200,
        client_count=8,
    )
    rates, depths, metadata = now.row(Growth(arrived=100, left=105), 2.0).split("|")
    assert rates == "     50      52 "
    assert depths == "       5       3       2     3     4 "
    assert metadata == "       6       7          200       8\n"


@slow
def test_the_heading_comes_again_after_a_page(nsqd, tool):
    nsqd.create("t", "c")
    stat = tool("nsq_stat", "--topic=t", "--channel=c", "--count=26", "--interval=1ms",
                f"--nsqd-http-address={nsqd.http}")  # fmt: skip
    assert stat.wait() == 0
    found = stat.out.decode().splitlines()
    assert [number for number, line in enumerate(found) if "ingress" in line] == [1, 27]
    assert len(found) == 30
    assert stat.err == ""


@slow
def test_one_nsqd_of_two_that_is_gone_ends_it(daemon, tool):
    nsqds = [daemon("nsqd"), daemon("nsqd")]
    for nsqd in nsqds:
        nsqd.create("t", "c")
    stat = tool("nsq_stat", "--topic=t", "--channel=c", "--interval=50ms",
                *(f"--nsqd-http-address={nsqd.http}" for nsqd in nsqds))  # fmt: skip
    wait_until(lambda: stat.out.count(b"\n") > 3, "it runs")
    nsqds[0].kill()
    assert stat.wait() == 1
    assert nsqds[0].http in stat.err
    assert "Traceback" not in stat.err


@slow
def test_a_signal_ends_it(nsqd, tool):
    nsqd.create("t", "c")
    stat = tool("nsq_stat", "--topic=t", "--channel=c", f"--nsqd-http-address={nsqd.http}")
    wait_until(lambda: stat.out, "it runs")
    assert stat.end() == 0


@slow
def test_a_reader_that_goes_away_ends_it(nsqd):
    nsqd.create("t", "c")
    command = [str(BIN / "nsq_stat"), "--topic=t", "--channel=c", "--interval=10ms",
               f"--nsqd-http-address={nsqd.http}"]  # fmt: skip
    stat = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert stat.stdout is not None
    stat.stdout.readline()
    stat.stdout.close()
    assert stat.wait(PATIENCE) == -signal.SIGPIPE
    assert stat.stderr is not None
    with stat.stderr:
        assert stat.stderr.read() == b""


@slow
@pytest.mark.parametrize(
    ("topic", "channel", "text"),
    [("t", "zz", "has no channel zz"), ("zz", "c", "has the topic zz")],
)
def test_what_is_not_there_is_told(nsqd, tool, topic, channel, text):
    nsqd.create("t", "c")
    stat = tool("nsq_stat", f"--topic={topic}", f"--channel={channel}", "--count=1",
                f"--nsqd-http-address={nsqd.http}")  # fmt: skip
    assert stat.wait() == 1
    assert text in stat.err


@slow
@pytest.mark.parametrize(
    "flags",
    [["--interval=0s"], ["--count=-1"], ["--http-client-request-timeout=-1s"],
     ["--lookupd-http-address=127.0.0.1:1"], ["--lookupd-http-address=http://127.0.0.1:1"]],
)  # fmt: skip
def test_wrong_settings_are_one_clear_line(tool, flags):
    stat = tool("nsq_stat", "--topic=t", "--channel=c", "--nsqd-http-address=127.0.0.1:1", *flags)
    assert stat.wait() == 1
    assert "Traceback" not in stat.err


@pytest.mark.parametrize("flag", ["nsqd-http-address", "lookupd-http-address"])
@pytest.mark.parametrize("address", ["127.0.0.1:99999", "127.0.0.1:0", "a b:4151"])
def test_address_that_cannot_be_asked_is_refused_by_the_name_of_its_flag(flag, address):
    name = flag.replace("-", "_") + "es"
    options = StatOptions(topic="t", channel="c", **{name: (address,)})
    with pytest.raises(OptionsError, match=f"^--{flag}: .*{address}"):
        check(options)
