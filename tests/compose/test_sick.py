"""The same cluster while one nsqd is frozen, and while the machine has more to do than it can.

A frozen nsqd is there, and accepts connections, but never answers: a disk that hangs, a host that
swaps, a debugger.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.compose.engine import Client, Cluster, run
from tests.compose.test_cluster import INSIDE, ended, wait_for
from tests.e2e.daemons import wait_until
from tests.support.children import end_with_parent

pytestmark = [pytest.mark.docker, pytest.mark.slow]


@contextmanager
def frozen(cluster: Cluster, container: str) -> Iterator[None]:
    """Stop all work of a container inside the block, and nothing else of it."""
    run("docker", "kill", "--signal", "STOP", container)
    try:
        yield
    finally:
        run("docker", "kill", "--signal", "CONT", container)
        # what comes next has a healthy cluster, also after a failure
        wait_until(lambda: cluster.health(container) == "healthy", "it is healthy", timeout=120)


@contextmanager
def busy_machine() -> Iterator[None]:
    """Twice as many programs that only compute as there are cores."""
    command = (sys.executable, "-c", "while True: pass")
    hogs = [
        subprocess.Popen(command, preexec_fn=end_with_parent)
        for _ in range(2 * (os.cpu_count() or 1))
    ]
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


def prepare(cluster: Cluster, topic: str) -> None:
    """Give every nsqd the topic with a channel ``c``."""
    for nsqd in cluster.containers("nsqd"):
        for path in (f"/topic/create?topic={topic}", f"/channel/create?topic={topic}&channel=c"):
            assert cluster.ask_nsqd(nsqd, "POST", path)[0] == 200


def admin(cluster: Cluster) -> str:
    """Where nsqadmin is now."""
    return cluster.published(cluster.containers("nsqadmin")[0], 4171)


def test_a_frozen_nsqd_keeps_nothing_from_the_others_and_loses_nothing(cluster):
    sick, *well = cluster.containers("nsqd")
    address = f"{cluster.address(sick)}:4151"
    prepare(cluster, "sick")
    held = {f"held-{number}" for number in range(300)}
    assert cluster.ask_nsqd(sick, "POST", "/mpub?topic=sick", "\n".join(held).encode())[0] == 200
    consumer = cluster.on_host("consume", "sick", "c", "0.01", *cluster.lookupds())
    producer = cluster.on_host("publish", "sick", "500", "sent", *cluster.nsqd_tcp())
    with ended(consumer, producer):
        wait_until(lambda: len(consumer.lines()) > 20 and len(producer.lines()) > 20, "it flows")
        with frozen(cluster, sick):
            during = set()
            for number, nsqd in enumerate(well):  # each request is limited to ten seconds
                assert cluster.ask_nsqd(nsqd, "GET", "/readyz")[0] == 200
                body = f"during-{number}"
                assert cluster.ask_nsqd(nsqd, "POST", "/pub?topic=sick", body.encode())[0] == 200
                during.add(body)
            assert producer.process.wait(60) == 0
            wait_for(consumer, during)
            check_nsqadmin(cluster, address)
            run("docker", "restart", cluster.containers("nsqadmin")[0])
            restarted = cluster.containers("nsqadmin")[0]
            wait_until(lambda: cluster.health(restarted) == "healthy", "it starts", timeout=180)
            check_nsqadmin(cluster, address)
        assert len(producer.lines()) == 500
        wait_for(consumer, held | during | set(producer.lines()))


def check_nsqadmin(cluster: Cluster, sick: str) -> None:
    """It shows the numbers of the others, and names the one that does not answer."""
    at = admin(cluster)
    count = len(cluster.containers("nsqd"))
    assert cluster.ask("GET", at, "/readyz")[0] == 200

    def names_it() -> bool:
        status, topic = cluster.ask("GET", at, "/api/topics/sick")
        return status == 200 and sick in topic["message"] and len(topic["nodes"]) == count - 1

    wait_until(names_it, "the API names it", timeout=180)
    status, nodes = cluster.ask("GET", at, "/api/nodes")
    assert (status, len(nodes["nodes"])) == (200, count)
    page = {"html": ""}

    def is_shown() -> bool:
        page["html"] = cluster.ask("GET", at, "/nodes", headers={"Accept": "text/html"})[1]
        return "does not answer" in page["html"]

    wait_until(is_shown, "the page tells of it", timeout=180)
    assert sick in page["html"]
    status, answer = cluster.ask("POST", at, "/api/topics/sick/c", b'{"action": "pause"}')
    assert status in (200, 502), answer
    for nsqd in cluster.containers("nsqd"):
        if f"{cluster.address(nsqd)}:4151" != sick:
            assert is_paused(cluster, nsqd)
    cluster.ask("POST", at, "/api/topics/sick/c", b'{"action": "unpause"}')


def is_paused(cluster: Cluster, nsqd: str) -> bool:
    """Whether the channel of the test is paused there."""
    _, stats = cluster.ask_nsqd(nsqd, "GET", "/stats?format=json&topic=sick")
    return bool(stats["topics"][0]["channels"][0]["paused"])


def test_a_busy_machine_makes_no_container_sick_and_loses_nothing(cluster):
    prepare(cluster, "busy")
    seen = set()

    def has_ended(producers: tuple[Client, ...]) -> bool:
        seen.update((each, cluster.health(each)) for each in cluster.containers())
        return all(producer.process.poll() is not None for producer in producers)

    consumer = cluster.on_host("consume", "busy", "c", "0", *cluster.lookupds())
    other = cluster.in_container("consume", "busy", "c", "0", *INSIDE)
    with ended(consumer, other), busy_machine():
        producers = (
            cluster.on_host("publish", "busy", "1000", "one", *cluster.nsqd_tcp()),
            cluster.on_host("publish", "busy", "1000", "two", *cluster.nsqd_tcp()),
            cluster.in_container("publish", "busy", "1000", "three", "nsqd:4150"),
        )
        with ended(*producers):
            wait_until(lambda: has_ended(producers), "all is published", timeout=300)
            published = {line for producer in producers for line in producer.lines()}
        assert len(published) == 3000
        wait_for([consumer, other], published)
    assert {health for _, health in seen} == {"healthy"}
