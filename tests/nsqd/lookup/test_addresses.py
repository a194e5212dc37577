import pytest
import trio

from nsqcore.addresses import AddressError, is_literal
from nsqd.lookup.addresses import parse_address, resolve


class Resolver:
    """Answers for names as a name server would."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def getaddrinfo(self, host, port, family=0, type=0, proto=0, flags=0):
        await trio.lowlevel.checkpoint()
        return [
            (trio.socket.AF_INET6, type, 6, "", (address, port, 0, 0))
            if ":" in address
            else (trio.socket.AF_INET, type, 6, "", (address, port))
            for address in self.addresses
        ]

    async def getnameinfo(self, sockaddr, flags):
        raise NotImplementedError


@pytest.fixture
def names():
    def answer(*addresses: str) -> None:
        trio.socket.set_custom_hostname_resolver(Resolver(*addresses))

    return answer


@pytest.mark.parametrize(
    ("address", "endpoint"),
    [
        ("127.0.0.1:4160", ("127.0.0.1", 4160)),
        ("[::1]:4160", ("::1", 4160)),
        ("name:1", ("name", 1)),
        (":4160", ("localhost", 4160)),
    ],
)
def test_address_is_host_and_port(address, endpoint):
    assert parse_address(address) == endpoint


@pytest.mark.parametrize("address", ["", "name", "name:", "name:x", "name:0", "name:65536", "::1"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(AddressError):
        parse_address(address)


@pytest.mark.parametrize(
    ("host", "literal"), [("1.2.3.4", True), ("::1", True), ("fe80::1%eth0", True), ("a", False)]
)
def test_ip_addresses_need_no_resolving(host, literal):
    assert is_literal(host) == literal


async def test_name_with_one_address_per_version_is_one_nsqlookupd(names):
    names("127.0.0.1", "::1", "127.0.0.1")

    assert await resolve("localhost", 4160) == [("localhost", 4160)]


async def test_name_with_many_addresses_is_many(names):
    names("10.0.0.2", "10.0.0.1", "10.0.0.2")

    assert await resolve("lookupd", 4160) == [("10.0.0.1", 4160), ("10.0.0.2", 4160)]


async def test_many_nsqlookupd_with_both_versions_are_counted_once(names):
    names("fd00::1", "fd00::2", "10.0.0.1", "10.0.0.2")

    assert await resolve("lookupd", 4160) == [("10.0.0.1", 4160), ("10.0.0.2", 4160)]
