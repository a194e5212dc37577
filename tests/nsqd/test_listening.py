"""Where an nsqd listens, and what it tells others of that."""

import socket

import pytest

from nsqcore.app.options import OptionsError
from nsqd.listening import announced, open_listeners, reachable_address
from nsqd.options import NsqdOptions


@pytest.fixture
def opened():
    """Opens the listeners of some options; all are closed after the test."""
    made = []

    def open_them(**settings):
        given = {"tcp_address": "127.0.0.1:0", "http_address": "127.0.0.1:0"}
        options = NsqdOptions(
            **({"https_address": "", "broadcast_address": "me"} | given | settings)
        )
        made.append(open_listeners(options))
        return options, made[-1]

    yield open_them
    for listeners in made:
        listeners.close()


def can_connect(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=60).close()
    except ConnectionRefusedError:
        return False
    return True


def test_tcp_and_http_are_opened_and_closed_together(opened):
    _, listeners = opened()
    ports = listeners.tcp.port, listeners.http.port
    assert all(map(can_connect, ports))
    listeners.close()
    assert not any(map(can_connect, ports))


def test_an_empty_address_switches_http_off(opened):
    assert opened(http_address="")[1].http is None


def test_https_needs_a_certificate_and_an_address(opened):
    cert = {"tls_cert": "c", "tls_key": "k"}
    assert opened(https_address="127.0.0.1:0")[1].https is None
    assert opened(**cert)[1].https is None
    assert opened(**cert, https_address="127.0.0.1:0")[1].https.port > 0


def test_an_address_that_cannot_be_listened_on_closes_the_others(opened):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    with pytest.raises(OptionsError, match=r"listen \(/nowhere/socket\) failed") as refusal:
        opened(tcp_address=f"127.0.0.1:{free}", http_address="/nowhere/socket")
    assert refusal.value.status == 1
    assert not can_connect(free)


@pytest.mark.parametrize(
    "address", ["127.0.0.1:nonsense", "127.0.0.1:99999", "no.such.host.invalid:1"]
)
def test_an_address_that_is_none_is_an_error_of_the_options(opened, address):
    with pytest.raises(OptionsError, match="listen"):
        opened(tcp_address=address)


class TestAnnounced:
    def test_the_ports_are_those_listened_on(self, opened):
        options, listeners = opened()
        identity = announced(options, listeners)
        assert (identity.tcp_port, identity.http_port) == (listeners.tcp.port, listeners.http.port)
        assert (identity.broadcast_address, identity.hostname) == ("me", socket.gethostname())

    def test_broadcast_ports_come_before_them(self, opened):
        identity = announced(*opened(broadcast_tcp_port=11, broadcast_http_port=12))
        assert (identity.tcp_port, identity.http_port) == (11, 12)

    def test_without_http_or_with_unix_sockets_there_is_no_port(self, opened, tmp_path):
        assert announced(*opened(http_address="")).http_port == 0
        unix = announced(*opened(tcp_address=str(tmp_path / "t"), http_address=str(tmp_path / "h")))
        assert (unix.tcp_port, unix.http_port) == (0, 0)

    def test_auto_is_the_address_that_leads_to_nsqlookupd(self, opened):
        options, listeners = opened(
            broadcast_address="auto", nsqlookupd_tcp_addresses=("127.0.0.1:4160",)
        )
        assert announced(options, listeners).broadcast_address == "127.0.0.1"


class TestReachable:
    def test_an_unusable_nsqlookupd_is_passed_over(self):
        names = ("no.such.host.invalid:1", "nonsense", "127.0.0.1:99999", "127.0.0.2:4160")
        assert reachable_address(names).startswith("127.0.0.")

    def test_without_nsqlookupd_it_is_the_way_out_or_the_host_name(self):
        found = reachable_address(())
        assert found == socket.gethostname() or not found.startswith(("0.", "127."))
        assert found
