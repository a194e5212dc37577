"""A plugin of pytest: ``--workers=N`` runs the tests in N processes, forks of the one that has
collected them.

To import and collect this suite takes seconds of CPU, which is done once. A process gets one file
after the other, those first that took longest the last time. When there are no files left, who has
nothing to do gets half of the tests of the file that has most left.
"""

import atexit
import contextlib
import os
import pickle
import selectors
import socket
import struct
import sys
import warnings
from collections import Counter, deque
from collections.abc import Iterator
from typing import Any

import pytest
from attrs import Factory, define
from tests.support import forks

SECONDS = "parallel/seconds"  # in pytest's cache: what each file took

# Seconds that a test takes of a file that has not been run before.
GUESS, GUESS_SLOW = 0.01, 0.5

# Where less than so many seconds are left in a file, its tests stay in one process.
WORTH_DIVIDING = 2.0

# Folders whose files one process runs, as they share what takes long to start: a browser.
TOGETHER = ("tests/browser/",)

Numbers = list[int]  # of tests, in `pytest.Session.items`


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--workers", type=int, default=0, help="run the tests in so many processes")


def pytest_runtestloop(session: pytest.Session) -> bool | None:
    workers = session.config.getoption("workers")
    if not workers or session.config.option.collectonly or session.testsfailed:
        return None
    seconds = seconds_of(session)
    Runner(session, seconds, files_of(session, seconds)).run(workers)
    return True


def seconds_of(session: pytest.Session) -> list[float]:
    """How long each test will take, as far as one knows."""
    assert session.config.cache is not None
    took = session.config.cache.get(SECONDS, {})
    counts = Counter(file_of(item.nodeid) for item in session.items)
    seconds = []
    for item in session.items:
        file = file_of(item.nodeid)
        guess = GUESS_SLOW if item.get_closest_marker("slow") else GUESS
        seconds.append(took[file] / counts[file] if file in took else guess)
    return seconds


def files_of(session: pytest.Session, seconds: list[float]) -> deque[Numbers]:
    """The tests of each file, or of files that belong together, the longest first."""
    groups: dict[str, Numbers] = {}
    for number, item in enumerate(session.items):
        file = file_of(item.nodeid)
        group = next((folder for folder in TOGETHER if file.startswith(folder)), file)
        groups.setdefault(group, []).append(number)
    return deque(
        sorted(groups.values(), key=lambda group: -sum(seconds[number] for number in group))
    )


def file_of(nodeid: str) -> str:
    return nodeid.partition("::")[0]


@define(eq=False)
class Messages:
    """One end of what a worker and the runner tell each other."""

    end: socket.socket

    def send(self, *message: Any) -> None:
        """Raises OSError if the other end is closed."""
        packed = pickle.dumps(message)
        self.end.sendall(struct.pack("!I", len(packed)) + packed)

    def receive(self) -> tuple[Any, ...]:
        """The next one; it is ``("end",)`` where the other end is closed."""
        size = self._read(4)
        content = self._read(*struct.unpack("!I", size)) if size else b""
        message: tuple[Any, ...] = pickle.loads(content) if content else ("end",)
        return message

    def _read(self, size: int) -> bytes:
        found = b""
        with contextlib.suppress(ConnectionResetError):
            while len(found) < size:
                chunk = self.end.recv(size - len(found))
                if not chunk:
                    return b""
                found += chunk
        return found if len(found) == size else b""


@define(eq=False)
class Worker:
    """A process that runs tests, as the runner sees it."""

    pid: int
    messages: Messages
    file: deque[int] = Factory(deque)  # what it is to be given
    given: deque[int] = Factory(deque)  # what it has not begun with
    running: int | None = None


@define(eq=False)
class Runner:
    """Starts workers, gives them files, and tells pytest what they report."""

    session: pytest.Session
    expected: list[float]  # seconds of each test
    files: deque[Numbers]
    selector: selectors.BaseSelector = Factory(selectors.DefaultSelector)
    workers: dict[int, Worker] = Factory(dict)
    seconds: dict[str, float] = Factory(dict)
    started: int = 0

    def run(self, count: int) -> None:
        """All tests, in ``count`` processes."""
        if any(item.get_closest_marker("slow") for item in self.session.items):
            forks.share_server()
        try:
            for _ in range(min(count, len(self.session.items))):
                self.fork()
            while self.workers:
                for key, _ in self.selector.select():
                    self.hear(key.data)
                if self.session.shouldfail:
                    raise self.session.Failed(self.session.shouldfail)
                if self.session.shouldstop:
                    raise self.session.Interrupted(self.session.shouldstop)
        finally:
            for worker in list(self.workers.values()):
                self.forget(worker)
            cache = self.session.config.cache
            assert cache is not None
            cache.set(SECONDS, cache.get(SECONDS, {}) | self.seconds)

    def fork(self) -> None:
        """One more worker."""
        ours, theirs = socket.socketpair()
        self.started += 1
        folders: Any = self.session.config._tmp_path_factory  # type: ignore[attr-defined]
        folder = folders.getbasetemp() / f"worker-{self.started}"
        pid = os.fork()
        if not pid:
            ours.close()
            for other in self.workers.values():
                other.messages.end.close()
            folder.mkdir(mode=0o700)
            folders._basetemp = folder
            be_worker(self.session, Messages(theirs))
        theirs.close()
        worker = self.workers[pid] = Worker(pid, Messages(ours))
        self.selector.register(ours, selectors.EVENT_READ, worker)

    def hear(self, worker: Worker) -> None:
        """Act on what a worker tells."""
        hook = self.session.config.hook
        kind, *told = worker.messages.receive()
        if kind == "end":
            self.ended(worker)
        elif kind == "more":
            worker.file = worker.file or deque(self.files.popleft() if self.files else self.half())
            following = [worker.file.popleft()] if worker.file else []
            worker.given += following
            with contextlib.suppress(OSError):  # it has just ended
                worker.messages.send(*following)
        elif kind == "start":
            worker.running = worker.given.popleft()
        elif kind == "report":
            report = hook.pytest_report_from_serializable(config=self.session.config, data=told[0])
            file = file_of(report.nodeid)
            self.seconds[file] = self.seconds.get(file, 0.0) + report.duration
            hook.pytest_runtest_logreport(report=report)
        elif kind == "warning":
            text, filename, line, rest = told
            warning = warnings.WarningMessage(UserWarning(text), UserWarning, filename, line)
            hook.pytest_warning_recorded.call_historic(kwargs={"warning_message": warning, **rest})

    def half(self) -> Numbers:
        """The later half of what is left of the file of which most is left."""

        def left(worker: Worker) -> float:
            return sum(self.expected[number] for number in worker.file)

        busiest = max(self.workers.values(), key=left)
        if left(busiest) < WORTH_DIVIDING:
            return []
        return [busiest.file.pop() for _ in range(len(busiest.file) // 2)][::-1]

    def ended(self, worker: Worker) -> None:
        """A worker is through, or a test has ended it: that one has failed."""
        status = self.forget(worker)
        if status == 0:
            return
        if worker.running is not None:
            item = self.session.items[worker.running]
            report = pytest.TestReport(
                nodeid=item.nodeid,
                location=item.location,
                keywords={},
                outcome="failed",
                longrepr=f"the process of this test ended with status {status}",
                when="call",
            )
            self.session.config.hook.pytest_runtest_logreport(report=report)
        if left := [*worker.given, *worker.file]:
            self.files.appendleft(left)
        if self.files:
            self.fork()

    def forget(self, worker: Worker) -> int:
        """Its exit status, once it has ended. It ends when it sees that nobody listens."""
        self.selector.unregister(worker.messages.end)
        worker.messages.end.close()
        del self.workers[worker.pid]
        return os.waitstatus_to_exitcode(os.waitpid(worker.pid, 0)[1])


def be_worker(session: pytest.Session, messages: Messages) -> None:
    """Run what the runner gives, tell it how that went, and end."""
    atexit._clear()  # the runner's
    status = 1
    try:
        plugins = session.config.pluginmanager
        capture: Any = plugins.getplugin("capturemanager")
        capture.stop_global_capturing()
        capture.start_global_capturing()
        plugins.unregister(name="terminalreporter")
        telling = Telling(session.config, messages)
        plugins.register(telling)
        telling.begun = True
        try:
            run_items(session, messages)
        finally:
            session._setupstate.teardown_exact(None)
            capture.stop_global_capturing()
        atexit._run_exitfuncs()
        status = 0
    except (OSError, KeyboardInterrupt):
        pass  # the runner has ended, and tells why
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def run_items(session: pytest.Session, messages: Messages) -> None:
    items = given(session, messages)
    item = next(items, None)
    while item is not None and not session.shouldfail and not session.shouldstop:
        following = next(items, None)  # which is asked for now: a fixture may be for both
        messages.send("start")
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        item = following


def given(session: pytest.Session, messages: Messages) -> Iterator[pytest.Item]:
    """The tests that the runner gives, until it has no more."""
    while True:
        messages.send("more")
        answer = messages.receive()
        if answer in [(), ("end",)]:
            return
        yield session.items[answer[0]]


@define(eq=False)
class Telling:
    """The plugin of a worker that tells the runner what pytest tells it.

    pytest repeats to a plugin that is new which warnings there have been: they are the runner's,
    which knows them.
    """

    config: pytest.Config
    messages: Messages
    begun: bool = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """How a test went, or its preparations."""
        data = self.config.hook.pytest_report_to_serializable(config=self.config, report=report)
        self.messages.send("report", data)

    def pytest_warning_recorded(
        self, warning_message: warnings.WarningMessage, when: str, nodeid: str, location: Any
    ) -> None:
        """A warning that is no error."""
        if not self.begun:
            return
        text = f"{warning_message.category.__name__}: {warning_message.message}"
        rest = {"when": when, "nodeid": nodeid, "location": location}
        self.messages.send("warning", text, warning_message.filename, warning_message.lineno, rest)
