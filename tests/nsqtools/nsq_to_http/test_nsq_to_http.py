"""nsq_to_http, as a process."""

import select
import signal
from collections import Counter

import pytest
from tests.e2e.daemons import wait_until
from tests.nsqtools.tools import consuming, settled

pytestmark = pytest.mark.slow

# A request that takes long would come again, after a minute and a half.
PATIENT = ("--http-client-connect-timeout=10m", "--http-client-request-timeout=10m")

BODIES = [b"%d" % number for number in range(20)]


def test_messages_are_posted_and_finished(nsqd, tool, endpoint):
    target = endpoint()
    nsqd.create("orders", "nsq_to_http")
    nsqd.post("/mpub?topic=orders", b"\n".join(BODIES))
    http = tool("nsq_to_http", "--topic=orders", f"--post={target.url}", *PATIENT,
                "--status-every=10", f"--nsqd-tcp-address={nsqd.tcp}")  # fmt: skip
    settled(nsqd, "orders", "nsq_to_http", 20)
    assert sorted(target.bodies) == sorted(BODIES)
    assert "[aggregate]: finished 10 - 99th:" in http.err
    assert http.end() == 0


def test_a_sample_of_nothing_sends_nothing(nsqd, tool, endpoint):
    target = endpoint()
    nsqd.create("orders", "nsq_to_http")
    nsqd.post("/mpub?topic=orders", b"\n".join(BODIES))
    tool("nsq_to_http", "--topic=orders", f"--post={target.url}", *PATIENT, "--sample=0",
         f"--nsqd-tcp-address={nsqd.tcp}")  # fmt: skip
    settled(nsqd, "orders", "nsq_to_http", 20)
    assert target.bodies == []


def test_all_endpoints_get_all_messages_if_asked_to(nsqd, tool, endpoint):
    targets = [endpoint(), endpoint()]
    nsqd.create("orders", "nsq_to_http")
    nsqd.post("/mpub?topic=orders", b"\n".join(BODIES))
    tool("nsq_to_http", "--topic=orders", *(f"--post={target.url}" for target in targets),
         *PATIENT,
         "--mode=all", f"--nsqd-tcp-address={nsqd.tcp}")  # fmt: skip
    settled(nsqd, "orders", "nsq_to_http", 20)
    for target in targets:
        assert sorted(target.bodies) == sorted(BODIES)


def test_a_message_that_fails_comes_again_until_it_is_given_up(nsqd, tool, endpoint):
    target = endpoint(lambda body: 500 if body == b"bad" else 200)
    nsqd.create("orders", "nsq_to_http")
    nsqd.post("/mpub?topic=orders", b"bad\ngood")
    http = tool("nsq_to_http", "--topic=orders", f"--post={target.url}", *PATIENT,
                "--consumer-opt=max_attempts,3", "--consumer-opt=default_requeue_delay,10ms",
                "--consumer-opt=max_backoff_duration,10ms",
                f"--nsqd-tcp-address={nsqd.tcp}")  # fmt: skip
    settled(nsqd, "orders", "nsq_to_http", 2)
    assert Counter(target.bodies) == {b"bad": 3, b"good": 1}
    assert "got status code 500" in http.err
    assert "giving up" in http.err
    assert http.end() == 0
    assert "Traceback" not in http.err


def test_a_dead_endpoint_is_left_out(nsqd, tool, endpoint):
    target = endpoint()
    nsqd.create("orders", "nsq_to_http")
    nsqd.post("/mpub?topic=orders", b"\n".join(BODIES))
    tool("nsq_to_http", "--topic=orders", "--post=http://127.0.0.1:1/", f"--post={target.url}",
         *PATIENT, "-n=1", "--consumer-opt=default_requeue_delay,10ms",
         "--consumer-opt=max_backoff_duration,10ms",
         f"--nsqd-tcp-address={nsqd.tcp}")  # fmt: skip
    settled(nsqd, "orders", "nsq_to_http", 20)
    assert sorted(target.bodies) == sorted(BODIES)
    assert nsqd.channel("orders", "nsq_to_http")["requeue_count"] in (1, 2)  # 2 after half a minute


def test_a_request_under_way_is_awaited_at_the_end(nsqd, tool, endpoint):
    began: list[bytes] = []
    stopped: list[bool] = []

    def answer(body: bytes) -> int:
        began.append(body)
        wait_until(lambda: stopped, "it was told to stop")
        return 200

    target = endpoint(answer)
    nsqd.create("orders", "nsq_to_http")
    nsqd.post("/pub?topic=orders", b"one")
    http = tool("nsq_to_http", "--topic=orders", f"--post={target.url}", *PATIENT,
                f"--nsqd-tcp-address={nsqd.tcp}")  # fmt: skip
    wait_until(lambda: began, "the request is there")
    http.signal(signal.SIGTERM)
    wait_until(lambda: "stopping" in http.err, "it stops")
    stopped.append(True)
    assert http.wait() == 0
    settled(nsqd, "orders", "nsq_to_http", 1)
    assert nsqd.channel("orders", "nsq_to_http")["requeue_count"] == 0


def test_messages_that_wait_for_a_slow_endpoint_do_not_expire(nsqd, tool, endpoint):
    def answer(body: bytes) -> int:
        select.select([], [], [], 0.1)
        return 200

    target = endpoint(answer)
    nsqd.create("orders", "nsq_to_http")
    bodies = [b"%d" % number for number in range(25)]
    nsqd.post("/mpub?topic=orders", b"\n".join(bodies))
    tool("nsq_to_http", "--topic=orders", f"--post={target.url}", *PATIENT, "-n=1",
         "--consumer-opt=msg_timeout,1s", f"--nsqd-tcp-address={nsqd.tcp}")  # fmt: skip
    settled(nsqd, "orders", "nsq_to_http", 25)
    assert Counter(target.bodies) == Counter(bodies)
    assert nsqd.channel("orders", "nsq_to_http")["timeout_count"] == 0


def test_an_nsqd_that_cannot_be_reached_ends_it(tool):
    http = tool(
        "nsq_to_http", "--topic=t", "--post=http://127.0.0.1:1", "--nsqd-tcp-address=127.0.0.1:1"
    )
    assert http.wait() == 1
    assert "Traceback" not in http.err


def test_a_content_type_of_other_bytes_costs_no_message(nsqd, tool, endpoint):
    nsqd.create("t", "nsq_to_http")
    nsqd.post("/pub?topic=t", b"one")
    posted = endpoint()
    http = tool("nsq_to_http", "--topic=t", f"--post={posted.url}", "--content-type=a/b; x=\udcff",
                f"--nsqd-tcp-address={nsqd.tcp}")  # fmt: skip
    settled(nsqd, "t", "nsq_to_http", 1)
    assert posted.bodies == [b"one"]
    assert http.end() == 0


def test_nsqlookupds_that_cannot_be_reached_are_asked_again(tool):
    http = tool("nsq_to_http", "--topic=t", "--post=http://127.0.0.1:1",
                "--lookupd-http-address=127.0.0.1:1")  # fmt: skip
    wait_until(lambda: "asking again" in http.err, "it goes on")
    assert http.end() == 0


@pytest.mark.parametrize(
    "flags",
    [
        ["--post=127.0.0.1/x"],
        ["--post=http://127.0.0.1:1/", "--header=nonsense"],
        ["--post=http://127.0.0.1:1/", "--header=X: a\r\nHost: b"],
        ["--post=http://127.0.0.1:1/", "--content-type=a/b\r\n\r\nGET / HTTP/1.1"],
        ["--post=http://127.0.0.1:1/\udcff"],
        ["--get=http://127.0.0.1:1/%s%s"],
        ["--get=http://127.0.0.1:1/%s", "--content-type=text/plain"],
        ["--post=http://127.0.0.1:1/", "--content-type="],
        ["--post=http://127.0.0.1:1/", "--sample=-0.1"],
        ["--post=http://127.0.0.1:1/", "-n=0"],
        ["--post=http://127.0.0.1:1/", "--channel="],
    ],
)
def test_wrong_settings_are_one_clear_line(tool, flags):
    http = tool("nsq_to_http", "--topic=t", "--nsqd-tcp-address=127.0.0.1:1", *flags)
    assert http.wait() == 1
    assert "Traceback" not in http.err


@pytest.mark.parametrize("flag", ["--post", "--get", "--content-type", "--header"])
def test_bytes_that_are_no_text_are_told_with_their_flag(tool, flag):
    values = {
        "--post": "http://127.0.0.1:1/\udcff",
        "--get": "http://127.0.0.1:1/%s\udcff",
        "--content-type": "\udcff\n",
        "--header": "\udcff",
    }
    target = [] if flag in ("--post", "--get") else ["--post=http://127.0.0.1:1/"]
    http = tool("nsq_to_http", "--topic=t", "--nsqd-tcp-address=127.0.0.1:1", *target,
                f"{flag}={values[flag]}")  # fmt: skip
    assert http.wait() == 1
    assert f"FATAL: {flag}: " in http.err


def test_channel_and_topic_reach_nsqd(nsqd, tool, endpoint):
    target = endpoint()
    tool("nsq_to_http", "--topic=orders", "--channel=hook", f"--post={target.url}", *PATIENT,
         "--max-in-flight=7", f"--nsqd-tcp-address={nsqd.tcp}")  # fmt: skip
    consuming(nsqd, "orders", "hook")
    (client,) = nsqd.channel("orders", "hook")["clients"]
    assert client["ready_count"] == 7
    assert client["user_agent"].startswith("nsq_to_http/1.")
