"""A cluster of real containers, through what operators do to it. The tests run in this order."""

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from tests.compose.engine import Client, Cluster, run
from tests.e2e.daemons import wait_until

pytestmark = [pytest.mark.docker, pytest.mark.slow]

INSIDE = ("http://nsqlookupd-1:4161", "http://nsqlookupd-2:4161")


@contextmanager
def ended(*clients: Client) -> Iterator[None]:
    """Stop ``clients`` at the end of the block."""
    try:
        yield
    finally:
        for client in clients:
            client.stop()


def wait_for(consumers: Client | Sequence[Client], bodies: set[str], timeout: float = 60.0) -> None:
    """Return when ``consumers`` have printed all of ``bodies`` together."""
    several = [consumers] if isinstance(consumers, Client) else consumers

    def printed() -> set[str]:
        return {line for consumer in several for line in consumer.lines()}

    wait_until(lambda: bodies <= printed(), "all is consumed", timeout=timeout)


def crash(cluster: Cluster, container: str) -> None:
    """Kill a container's program as a crash would, so that the restart policy sees to it."""
    if os.geteuid() == 0:
        os.kill(cluster.inspect(container)["State"]["Pid"], signal.SIGKILL)
    else:
        pytest.skip("only root can kill what runs in a container")


def test_every_part_is_up_and_healthy(cluster):
    assert len(cluster.containers("nsqd")) == 3
    assert len(cluster.containers()) == 6
    for lookupd in cluster.lookupds():
        assert cluster.registered(lookupd) == set(cluster.nsqd_tcp())


def test_nothing_runs_as_root_and_the_program_is_process_one(cluster):
    for container in cluster.containers():
        inspected = cluster.inspect(container)
        assert inspected["Config"]["User"] == "nsq"
        assert inspected["HostConfig"]["ReadonlyRootfs"]
        assert not inspected["HostConfig"]["Privileged"]


def test_host_and_containers_publish_and_both_consume_through_nsqlookupd(cluster):
    # A channel gets what is published after it was made; both are there before the consumers are.
    for nsqd in cluster.containers("nsqd"):
        assert cluster.ask_nsqd(nsqd, "POST", "/topic/create?topic=news")[0] == 200
        for name in ("host", "container"):
            path = f"/channel/create?topic=news&channel={name}"
            assert cluster.ask_nsqd(nsqd, "POST", path)[0] == 200
    here = cluster.on_host("consume", "news", "host", "0", *cluster.lookupds())
    there = cluster.in_container("consume", "news", "container", "0", *INSIDE)
    with ended(here, there):
        published = set()
        for number, nsqd in enumerate(cluster.containers("nsqd")):
            assert cluster.ask_nsqd(nsqd, "POST", "/pub?topic=news", b"http-%d" % number)[0] == 200
            published.add(f"http-{number}")
        for name, client in {
            "outside": cluster.on_host("publish", "news", "50", "outside", *cluster.nsqd_tcp()),
            "inside": cluster.in_container("publish", "news", "50", "inside", "nsqd:4150"),
        }.items():
            assert client.process.wait(60) == 0
            published |= {f"{name}-{number}" for number in range(50)}
        wait_for(here, published)
        wait_for(there, published)


def test_nsqadmin_sees_all_of_it(cluster):
    admin = cluster.published(cluster.containers("nsqadmin")[0], 4171)
    status, nodes = cluster.ask("GET", admin, "/api/nodes")
    assert (status, len(nodes["nodes"])) == (200, 3)
    _, topic = cluster.ask("GET", admin, "/api/topics/news")
    assert {channel["channel_name"] for channel in topic["channels"]} == {"host", "container"}
    assert cluster.ask("GET", admin, "/readyz")[0] == 200
    wait_until(lambda: "nsqadmin_nsqds 3" in cluster.ask("GET", admin, "/metrics")[1], "it counts")


def test_a_node_that_stops_and_starts_has_kept_its_messages(cluster):
    nsqd = cluster.containers("nsqd")[0]
    cluster.ask_nsqd(nsqd, "POST", "/topic/create?topic=kept")
    cluster.ask_nsqd(nsqd, "POST", "/channel/create?topic=kept&channel=c")
    bodies = [f"kept-{number}" for number in range(100)]
    status, _ = cluster.ask_nsqd(nsqd, "POST", "/mpub?topic=kept", "\n".join(bodies).encode())
    assert status == 200
    cluster.compose("restart", "nsqd")
    wait_until(cluster.is_healthy, "all nsqd are healthy again", timeout=60)
    consumer = cluster.on_host("consume", "kept", "c", "0", *cluster.lookupds())
    with ended(consumer):
        wait_for(consumer, set(bodies))


def test_a_node_that_crashes_comes_back_by_itself_and_is_found_again(cluster):
    nsqd = cluster.containers("nsqd")[1]
    started = cluster.inspect(nsqd)["State"]["StartedAt"]
    consumer = cluster.on_host("consume", "crash", "c", "0", *cluster.lookupds())
    with ended(consumer):
        assert cluster.ask_nsqd(nsqd, "POST", "/pub?topic=crash", b"before")[0] == 200
        wait_for(consumer, {"before"})
        crash(cluster, nsqd)
        wait_until(lambda: cluster.inspect(nsqd)["State"]["StartedAt"] != started, "it restarts")
        wait_until(lambda: cluster.health(nsqd) == "healthy", "it is healthy", timeout=60)
        assert cluster.ask_nsqd(nsqd, "POST", "/pub?topic=crash", b"after")[0] == 200
        wait_for(consumer, {"before", "after"})


def test_the_cluster_grows_and_shrinks_without_losing_what_it_holds(cluster):
    cluster.up("--no-recreate", "--scale", "nsqd=5")
    newest = [each for each in cluster.containers("nsqd") if slot(cluster, each) >= 3]
    assert len(newest) == 2
    for lookupd in cluster.lookupds():
        wait_until(lambda at=lookupd: len(cluster.registered(at)) == 5, "five are registered")
    for number, nsqd in enumerate(newest):
        assert cluster.ask_nsqd(nsqd, "POST", "/pub?topic=grown", b"new-%d" % number)[0] == 200
    cluster.up("--no-recreate", "--scale", "nsqd=3")
    assert len(cluster.containers("nsqd")) == 3
    cluster.up("--no-recreate", "--scale", "nsqd=5")
    consumer = cluster.on_host("consume", "grown", "c", "0", *cluster.lookupds())
    with ended(consumer):
        wait_for(consumer, {"new-0", "new-1"})


def slot(cluster: Cluster, container: str) -> int:
    """The number of the directory that an nsqd has in the volume."""
    words = run("docker", "exec", container, "cat", "/proc/1/cmdline").split("\0")
    return next(int(word.partition("=")[2]) for word in words if word.startswith("--node-id="))


def test_a_node_drains_under_load_and_nothing_is_lost(cluster):
    nsqd, *others = cluster.containers("nsqd")
    backlog = {f"backlog-{number}" for number in range(500)}
    for each in ("/topic/create?topic=load", "/channel/create?topic=load&channel=c"):
        assert cluster.ask_nsqd(nsqd, "POST", each)[0] == 200
    assert cluster.ask_nsqd(nsqd, "POST", "/mpub?topic=load", "\n".join(backlog).encode())[0] == 200
    consumer = cluster.on_host("consume", "load", "c", "0.01", *cluster.lookupds())
    producer = cluster.on_host("publish", "load", "600", "load", *cluster.nsqd_tcp())
    with ended(consumer, producer):
        wait_until(lambda: len(consumer.lines()) > 20 and len(producer.lines()) > 20, "it flows")
        stopping = subprocess.Popen(["docker", "stop", "-t", "90", nsqd])
        wait_until(lambda: cluster.ask_nsqd(nsqd, "GET", "/readyz")[0] == 503, "it drains")
        assert cluster.ask_nsqd(nsqd, "POST", "/pub?topic=load", b"late")[0] == 503
        assert producer.process.wait(60) == 0
        wait_for(consumer, backlog | set(producer.lines()), timeout=90)
        assert len(producer.lines()) == 600
        assert stopping.wait(90) == 0
    state = cluster.inspect(nsqd)["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 0)
    left = {f"{cluster.address(other)}:4150" for other in others}
    for lookupd in cluster.lookupds():
        wait_until(lambda at=lookupd: cluster.registered(at) == left, "it is unregistered")
    run("docker", "start", nsqd)
    wait_until(lambda: cluster.health(nsqd) == "healthy", "it is healthy again", timeout=60)


def in_flight(cluster: Cluster, nsqd: str, topic: str) -> int:
    """How many messages of ``topic`` consumers of this nsqd hold."""
    _, stats = cluster.ask_nsqd(nsqd, "GET", f"/stats?format=json&topic={topic}")
    return sum(each["in_flight_count"] for found in stats["topics"] for each in found["channels"])


def test_a_second_request_to_stop_ends_a_drain_that_nobody_consumes_for(cluster):
    nsqd = cluster.containers("nsqd")[1]
    consumer = cluster.on_host("consume", "stuck", "c", "3600", *cluster.lookupds())
    with ended(consumer):
        assert cluster.ask_nsqd(nsqd, "POST", "/pub?topic=stuck", b"held")[0] == 200
        wait_until(lambda: in_flight(cluster, nsqd, "stuck") == 1, "the consumer holds it")
        started = cluster.inspect(nsqd)["State"]["StartedAt"]
        run("docker", "kill", "--signal", "TERM", nsqd)
        wait_until(lambda: cluster.ask_nsqd(nsqd, "GET", "/readyz")[0] == 503, "it drains")
        run("docker", "kill", "--signal", "TERM", nsqd)
        wait_until(
            lambda: (
                not cluster.inspect(nsqd)["State"]["Running"]
                or cluster.inspect(nsqd)["State"]["StartedAt"] != started
            ),
            "it stopped",
        )
    run("docker", "start", nsqd)
    wait_until(lambda: cluster.health(nsqd) == "healthy", "it is healthy again", timeout=60)
    consumer = cluster.on_host("consume", "stuck", "c", "0", *cluster.lookupds())
    with ended(consumer):
        wait_for(consumer, {"held"})
