"""Opening and closing listening sockets."""

import os
import socket
import stat

import pytest

from nsqcore.addresses import AddressError
from nsqcore.reactor.listeners import open_listener


@pytest.fixture
def opened():
    listeners = []

    def open_one(*args, **kwargs):
        listeners.append(open_listener(*args, **kwargs))
        return listeners[-1]

    yield open_one
    for listener in listeners:
        listener.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_port_zero_gives_a_free_port_and_a_dotted_address(opened, host):
    listener = opened(f"{host}:0")

    assert listener.port > 0
    assert listener.address == f"127.0.0.1:{listener.port}"
    socket.create_connection(("127.0.0.1", listener.port)).close()


def test_an_empty_host_listens_on_every_interface(opened):
    listener = opened(":0")

    assert listener.address in (f"[::]:{listener.port}", f"0.0.0.0:{listener.port}")
    socket.create_connection(("127.0.0.1", listener.port)).close()


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_an_ipv6_address_is_written_in_brackets(opened):
    try:
        listener = opened("[::1]:0")
    except OSError:
        pytest.skip("no IPv6 loopback")
    assert listener.address == f"[::1]:{listener.port}"


def test_a_peer_whose_host_died_is_noticed(opened):
    listener = opened("127.0.0.1:0")
    with socket.create_connection(("127.0.0.1", listener.port)):
        listener.socket.setblocking(True)
        with listener.socket.accept()[0] as accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_a_port_can_be_taken_again_right_after_its_connections_were_cut(opened):
    listener = opened("127.0.0.1:0")
    client = socket.create_connection(("127.0.0.1", listener.port))
    listener.socket.setblocking(True)
    listener.socket.accept()[0].close()
    listener.close()

    assert opened(f"127.0.0.1:{listener.port}").port == listener.port
    client.close()


def test_a_port_that_is_taken_is_refused(opened):
    listener = opened("127.0.0.1:0")
    with pytest.raises(OSError, match="in use"):
        open_listener(listener.address)


@pytest.mark.parametrize("address", ["no.such.host.invalid:1", "127.0.0.1:nonsense", ":nonsense"])
def test_an_address_that_cannot_be_resolved_is_named(address):
    with pytest.raises(AddressError, match=address.rpartition(":")[2]):
        open_listener(address)


def test_a_unix_socket_has_no_port_and_its_file_goes_when_it_is_closed(opened, tmp_path):
    path = str(tmp_path / "nsqd.sock")
    listener = opened(path, mode=0o600)

    assert (listener.port, listener.address) == (-1, path)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    listener.close()
    listener.close()
    assert not os.path.exists(path)


def test_the_socket_file_of_a_process_that_is_gone_is_replaced(opened, tmp_path):
    path = str(tmp_path / "stale.sock")
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(path)
    dead.listen()
    dead.close()

    assert opened(path).path == path


def test_the_socket_file_of_a_living_process_is_left_alone(opened, tmp_path):
    path = str(tmp_path / "live.sock")
    opened(path)
    with pytest.raises(OSError, match="in use"):
        open_listener(path)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)


def test_a_file_that_is_no_socket_is_never_removed(tmp_path):
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(OSError, match="in use"):
        open_listener(str(path))
    assert path.read_text() == "data"


@pytest.mark.parametrize("port", [65536, 99999, 10**30])
@pytest.mark.parametrize("host", ["127.0.0.1", ""])
def test_a_port_beyond_the_last_is_refused(opened, host, port):
    with pytest.raises(AddressError, match=f"address {port}: invalid port"):
        opened(f"{host}:{port}")
