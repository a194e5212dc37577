"""Which heads are refused, and how."""

import pytest

from nsqcore.http.heads import find_refusal


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"Host", b"x"), (b"Content-Length", b"2")],
        [(b"EXPECT", b" 100-Continue ")],
        [(b"transfer-encoding", b"Chunked")],
        [(b"Cookie", b"of six letters"), (b"X-Seventeen-Chars", b"gzip")],
    ],
)
def test_usual_heads_are_taken(headers):
    assert find_refusal("1.1", headers) is None


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
