"""The same cluster while its network is cut: packets between two containers vanish for a while.

A rule in the containers' own network namespaces drops them, and nobody is told: what a broken
switch does, unlike a closed connection.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.compose.engine import Cluster, run
from tests.compose.test_cluster import INSIDE, ended, wait_for
from tests.e2e.daemons import wait_until

pytestmark = [
    pytest.mark.docker,
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or not shutil.which("iptables") or not shutil.which("nsenter"),
        reason="cutting a network takes root, iptables and nsenter",
    ),
]


@contextmanager
def cut(cluster: Cluster, container: str, *others: str) -> Iterator[None]:
    """Drop everything between ``container`` and ``others``, both ways, inside the block."""
    process = cluster.inspect(container)["State"]["Pid"]

    def rules(action: str) -> None:
        for address in addresses:
            for chain, side in (("INPUT", "--source"), ("OUTPUT", "--destination")):
                words = ("iptables", "--wait", action, chain, side, address, "--jump", "DROP")
                run("nsenter", "--target", str(process), "--net", *words)

    addresses = [cluster.address(other) for other in others]
    rules("--append")
    try:
        yield
    finally:
        rules("--delete")


def test_an_nsqd_cut_off_from_nsqlookupd_serves_on_and_registers_again(cluster):
    nsqd = cluster.containers("nsqd")[0]
    lookupds = [cluster.containers(name)[0] for name in ("nsqlookupd-1", "nsqlookupd-2")]
    consumer = cluster.on_host("consume", "known", "c", "0", *cluster.lookupds())
    with ended(consumer):
        assert cluster.ask_nsqd(nsqd, "POST", "/pub?topic=known", b"before")[0] == 200
        wait_for(consumer, {"before"})
        with cut(cluster, nsqd, *lookupds):
            assert cluster.ask_nsqd(nsqd, "POST", "/pub?topic=known", b"during")[0] == 200
            wait_for(consumer, {"during"})
            assert cluster.ask_nsqd(nsqd, "POST", "/pub?topic=unheard_of", b"new")[0] == 200
            assert cluster.ask_nsqd(nsqd, "GET", "/readyz")[0] == 200
            for lookupd in cluster.lookupds():
                assert not cluster.registered(lookupd, "unheard_of")
    address = f"{cluster.address(nsqd)}:4150"
    for lookupd in cluster.lookupds():
        wait_until(
            lambda at=lookupd: cluster.registered(at, "unheard_of") == {address},
            "the new topic is known",
            timeout=60,
        )
    late = cluster.on_host("consume", "unheard_of", "c", "0", *cluster.lookupds())
    with ended(late):
        wait_for(late, {"new"})


def test_a_consumer_cut_off_from_one_nsqd_goes_on_with_the_others_and_misses_nothing(cluster):
    far, *near = cluster.containers("nsqd")
    consumer = cluster.in_container("consume", "split", "c", "0", *INSIDE)
    with ended(consumer):
        everything = set()

        def publish(when: str, *nsqds: str) -> set[str]:
            bodies = set()
            for number, nsqd in enumerate(nsqds):
                body = f"{when}-{number}"
                assert cluster.ask_nsqd(nsqd, "POST", "/pub?topic=split", body.encode())[0] == 200
                bodies.add(body)
            everything.update(bodies)
            return bodies

        wait_for(consumer, publish("before", far, *near))
        container = run("docker", "inspect", "--format", "{{.Id}}", consumer.container)
        with cut(cluster, container, far):
            publish("unreachable", *[far] * 20)
            wait_for(consumer, publish("during", *near, *near))
            assert not any(line.startswith("unreachable") for line in consumer.lines())
        wait_for(consumer, everything, timeout=90)
