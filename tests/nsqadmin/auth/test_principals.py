import pytest
from werkzeug.datastructures import Headers

from nsqadmin.auth.accounts import Role
from nsqadmin.auth.origins import is_meant_for_us, same_origin
from nsqadmin.auth.peers import Peer, find_peer, may_configure
from nsqadmin.auth.principals import Principal, basic_credentials, header_principal
from nsqadmin.config.options import NsqadminOptions

PROXY, STRANGER = ("10.0.0.1", 5), ("192.0.2.7", 6)


def peer(client, options, **headers):
    pairs = {name.replace("_", "-"): value for name, value in headers.items()}
    return find_peer(client, "http", Headers(pairs), options)


def test_without_admin_users_everybody_is_an_admin():
    options = NsqadminOptions()
    principal = header_principal(peer(STRANGER, options), Headers(), options)
    assert (principal.role, principal.address) == (Role.ADMIN, "192.0.2.7:6")


def test_with_admin_users_the_header_says_who_is_one():
    options = NsqadminOptions(admin_users=["ann"])
    for user, role in (("ann", Role.ADMIN), ("mallory", Role.VIEWER)):
        headers = Headers({"X-Forwarded-User": user})
        found = header_principal(peer(STRANGER, options), headers, options)
        assert (found.user, found.role) == (user, role)


def test_basic_authentication_names_a_user_and_makes_no_admin():
    options = NsqadminOptions(admin_users=["ann"])
    headers = Headers({"Authorization": "Basic YW5uOng="})
    principal = header_principal(peer(STRANGER, options), headers, options)
    assert (principal.user, principal.role) == ("ann", Role.VIEWER)


def test_with_trusted_proxies_the_header_of_anybody_else_counts_nothing():
    options = NsqadminOptions(admin_users=["ann"], trusted_proxies=["10.0.0.0/24"])
    headers = Headers({"X-Forwarded-User": "ann"})
    assert header_principal(peer(PROXY, options), headers, options).role is Role.ADMIN
    stranger = header_principal(peer(STRANGER, options), headers, options)
    assert (stranger.user, stranger.role) == ("", Role.VIEWER)


def test_the_client_behind_proxies_is_the_last_that_is_none():
    options = NsqadminOptions(trusted_proxies=["10.0.0.0/24"])
    found = peer(
        PROXY, options, X_Forwarded_For="198.51.100.9, 203.0.113.5, 10.0.0.2",
        X_Forwarded_Proto="https", X_Forwarded_Host="nsq.example", Host="inner",
    )  # fmt: skip
    assert found == Peer("203.0.113.5", "https", "nsq.example", trusted=True)
    forged = peer(STRANGER, options, X_Forwarded_For="127.0.0.1", X_Forwarded_Proto="https")
    assert (forged.address, forged.scheme) == ("192.0.2.7:6", "http")


@pytest.mark.parametrize(
    ("client", "cidr", "allowed"),
    [
        (("127.0.0.1", 1), "127.0.0.1/8", True),
        (("127.9.9.9", 1), "127.0.0.1/8", True),
        (("10.0.0.1", 1), "127.0.0.1/8", False),
        (("::ffff:127.0.0.1", 1), "127.0.0.1/8", True),
        (("::1", 1), "127.0.0.1/8", False),
        (("::1", 1), "::1/128", True),
        (("10.0.0.1", 1), "", True),
    ],
)
def test_config_is_open_to_its_network_alone(client, cidr, allowed):
    options = NsqadminOptions(allow_config_from_cidr=cidr)
    assert may_configure(client, peer(client, options), options) is allowed


def test_config_behind_a_proxy_looks_at_who_is_behind_it():
    options = NsqadminOptions(trusted_proxies=["127.0.0.1"])
    local = ("127.0.0.1", 1)
    outside = peer(local, options, X_Forwarded_For="203.0.113.5")
    assert not may_configure(local, outside, options)


@pytest.mark.parametrize(
    ("headers", "fine"),
    [
        ({}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Origin": "http://admin.example"}, True),
        ({"Origin": "https://admin.example"}, True),
        ({"Origin": "https://a.b", "X-Forwarded-Host": "a.b"}, True),
        ({"Origin": "http://admin.example:8080"}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://admin.example"}, False),
    ],
)
def test_changes_come_from_our_own_pages_or_from_no_browser(headers, fine):
    ours = Peer("192.0.2.7", "http", "admin.example", trusted=False)
    assert same_origin(Headers(headers), ours) is fine


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (None, ()),
        (Role.VIEWER, ("read",)),
        (Role.OPERATOR, ("read", "pause", "unpause", "empty", "create")),
        (Role.ADMIN, ("read", "pause", "unpause", "empty", "create", "delete", "tombstone")),
    ],
)
def test_each_role_may_do_what_is_its_own(role, allowed):
    principal = Principal("u", role, "a")
    verbs = ("read", "pause", "unpause", "empty", "create", "delete", "tombstone")
    assert tuple(verb for verb in verbs if principal.may(verb)) == allowed


@pytest.mark.parametrize(
    "strange", ["", "Basic", "Basic !!!", "Bearer x", "Basic eA==", "Basic /w=="]
)
def test_what_is_no_basic_authentication_gives_no_credentials(strange):
    assert basic_credentials(strange) is None


@pytest.mark.parametrize(
    ("host", "meant"),
    [
        ("nsq.example", True), ("NSQ.example.:4171", True), ("10.0.0.5:4171", True),
        ("[::1]:4171", True), ("localhost:4171", True), ("evil.example:4171", False),
        ("nsq.example.evil.example", False), ("", False),
    ],
)  # fmt: skip
def test_with_allowed_hosts_other_names_are_not_us(host, meant):
    options = NsqadminOptions(allowed_hosts=["nsq.example"])
    assert is_meant_for_us(peer(STRANGER, options, Host=host), options) is meant
    assert is_meant_for_us(peer(STRANGER, NsqadminOptions(), Host=host), NsqadminOptions())


def test_the_name_of_a_host_is_what_a_trusted_proxy_says():
    options = NsqadminOptions(allowed_hosts=["nsq.example"], trusted_proxies=["10.0.0.1"])
    headers = {"Host": "inner", "X_Forwarded_Host": "nsq.example"}
    assert is_meant_for_us(peer(PROXY, options, **headers), options)
    assert not is_meant_for_us(peer(STRANGER, options, **headers), options)
