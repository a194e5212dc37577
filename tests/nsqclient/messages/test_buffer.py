from typing import Any

from nsqclient.messages.buffer import CHECKPOINT_EVERY, MessageBuffer
from nsqclient.messages.message import Message, State


def message(number: int, state: State = State.OPEN) -> Message:
    holder: Any = None
    return Message(b"%026d" % number, holder, 0.0, 0.0, state)


def test_messages_come_in_order_and_expired_ones_do_not():
    buffer = MessageBuffer()
    messages = [message(1), message(2, State.EXPIRED), message(3)]
    buffer.put_many(messages)
    assert buffer.take_nowait() is messages[0]
    assert buffer.take_nowait() is messages[2]
    assert buffer.take_nowait() is None


def test_what_expired_is_not_kept_when_nobody_takes_anything():
    buffer = MessageBuffer()
    for number in range(10):
        expired = message(number)
        buffer.put_many([expired])
        expired.state = State.EXPIRED
    assert len(buffer) == 1


def test_message_put_back_is_the_next_one():
    buffer = MessageBuffer()
    first, second = message(1), message(2)
    buffer.put_many([first, second])
    taken = buffer.take_nowait()
    assert taken is first
    buffer.put_back(taken)
    assert buffer.take_nowait() is first


def test_closing_returns_what_nobody_took():
    buffer = MessageBuffer()
    messages = [message(1), message(2, State.EXPIRED)]
    buffer.put_many(messages)
    assert buffer.close() == messages[:1]
    assert buffer.take_nowait() is None


def test_checkpoint_is_due_once_in_a_run():
    buffer = MessageBuffer()
    due = [buffer.needs_checkpoint() for _ in range(2 * CHECKPOINT_EVERY)]
    assert due.count(True) == 2
    assert due[CHECKPOINT_EVERY - 1]
    assert due[-1]
