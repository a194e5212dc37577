"""Which heads are refused, and how."""

import pytest

from nsqcore.http.heads import find_refusal


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"Content-Length", b"2")],
        [(b"EXPECT", b" 100-Continue ")],
        [(b"transfer-encoding", b"Chunked")],
        [(b"Cookie", b"of six letters"), (b"X-Seventeen-Chars", b"gzip")],
    ],
)
def test_usual_heads_are_taken(headers):
    assert find_refusal("1.1", [(b"Host", b"x"), *headers]) is None


@pytest.mark.parametrize(
    "host", [b"", b"nsqd-1.example:4151", b"[fe80::1%25eth0]:4151", b"a_b~c", b"10.0.0.1"]
)
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_one_host_is_taken_in_both_versions(version, host):
    assert find_refusal(version, [(b"host", host)]) is None


def test_the_old_version_needs_no_host():
    assert find_refusal("1.0", []) is None


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("host", [b"a b", b"a/b", b"user@a", b"a?b", b'"', "ä".encode(), b"a\\b"])
def test_what_cannot_be_a_host_is_refused(version, host):
    refusal = find_refusal(version, [(b"Host", host)])
    assert refusal is not None
    assert refusal.status == 400
    assert refusal.body == b"400 Bad Request: malformed Host header"


@pytest.mark.parametrize(
    ("version", "hosts", "body"),
    [
        ("1.1", [], b"400 Bad Request: missing required Host header"),
        ("1.1", [b"x", b"x"], b"400 Bad Request"),
        ("1.0", [b"x", b"x"], b"400 Bad Request"),
    ],
)
def test_no_host_or_two_of_them_are_refused(version, hosts, body):
    refusal = find_refusal(version, [(b"Host", host) for host in hosts])
    assert refusal is not None
    assert refusal.status == 400
    assert refusal.body == body


@pytest.mark.parametrize(
    ("version", "headers", "status"),
    [
        ("1.1", [(b"expect", b"200-ok")], 417),
        ("1.1", [(b"Transfer-Encoding", b"gzip, chunked")], 501),
        ("1.1", [(b"Transfer-Encoding", b"gzip"), (b"Transfer-Encoding", b"chunked")], 501),
        ("1.0", [(b"Transfer-Encoding", b"chunked")], 400),
        ("0.9", [], 400),
        ("2.0", [], 505),
    ],
)
def test_heads_that_ask_for_more_are_refused(version, headers, status):
    refusal = find_refusal(version, headers)
    assert refusal is not None
    assert refusal.status == status
