"""What an nsqd tells others of itself."""

import json
import socket

import pytest

from nsqcore.wire.lookup import External, parse_peer
from nsqd.config.option_values import parse_external
from nsqd.lookup import advertised
from nsqd.lookup.advertised import Advertised, AdvertisedSettings, default_address


def make(address: str = "me", listening: str = "0.0.0.0", **settings) -> Advertised:
    return Advertised(AdvertisedSettings(address=address, **settings), listening, 4150, 4151)


@pytest.fixture(autouse=True)
def route(monkeypatch):
    """The address of the default route, in a list; empty for none."""
    found = ["192.168.1.7"]
    monkeypatch.setattr(advertised, "default_address", lambda: found[0])
    return found


def test_the_ports_are_those_listened_on():
    told = make(region="r", zone="z").identify("")
    assert (told["tcp_port"], told["http_port"]) == (4150, 4151)
    assert (told["broadcast_address"], told["hostname"]) == ("me", socket.gethostname())
    assert (told["topology_region"], told["topology_zone"]) == ("r", "z")


def test_broadcast_ports_come_before_them():
    told = make(tcp_port=11, http_port=12).identify("")
    assert (told["tcp_port"], told["http_port"]) == (11, 12)


def test_an_external_address_is_told_beside_the_own_one():
    told = make(external=parse_external("[2001:db8::1]:9000:9001")).identify("")
    assert (told["broadcast_address"], told["tcp_port"]) == ("me", 4150)
    peer = parse_peer(json.dumps(told).encode())
    assert peer.external == External("2001:db8::1", 9000, 9001)


def test_without_http_or_with_unix_sockets_there_is_no_port():
    told = Advertised(AdvertisedSettings(address="me"), "", -1, -1).identify("")
    assert (told["tcp_port"], told["http_port"]) == (0, 0)


@pytest.mark.parametrize(
    ("listening", "local", "address"),
    [
        ("0.0.0.0", "10.0.0.5", "10.0.0.5"),
        ("::", "fd00::5", "fd00::5"),
        ("0.0.0.0", "127.0.0.1", "192.168.1.7"),
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("10.9.9.9", "10.0.0.5", "10.9.9.9"),
        ("0.0.0.0", "", "192.168.1.7"),
    ],
)
def test_auto_is_the_end_of_the_connection_that_others_can_reach(listening, local, address):
    assert make("auto", listening).identify(local)["broadcast_address"] == address


def test_auto_follows_an_address_that_changes():
    told = make("auto")
    assert told.identify("10.0.0.5")["broadcast_address"] == "10.0.0.5"
    assert told.identify("10.0.0.6")["broadcast_address"] == "10.0.0.6"
    assert told.address == "10.0.0.6"


@pytest.mark.parametrize("way_out", ["192.168.1.7", ""])
def test_a_guess_is_warned_of_once(caplog, route, way_out):
    route[0] = way_out
    told = make("auto")
    told.identify("127.0.0.1")
    told.identify("127.0.0.1")
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert (way_out or "127.0.0.1") in warnings[0]


def test_no_name_is_asked_for(monkeypatch):
    def resolve(*_args):
        raise AssertionError("asked a name server")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    make("auto").identify("127.0.0.1")
    assert not default_address().startswith("0.")
