"""Answers that may come too late: nsqd has taken the message back, and delivers it again.

The message's timeout may have passed, or its connection ended, a moment ago. That is nothing to end
a utility for, which handles many messages of many nsqds.
"""

from nsqclient import Message, MessageExpired
from nsqclient.messages.message import State


def finish(message: Message) -> bool:
    """FIN; returns False if it is too late, or the message was answered before."""
    if message.state is State.OPEN:
        try:
            message.finish_nowait()
        except MessageExpired:
            return False
        return True
    return False


def requeue(message: Message, delay: float) -> None:
    """REQ, and back off; nothing if nsqd has the message again."""
    if message.state is State.OPEN:
        try:
            message.requeue_nowait(delay)
        except MessageExpired:
            return  # what was wanted


def give_back(message: Message) -> None:
    """REQ for a message that nobody tried here; nothing if nsqd has it again."""
    if message.state is State.OPEN:
        message.holder.give_back([message])
