"""Addresses as users write them, and as Go prints them."""

import pytest

from nsqcore.net.addresses import (
    AddressError,
    is_unix,
    join_host_port,
    print_socket_address,
    split_host_port,
)


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("127.0.0.1:4150", ("127.0.0.1", "4150")),
        (":4150", ("", "4150")),
        ("[::1]:0", ("::1", "0")),
        ("host.example:http", ("host.example", "http")),
        ("host:", ("host", "")),
    ],
)
def test_an_address_is_split_into_host_and_port(address, parts):
    assert split_host_port(address) == parts


@pytest.mark.parametrize("address", ["localhost", "::1", "::1:80", "[::1]", "[::1", "a[b]:1", ""])
def test_an_address_without_a_clear_port_is_an_error_that_names_it(address):
    with pytest.raises(AddressError, match="address"):
        split_host_port(address)


def test_an_ipv6_host_is_joined_in_brackets():
    assert join_host_port("::1", 4150) == "[::1]:4150"
    assert join_host_port("localhost", 4150) == "localhost:4150"


@pytest.mark.parametrize(
    ("address", "unix"),
    [
        ("/run/nsqd.sock", True),
        ("nsqd.sock", True),
        ("./a:b/nsqd.sock", True),
        ("127.0.0.1:4150", False),
        (":0", False),
    ],
)
def test_what_is_no_host_and_port_is_a_unix_socket(address, unix):
    assert is_unix(address) is unix


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (("127.0.0.1", 1234), "127.0.0.1:1234"),
        (("::1", 1234, 0, 0), "[::1]:1234"),
        (("fe80::1", 1234, 0, 2), "[fe80::1%2]:1234"),
        (("::ffff:10.0.0.1", 1234, 0, 0), "10.0.0.1:1234"),
        ("", "@"),
        (b"\0abstract", "@abstract"),
        ("/tmp/client.sock", "/tmp/client.sock"),
    ],
)
def test_a_socket_address_is_printed_as_go_prints_it(address, text):
    assert print_socket_address(address) == text
