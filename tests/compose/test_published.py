"""The cluster whose nsqd are also reached through the host, for who cannot reach containers."""

import socket
from ipaddress import ip_network

import pytest
from tests.compose.engine import run
from tests.compose.test_cluster import INSIDE, ended, wait_for

pytestmark = [pytest.mark.docker, pytest.mark.slow]

SUBNET = "{{(index .IPAM.Config 0).Subnet}}"
NSQDS = ("nsqd-1", "nsqd-2", "nsqd-3")
TCP, HTTP = (4150, 4250, 4350), (4151, 4251, 4351)


def test_consumers_inside_and_outside_are_sent_where_they_can_reach(make_cluster):
    # An address of this host: the first of the default bridge.
    subnet = run("docker", "network", "inspect", "bridge", "--format", SUBNET)
    host = str(next(ip_network(subnet).hosts()))
    for port in (*TCP, *HTTP, 4165, 4166):
        with socket.socket() as probe:
            if not probe.connect_ex((host, port)):
                pytest.skip(f"port {port} of this host is in use")
    settings = {"NSQ_HOST_ADDRESS": host, "NSQ_PUBLISH_ON": host}
    with make_cluster("deploy/docker-compose.published.yml", **settings) as cluster:
        assert not cluster.containers("nsqd")
        for lookupd in cluster.lookupds():
            inside = {address.rpartition(":")[0] for address in cluster.registered(lookupd)}
            assert len(inside) == len(TCP)
            assert host not in inside
        outside = [f"{host}:4165", f"{host}:4166"]
        for lookupd in outside:
            assert cluster.registered(lookupd) == {f"{host}:{port}" for port in TCP}
        here = cluster.on_host("consume", "news", "c", "0", *outside)
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
