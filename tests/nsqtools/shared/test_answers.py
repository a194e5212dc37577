"""Whatever has become of a message, no answer of a utility ends it."""

import pytest
import trio
from tests.fakes.fake_nsqd import fake_cluster

from nsqclient import ConnectionLost, Message, open_consumer
from nsqclient.messages.message import State
from nsqtools.nsq_tail.printer import Printer
from nsqtools.nsq_to_file.file_log import FileLog
from nsqtools.nsq_to_file.output import Output, OutputSettings
from nsqtools.shared.answers import finish, give_back, requeue
from nsqtools.shared.client_options import ClientSettings
from nsqtools.shared.progress import Progress


def cut(message: Message) -> None:
    """Its connection has ended, and nobody has told the message yet."""
    message.holder.connection.fail(ConnectionLost("cut"))  # type: ignore[attr-defined]


def overdue(message: Message) -> None:
    """Its time is over, and nobody has told the message yet."""
    message.deadline = trio.current_time()


def answered(message: Message) -> None:
    message.finish_nowait()


@pytest.mark.parametrize("late", [cut, overdue, answered])
async def test_an_answer_that_is_too_late_is_none(late):
    async with fake_cluster() as cluster:
        nsqd = cluster.nsqd("a:1")
        nsqd.put(*[b"%d" % number for number in range(5)])
        options = cluster.options()
        async with open_consumer("orders", "billing", nsqd="a:1", options=options) as consumer:
            messages = [await anext(consumer) for _ in range(5)]
            assert finish(messages.pop())
            for message in messages:
                late(message)
            assert not finish(messages[0])
            requeue(messages[1], 1.0)
            give_back(messages[2])
            ClientSettings.of([]).requeue(messages[3])
            assert all(message.state is not State.OPEN for message in messages)
            assert all(message.state is not State.REQUEUED for message in messages)


@pytest.mark.parametrize("late", [cut, overdue])
async def test_nsq_to_file_goes_on_with_what_it_can_finish_no_more(late, tmp_path):
    class LateOutput(Output):
        def sync(self) -> None:
            super().sync()
            trio.from_thread.run_sync(lambda: [late(message) for message in log._pending])
            trio.from_thread.run_sync(log.stop)

    settings = OutputSettings(
        template="t.log",
        datetime_format="%H",
        output_dir=str(tmp_path),
        work_dir=str(tmp_path),
        gzip_level=0,
        rotate_size=0,
        rotate_interval=0.0,
        skip_empty_files=False,
    )
    async with fake_cluster() as cluster:
        nsqd = cluster.nsqd("a:1")
        nsqd.put(b"one", b"two")
        consumer = {
            "channel": "billing",
            "nsqd": ("a:1",),
            "max_in_flight": 2,
            "options": cluster.options(),
            "drain_timeout": 0.1,
        }
        log = FileLog("orders", LateOutput(settings, "orders"), consumer, 60.0, Progress())
        await log.run()
    assert (tmp_path / "t.log").read_bytes() == b"one\ntwo\n"
    assert nsqd.finished == []


@pytest.mark.parametrize("late", [cut, overdue])
async def test_nsq_tail_goes_on_with_what_it_can_finish_no_more(late):
    class LatePrinter(Printer):
        def _write(self, messages: list[Message]) -> int:
            trio.from_thread.run_sync(lambda: [late(message) for message in messages])
            trio.from_thread.run_sync(consumer.stop)
            return len(messages)

    async with fake_cluster() as cluster:
        nsqd = cluster.nsqd("a:1")
        nsqd.put(b"one", b"two")
        options = cluster.options()
        async with open_consumer("orders", "billing", nsqd="a:1", options=options) as consumer:
            printer = LatePrinter(None, False, trio.Event())
            await printer.print_all(consumer)
    assert nsqd.finished == []
