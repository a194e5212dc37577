"""Messages that go from a channel to a topic: dead letters, and back again.

A move is one entry of the journal: the batch that comes into the log of the target, and the ids
that the channel is done with. So after any crash there is exactly one of the two, never both and
never neither. Until it is journaled the messages are the channel's, though nobody holds them.
"""

from collections.abc import Callable
from functools import partial

from nsqcore.wire.hot import hold, release
from nsqd.storage.durable.format.entries import Kind
from nsqd.storage.durable.format.hot import pack_ids
from nsqd.storage.durable.format.payloads import encode_channel, encode_move
from nsqd.storage.durable.topics.queue import LogQueue
from nsqd.storage.durable.topics.topic import DurableTopic

#: Told which messages were moved, and why not, if they were not.
MoveDone = Callable[[list[bytes], OSError | None], None]


def move(
    source: DurableTopic,
    queue: LogQueue,
    taken: list[bytes],
    target: DurableTopic,
    records: list[bytes],
    *,
    wall: int,
    channel: int = 0,
    done: MoveDone,
) -> None:
    """Put ``records`` into the log of ``target`` in place of ``taken``.

    ``taken`` are records as ``queue``, a channel of ``source``, gave them, neither finished nor
    given back since; what they were delivered is their attempts. ``records`` have new ids, later
    than all of ``target`` so far. They are for all channels of ``target``, or only for the one with
    the number ``channel``, which gets them at once, whether messages flow or not.

    ``done`` is told of ``taken`` when it has happened, on the device if one of the topics is
    ``always``, or why it has not: those that it is told of, which are all unless the channel was
    emptied meanwhile, are as before then, and to be given back, deferred or moved again.

    Raises OSError where the disk has no room, or the messages are more than a journal file takes;
    nothing has changed then.
    """
    source.journal_notes()  # what came before stays before
    leaving: dict[bytes, bytes] = {}
    ids: list[bytes] = hold(taken, leaving)
    told = partial(_moved, source, queue, taken, ids, done)
    batch, written = target.append(records, wall, 0, channel, told)
    queue.leaving.update(leaving)
    head = encode_channel(source.state.number, queue.state.number)
    gone = [head, pack_ids(ids)]
    source.journal.add(
        Kind.MOVE,
        encode_move([(Kind.BATCH, batch), (Kind.ACK, gone)]),
        sync=source.syncs or target.syncs,
        done=written,
    )


def _moved(
    source: DurableTopic,
    queue: LogQueue,
    taken: list[bytes],
    ids: list[bytes],
    done: MoveDone,
    error: OSError | None,
) -> None:
    source.changed = True
    emptied = set(release(ids, queue.leaving))  # of the channel, meanwhile
    if error is not None:
        done([record for record in taken if record[10:26] not in emptied], error)
        return
    queue.let_go(ids)
    done(taken, None)
