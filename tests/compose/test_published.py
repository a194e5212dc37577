"""The cluster whose nsqd are reached through the host, for who cannot reach containers."""

import socket
from ipaddress import ip_network

import pytest
from tests.compose.engine import run
from tests.compose.test_cluster import INSIDE, ended, wait_for

pytestmark = [pytest.mark.docker, pytest.mark.slow]

SUBNET = "{{(index .IPAM.Config 0).Subnet}}"
NSQDS = ("nsqd-1", "nsqd-2", "nsqd-3")
TCP, HTTP = (4150, 4250, 4350), (4151, 4251, 4351)


def test_consumers_everywhere_are_sent_to_the_host(make_cluster):
    # An address of this host that containers and the host itself can both reach: the first of the
    # default bridge.
    subnet = run("docker", "network", "inspect", "bridge", "--format", SUBNET)
    host = str(next(ip_network(subnet).hosts()))
    for port in (*TCP, *HTTP):
        with socket.socket() as probe:
            if not probe.connect_ex((host, port)):
                pytest.skip(f"port {port} of this host is in use")
    settings = {"NSQ_HOST_ADDRESS": host, "NSQ_PUBLISH_ON": host}
    with make_cluster("deploy/docker-compose.published.yml", **settings) as cluster:
        assert not cluster.containers("nsqd")
        for lookupd in cluster.lookupds():
            assert cluster.registered(lookupd) == {f"{host}:{port}" for port in TCP}
        here = cluster.on_host("consume", "news", "c", "0", *cluster.lookupds())
        there = cluster.in_container("consume", "news", "c", "0", *INSIDE)
        with ended(here, there):
            bodies = set()
            for service, port in zip(NSQDS, HTTP, strict=True):
                address = cluster.published(cluster.containers(service)[0], port)
                for number in range(10):
                    body = f"{service}/{number}"
                    path = "/pub?topic=news"
                    assert cluster.ask("POST", address, path, body.encode())[0] == 200
                    bodies.add(body)
            wait_for((here, there), bodies)
