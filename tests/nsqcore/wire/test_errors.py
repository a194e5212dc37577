import inspect

import pytest

from nsqcore.errors import NsqError
from nsqcore.wire import errors
from nsqcore.wire.errors import BadProtocol, BadTopic, FinFailed, Invalid, ProtocolError

CLASSES = [
    item
    for _, item in inspect.getmembers(errors, inspect.isclass)
    if issubclass(item, ProtocolError) and item is not ProtocolError
]

CODES = [
    "E_AUTH_DISABLED",
    "E_AUTH_FAILED",
    "E_AUTH_FIRST",
    "E_BAD_BODY",
    "E_BAD_CHANNEL",
    "E_BAD_MESSAGE",
    "E_BAD_PROTOCOL",
    "E_BAD_TOPIC",
    "E_DPUB_FAILED",
    "E_FIN_FAILED",
    "E_IDENTIFY_FAILED",
    "E_INVALID",
    "E_MPUB_FAILED",
    "E_PUB_FAILED",
    "E_REQ_FAILED",
    "E_SUB_FAILED",
    "E_TERM_FAILED",
    "E_TOUCH_FAILED",
    "E_UNAUTHORIZED",
]


def test_every_code_of_the_protocol_has_one_class():
    assert sorted(error.code for error in CLASSES) == CODES


def test_only_failures_about_one_message_leave_the_connection_open():
    soft = {error.code for error in CLASSES if not error.fatal}
    assert soft == {"E_FIN_FAILED", "E_REQ_FAILED", "E_TERM_FAILED", "E_TOUCH_FAILED"}


@pytest.mark.parametrize("error", CLASSES)
def test_one_except_clause_catches_them_all(error):
    assert issubclass(error, NsqError)
    assert error("x").to_wire() == error.code.encode() + b" x"


@pytest.mark.parametrize(
    ("error", "wire"),
    [
        (
            BadTopic('PUB topic name "x!" is not valid'),
            b'E_BAD_TOPIC PUB topic name "x!" is not valid',
        ),
        (FinFailed("FIN 0123 failed"), b"E_FIN_FAILED FIN 0123 failed"),
        (BadProtocol(), b"E_BAD_PROTOCOL"),
        (Invalid("invalid command "), b"E_INVALID invalid command "),
        (Invalid("caf\u00e9"), b"E_INVALID caf\xc3\xa9"),
        (Invalid("invalid command \udcffX"), b"E_INVALID invalid command \xffX"),
    ],
)
def test_error_on_the_wire_is_its_code_and_text(error, wire):
    assert error.to_wire() == wire
