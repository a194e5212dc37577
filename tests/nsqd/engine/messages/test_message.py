import struct

import pytest

from nsqd.engine.messages.message import attempts, message_id, new_header, requeued, timestamp

ID = b"0123456789abcdef"


def record(number, body=b"body"):
    return struct.pack(">qH", 1_700_000_000_000_000_001, number) + ID + body


def test_new_message_is_stamped_with_its_time_and_first_attempt():
    new = new_header(1_700_000_000_000_000_001) + ID + b"body"
    assert new == record(1)
    assert (timestamp(new), attempts(new)) == (1_700_000_000_000_000_001, 1)
    assert message_id(new) == ID


@pytest.mark.parametrize("number", [1, 2, 255, 256, 65534])
def test_requeued_message_counts_one_attempt_more_and_is_the_same_otherwise(number):
    assert requeued(record(number)) == record(number + 1)


def test_attempts_stay_at_the_largest_number_the_field_holds():
    assert requeued(record(65535)) == record(65535)


def test_message_without_a_body_can_be_requeued():
    assert requeued(record(1, b"")) == record(2, b"")
