from typing import Any

from nsqclient.intake import CHECKPOINT_EVERY, Intake
from nsqclient.message import Message, State


def message(number: int, state: State = State.OPEN) -> Message:
    holder: Any = None
    return Message(b"%026d" % number, holder, 0.0, 0.0, state)


def test_messages_come_in_order_and_expired_ones_do_not():
    intake = Intake()
    messages = [message(1), message(2, State.EXPIRED), message(3)]
    intake.put_many(messages)
    assert intake.take_nowait() is messages[0]
    assert intake.take_nowait() is messages[2]
    assert intake.take_nowait() is None


def test_message_put_back_is_the_next_one():
    intake = Intake()
    first, second = message(1), message(2)
    intake.put_many([first, second])
    taken = intake.take_nowait()
    assert taken is first
    intake.put_back(taken)
    assert intake.take_nowait() is first


def test_closing_returns_what_nobody_took():
    intake = Intake()
    messages = [message(1), message(2, State.EXPIRED)]
    intake.put_many(messages)
    assert intake.close() == messages[:1]
    assert intake.take_nowait() is None


def test_checkpoint_is_due_once_in_a_run():
    intake = Intake()
    due = [intake.needs_checkpoint() for _ in range(2 * CHECKPOINT_EVERY)]
    assert due.count(True) == 2
    assert due[CHECKPOINT_EVERY - 1]
    assert due[-1]
