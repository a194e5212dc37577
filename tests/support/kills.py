"""kill -9 under load, again and again: ``python -m tests.support.kills ROUNDS [SEED]``.

Producers and consumers of ours and of pynsq work on one nsqd that keeps what it acknowledges, and
is killed at any moment and started again. In the end every message that was acknowledged has to
come on every channel (`tests.support.history`).
"""

import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import trio
from attrs import Factory, define, field
from tests.e2e.daemons import Daemon, daemons
from tests.support.history import Delivery, History, Publish

import nsqclient

TOPIC = "orders"
# The second one's consumer is pynsq's.
OURS, THEIRS = "ours", "pynsq"
PEER = Path(__file__).parents[1] / "interop" / "pynsq_peer.py"
# Seconds for what was acknowledged to come at the end; nobody waits so long where all is well.
PATIENCE = 120.0


@define(eq=False)
class Load:
    """The clients of ``nsqd``, and what they note."""

    nsqd: Daemon
    chance: random.Random
    history: History = Factory(lambda: History((OURS, THEIRS)))
    _numbers: int = field(default=0, init=False)

    # ------------------------------------------------------------ ours

    async def publish(self) -> None:
        """Publish one message after the other, whatever happens to nsqd."""
        async with nsqclient.open_producer([self.nsqd.tcp]) as producer:
            while True:
                self._numbers += 1
                body = b"%d " % self._numbers + b"x" * self.chance.choice([1, 100, 3000])
                defer = self.chance.choice([0, 0, 0, 0.5, 2])
                noted = self.history.publishes[body] = Publish()
                if defer:
                    noted.due = time.monotonic() + defer
                try:
                    await producer.publish(TOPIC, body, defer=defer)
                    noted.outcome = "ok"
                except nsqclient.ConnectionLost as error:
                    noted.outcome = "unknown" if error.sent else "refused"
                    await trio.sleep(0.005)
                except nsqclient.PublishError:
                    noted.outcome = "refused"

    async def consume(self) -> None:
        """Finish most messages, put off some, hold some until they time out."""
        consumer = nsqclient.open_consumer(
            TOPIC, OURS, nsqd=self.nsqd.tcp, max_in_flight=20, max_backoff=0
        )
        deliveries, finished = self.history.deliveries[OURS], self.history.finished[OURS]
        async with consumer as messages:
            async for message in messages:
                deliveries[message.body].append(Delivery(time.monotonic(), message.attempts))
                fate = self.chance.random() if message.attempts < 3 else 1
                with suppress(nsqclient.MessageExpired):
                    if fate < 0.1:
                        await message.requeue(self.chance.choice([0, 0.3]), backoff=False)
                    elif fate < 0.101:
                        await message.touch()  # and no more: it times out
                    else:
                        await message.finish()
                        finished[message.body] = time.monotonic()

    # ------------------------------------------------------------ pynsq's

    def start_pynsq(self, folder: Path) -> list[subprocess.Popen[bytes]]:
        """A producer and a consumer, which write files."""
        command = [sys.executable, str(PEER)]
        address = self.nsqd.tcp
        publish = ["publish-on", address, TOPIC, str(folder / "published")]
        consume = ["record-from", address, TOPIC, THEIRS, str(folder / "consumed")]
        with (folder / "pynsq.log").open("wb") as log:  # it tells of every connection that ends
            return [
                subprocess.Popen([*command, *arguments], stderr=log)
                for arguments in (publish, consume)
            ]

    def read_pynsq(self, folder: Path) -> None:
        """Take in what they wrote."""
        for outcome, body in _lines(folder / "published"):
            noted = self.history.publishes.setdefault(body.encode(), Publish())
            noted.outcome = noted.outcome if outcome == "try" else outcome
        taken = self.history.deliveries[THEIRS]
        taken.clear()
        for at, attempts, body in _lines(folder / "consumed"):
            taken[body.encode()].append(Delivery(at, attempts))
            self.history.finished[THEIRS][body.encode()] = at

    # ------------------------------------------------------------ the whole

    def kill(self) -> None:
        """kill -9, and another start."""
        self.nsqd.kill()
        self.history.kills.append(time.monotonic())
        self.nsqd.start()

    async def run(self, folder: Path, rounds: int) -> list[str]:
        """What was wrong after ``rounds`` kills."""
        pynsq = self.start_pynsq(folder)
        try:
            async with trio.open_nursery() as consumers:
                consumers.start_soon(self.consume)
                consumers.start_soon(self.consume)
                async with trio.open_nursery() as producers:
                    for _ in range(8):
                        producers.start_soon(self.publish)
                    for _ in range(rounds):
                        await self.some_work()
                        await trio.to_thread.run_sync(self.kill)
                    producers.cancel_scope.cancel()
                pynsq[0].send_signal(signal.SIGTERM)
                pynsq[0].wait()
                await self.all_has_come(folder)
                consumers.cancel_scope.cancel()
        finally:
            for process in pynsq:
                process.kill()
                process.wait()
        self.read_pynsq(folder)
        return self.left() + self.history.faults()

    async def some_work(self) -> None:
        """Return at any moment after something was published."""
        enough = len(self.history.acknowledged) + self.chance.choice([1, 20, 200])
        with trio.fail_after(PATIENCE):
            while len(self.history.acknowledged) < enough:  # noqa: ASYNC110 - at random
                await trio.sleep(self.chance.random() / 50)

    async def all_has_come(self, folder: Path) -> None:
        """Return when nothing is missing, or after a long while."""
        with trio.move_on_after(PATIENCE):
            while True:
                if not await trio.to_thread.run_sync(self.left):
                    self.read_pynsq(folder)
                    if not self.history.missing():
                        return
                await trio.sleep(0.3)

    def left(self) -> list[str]:
        """What nsqd still has, by channel."""
        counts = ("depth", "in_flight_count", "deferred_count")
        found = {name: self.nsqd.channel(TOPIC, name) for name in self.history.channels}
        return [
            f"{name}: {count} is {channel[count]}"
            for name, channel in found.items()
            for count in counts
            if channel[count]
        ]


def _lines(path: Path) -> list[list]:
    if not path.exists():
        return []
    whole = path.read_text().rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines()]


def run_rounds(rounds: int, seed: int, folder: Path, mode: str) -> tuple[list[str], History]:
    """Kill an nsqd of durability ``mode`` that often; what was wrong, and the history."""
    with daemons(folder) as make:
        flags = ["--journal-file-size=8388608", "--mem-queue-size=50", "--msg-timeout=20s"]
        nsqd = make("nsqd", f"--durability={mode}", *flags)
        nsqd.create(TOPIC, OURS, THEIRS)
        load = Load(nsqd, random.Random(seed))
        return trio.run(partial(load.run, folder, rounds)), load.history


def main(rounds: int, seed: int = 1) -> int:
    """The exit status. In pieces, so that logs and histories stay small."""
    done = 0
    began, acknowledged = time.monotonic(), 0
    while done < rounds:
        some = min(50, rounds - done)
        with tempfile.TemporaryDirectory(prefix="nsq-kills-") as folder:
            mode = ("always", "os", "interval")[seed % 3]
            faults, history = run_rounds(some, seed, Path(folder), mode)
        done, seed = done + some, seed + 1
        acknowledged += len(history.acknowledged)
        print(
            f"kills: {done}, acknowledged {acknowledged:,}, {mode}: {faults or 'nothing lost'}",
            flush=True,
        )
        if faults:
            return 1
    print(f"kills: {done} in {time.monotonic() - began:.0f} s, nothing lost")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3])))
