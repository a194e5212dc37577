"""Addresses as users write them, and as Go prints them."""

import pytest

from nsqcore.addresses import (
    AddressError,
    host_of,
    is_host,
    is_literal,
    is_unix,
    join_host_port,
    parse_host_port,
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


@pytest.mark.parametrize(
    "address", ["h:", "h:http", "h:-1", "h:65536", "h:²", "h:" + "9" * 5000, "h:0", "::1:80", "h"]
)
def test_a_port_that_none_can_have_is_an_error(address):
    with pytest.raises(AddressError):
        parse_host_port(address)


def test_host_and_port_come_as_text_and_number():
    assert parse_host_port("[::1]:4150") == ("::1", 4150)
    assert parse_host_port(":0", lowest=0) == ("", 0)


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("h:1", "h"),
        ("h", "h"),
        ("[::1]:1", "::1"),
        ("[::1]", "::1"),
        ("::1", "::1"),
        (":1", ""),
        ("[fe80::1%eth0]:1", "fe80::1%eth0"),
    ],
)
def test_the_host_of_an_address_with_or_without_a_port(address, host):
    assert host_of(address) == host


@pytest.mark.parametrize(
    "host",
    ["localhost", "my_service", "a.b-c.example.", "10.0.0.1", "::1", "fe80::1%eth0", "x" * 63],
)
def test_names_and_addresses_are_hosts(host):
    assert is_host(host)


@pytest.mark.parametrize(
    "host",
    [
        "", ".", "a..b", "-a", "a-", "user@host", "host/path", "host:80", "host?x", "a b", "\ud800",
        "b\xfccher", "[::1]", "x" * 64, "a." * 127 + "ab", "a\n", "::1%a/b", "::1%a@b", "1:2",
        "user:pw@127.0.0.1:25030/adm?",
    ],
)  # fmt: skip
def test_what_cannot_be_looked_up_is_no_host(host):
    """What a registration says was used as a URL."""
    assert not is_host(host)


def test_an_ip_address_is_literal():
    assert is_literal("10.0.0.1")
    assert is_literal("fe80::1%eth0")
    assert not is_literal("localhost")


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
