"""A daemon's outermost frame: signals and exit statuses, with real processes."""

import os
import signal
import socket
import subprocess
import sys
import textwrap

import pytest

PROGRAM = """
import os, sys
import trio
from nsqcore.classes import frozen
from nsqcore.app.log import format_option, level_option, prefix_option
from nsqcore.app.config.options import OptionsError, option
from nsqcore.app.service import main

@frozen(kw_only=True)
class Options:
    log_level: str = level_option()
    log_prefix: str = prefix_option("prog")
    log_format: str = format_option()
    old: bool = option(False, "no effect", deprecated=True)

def say(word):
    os.write(1, word.encode() + b"\\n")

async def run(options, process):
{body}

sys.exit(main("prog", Options, run))
"""

WAIT = """
    process.ready()
    say("ready")
    await process.shutdown.wait()
    say("stopped")
"""


class Daemon:
    """One run of `PROGRAM`."""

    def __init__(self, body, *arguments, **more):
        code = PROGRAM.format(body=textwrap.indent(textwrap.dedent(body), "    "))
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stdout=subprocess.PIPE,
            stderr=more.pop("stderr", subprocess.PIPE),
            **more,
        )

    def line(self):
        return self.process.stdout.readline().decode().strip()

    def signal(self, number):
        self.process.send_signal(number)

    def end(self):
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out.decode(), (err or b"").decode()


@pytest.fixture
def daemon():
    started = []

    def start(*arguments, **more):
        started.append(Daemon(*arguments, **more))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.communicate()


pytestmark = pytest.mark.slow


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_the_daemon_with_status_0(daemon, number):
    running = daemon(WAIT)
    assert running.line() == "ready"
    running.signal(number)
    status, out, err = running.end()
    assert (status, out) == (0, "stopped\n")
    assert f"process({number.name}): stopping" in err


def test_sighup_reloads_where_the_daemon_can(daemon):
    running = daemon('process.on_reload = lambda: say("reloaded")\n' + textwrap.dedent(WAIT))
    assert running.line() == "ready"
    running.signal(signal.SIGHUP)
    assert running.line() == "reloaded"
    running.signal(signal.SIGTERM)
    assert running.end()[0] == 0


def test_a_daemon_that_drains_takes_the_second_sigterm_as_a_stop(daemon):
    running = daemon('process.on_sigterm = lambda: say("draining")\n' + textwrap.dedent(WAIT))
    assert running.line() == "ready"
    running.signal(signal.SIGTERM)
    assert running.line() == "draining"
    running.signal(signal.SIGTERM)
    assert running.end()[:2] == (0, "stopped\n")


def test_a_daemon_that_does_not_stop_is_cancelled_at_the_third_signal(daemon):
    running = daemon(
        """
        import logging
        try:
            say("ready")
            await process.shutdown.wait()
            say("hanging")
            await trio.sleep_forever()
        finally:
            say("flushed")
        """
    )
    assert running.line() == "ready"
    running.signal(signal.SIGTERM)
    assert running.line() == "hanging"
    running.signal(signal.SIGINT)
    running.signal(signal.SIGTERM)
    assert running.end()[:2] == (0, "flushed\n")


def test_what_the_operator_can_mend_is_told_in_one_line(daemon):
    status, _, err = daemon('raise OSError(98, "Address already in use", "127.0.0.1:1")').end()
    assert status == 1
    assert "FATAL: [Errno 98] Address already in use: '127.0.0.1:1'" in err
    assert "Traceback" not in err


def test_settings_refused_while_starting_end_with_their_status(daemon):
    status, _, err = daemon('raise OptionsError("--x is wrong")').end()
    assert status == 1
    assert "FATAL: --x is wrong" in err


def test_a_crash_ends_with_1_and_a_traceback(daemon):
    status, _, err = daemon(
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, "x")
        """
    ).end()
    assert status == 1
    assert "FATAL: crashed: TypeError" in err
    assert "Traceback" in err


def test_notes_about_the_settings_are_in_the_log(daemon):
    status, _, err = daemon('say("hello")', "--old").end()
    assert status == 0
    assert "WARNING: settings: flag -old is deprecated: no effect" in err


def test_at_level_fatal_nothing_is_written(daemon):
    status, _, err = daemon('say("hello")', "--log-level=fatal", "--old").end()
    assert (status, err) == (0, "")


def test_a_daemon_whose_stderr_is_read_only_ends_with_0(daemon):
    with open(os.devnull, "rb") as unwritable:
        status, out, _ = daemon('say("hello")', stderr=unwritable).end()
    assert (status, out) == (0, "hello\n")


def test_systemd_is_told_of_readiness_and_of_the_stop(daemon, tmp_path):
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(path)
        running = daemon(WAIT, env={**os.environ, "NOTIFY_SOCKET": path})
        assert supervisor.recv(100) == b"READY=1"
        running.signal(signal.SIGTERM)
        assert supervisor.recv(100) == b"STOPPING=1"
        assert running.end()[0] == 0


HARMLESS = [
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
    signal.SIGIO,
    signal.SIGVTALRM,
    signal.SIGPROF,
    signal.SIGPWR,
    signal.SIGXCPU,
    signal.SIGRTMIN,
    signal.SIGRTMIN + 7,  # without a name
    signal.SIGRTMAX,
]


def test_signals_that_nobody_uses_do_not_end_the_daemon(daemon):
    running = daemon(WAIT)
    assert running.line() == "ready"
    for number in HARMLESS:
        running.signal(number)
    running.signal(signal.SIGTERM)
    status, out, err = running.end()
    assert (status, out) == (0, "stopped\n")
    assert "process(SIGUSR1): <init>" in err


def test_what_a_daemon_starts_does_not_inherit_its_deafness(daemon):
    running = daemon(
        """
        import signal, subprocess, sys
        code = "import signal; print(signal.getsignal(signal.SIGUSR2) == signal.SIG_DFL)"
        subprocess.run([sys.executable, "-c", code])
        """
    )
    assert running.end()[1] == "True\n"


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_that_was_ignored_at_the_start_stays_ignored(daemon, number):
    running = daemon(WAIT, preexec_fn=lambda: signal.signal(number, signal.SIG_IGN))
    assert running.line() == "ready"
    running.signal(number)
    running.signal(signal.SIGTERM)
    status, out, err = running.end()
    assert (status, out) == (0, "stopped\n")
    assert number.name not in err


@pytest.mark.parametrize("name", ["on_reload", "on_sigterm"])
def test_a_signal_whose_handler_fails_does_not_end_the_daemon_with_a_crash(daemon, name):
    fail = f"def fail():\n    raise RuntimeError('no')\nprocess.{name} = fail\n"
    running = daemon(fail + textwrap.dedent(WAIT))
    assert running.line() == "ready"
    if name == "on_reload":
        running.signal(signal.SIGHUP)
    running.signal(signal.SIGTERM)
    status, out, err = running.end()
    assert (status, out) == (0, "stopped\n")
    assert "RuntimeError: no" in err


def test_a_fatal_line_says_what_is_inside_of_groups(daemon):
    running = daemon(
        """
        inner = OSError(111, "Connection refused", "/run/x")
        one = ExceptionGroup("one", [inner])
        raise ExceptionGroup("two", [OSError("all attempts failed"), one])
        """
    )
    status, _, err = running.end()
    assert status == 1
    assert "FATAL: all attempts failed\n" in err
    assert "FATAL: [Errno 111] Connection refused: '/run/x'\n" in err
    assert "sub-exception" not in err
