"""What proxies and clients write into headers, and which of it counts."""

import pytest
from werkzeug.datastructures import Headers

from nsqadmin.auth.peers import check_headers, find_peer, may_configure
from nsqadmin.auth.refused import Refused
from nsqadmin.config.options import NsqadminOptions

PROXY = ("10.0.0.1", 5)
OPTIONS = NsqadminOptions(trusted_proxies=["10.0.0.0/24", "2001:db8::/64"])


def forwarded(*lines, options=OPTIONS, client=PROXY):
    headers = Headers([("X-Forwarded-For", line) for line in lines])
    return find_peer(client, "http", headers, options).address


@pytest.mark.parametrize(
    ("lines", "client"),
    [
        (["127.0.0.1", "203.0.113.5"], "203.0.113.5"),  # HAProxy adds a line of its own
        (["127.0.0.1, 203.0.113.5"], "203.0.113.5"),  # nginx adds to the line
        (["127.0.0.1", "127.0.0.1", "203.0.113.5, 10.0.0.2"], "203.0.113.5"),
        (["127.0.0.1", "203.0.113.5", "10.0.0.2"], "203.0.113.5"),
        (["127.0.0.1", "", " , "], "127.0.0.1"),
        (["10.0.0.7", "10.0.0.8"], "10.0.0.7"),
        (["127.0.0.1", "2001:db8:1::5", "[2001:db8::2]:443"], "2001:db8:1::5"),
        (["127.0.0.1", "nonsense"], "10.0.0.1:5"),
        (["127.0.0.1", "unknown, 10.0.0.2"], "10.0.0.2"),
        ([], "10.0.0.1:5"),
    ],
)
def test_all_lines_of_x_forwarded_for_are_one_list(lines, client):
    assert forwarded(*lines) == client


def test_config_is_not_opened_by_a_line_of_the_client_s_own():
    headers = Headers([("X-Forwarded-For", "127.0.0.1"), ("X-Forwarded-For", "203.0.113.5")])
    peer = find_peer(PROXY, "http", headers, OPTIONS)
    assert not may_configure(PROXY, peer, OPTIONS)


@pytest.mark.parametrize(
    "name",
    ["X-Forwarded-User", "x-forwarded-user", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Scheme",
     "Authorization", "Origin", "Sec-Fetch-Site", "Host"],
)  # fmt: skip
def test_a_header_with_one_value_that_comes_twice_is_refused(name):
    check_headers(Headers([(name, "a")]), OPTIONS)
    with pytest.raises(Refused) as refused:
        check_headers(Headers([(name, "a"), (name, "a")]), OPTIONS)
    assert refused.value.status == 400


def test_the_acl_header_counts_by_the_name_it_was_given():
    options = NsqadminOptions(acl_http_header="X-Who")
    check_headers(Headers([("X-Forwarded-User", "a"), ("X-Forwarded-User", "b")]), options)
    with pytest.raises(Refused):
        check_headers(Headers([("X-Who", "a"), ("x-who", "b")]), options)
