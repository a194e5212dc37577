"""What is told of a failure, however it was wrapped."""

import errno
import socket
import ssl

import pytest

from nsqcore.net.reasons import failure_reason


def wrapped(cause: BaseException, text: str = "") -> Exception:
    try:
        raise OSError(text) from cause
    except OSError as error:
        return error


REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "[Errno 111] Connect call failed ('::1', 1)")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (REFUSED, "connection refused"),
        (wrapped(wrapped(REFUSED)), "connection refused"),
        (wrapped(ExceptionGroup("attempts", [REFUSED])), "connection refused"),
        (OSError(errno.EHOSTUNREACH, "no way to 10.0.0.1:1"), "No route to host"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), None),
        (ssl.SSLCertVerificationError(1, "certificate verify failed"), None),
        (wrapped(ValueError("x"), "all attempts failed"), "all attempts failed"),
        (OSError(), "OSError"),
    ],
)
def test_the_system_has_the_word(error, reason):
    assert failure_reason(error) == (reason or error.strerror)


def test_a_certificate_that_is_refused_is_named_as_such():
    error = wrapped(ssl.SSLCertVerificationError(1, "certificate verify failed: self-signed"))
    assert "self-signed" in failure_reason(error)
