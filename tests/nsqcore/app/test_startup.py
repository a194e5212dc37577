"""What the parent leaves behind: ignored signals, closed and non-blocking standard streams."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.daemons import BIN

from nsqcore.app.startup import SIGNALS

PROGRAM = """
import os, signal, sys
{before}
from nsqcore.app import startup
startup.begin()
{after}
"""


@pytest.fixture(autouse=True)
def default_signals():
    """Programs started here ignore no signal, though the tests may have been started so."""
    ignored = [number for number in SIGNALS if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


def run(before: str, after: str, **more: object) -> subprocess.CompletedProcess[bytes]:
    code = PROGRAM.format(before=before, after=after)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, **more)


@pytest.mark.slow
def test_a_signal_that_comes_before_the_program_runs_is_noted():
    done = run(
        "",
        "os.kill(os.getpid(), signal.SIGHUP)\nprint(startup.pop_noted_signals(), "
        "startup.pop_noted_signals())",
    )
    assert done.stdout == f"[{int(signal.SIGHUP)}] []\n".encode()


@pytest.mark.slow
def test_a_signal_that_was_ignored_at_the_start_stays_ignored():
    done = run(
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)",
        "startup.begin()\nos.kill(os.getpid(), signal.SIGHUP)\n"
        "print(startup.pop_noted_signals(), [int(n) for n in startup.handled_signals()])",
    )
    handled = [int(number) for number in SIGNALS if number != signal.SIGHUP]
    assert done.stdout == f"[] {handled}\n".encode()


@pytest.mark.slow
def test_a_file_never_gets_the_number_of_a_standard_stream_that_is_closed():
    done = run(
        "for number in (0, 2): os.close(number)",
        "print(os.open('/dev/null', os.O_RDONLY) > 2)\nos.write(2, b'lost')\n"
        "try: os.read(0, 1)\nexcept OSError as error: print(error.errno)",
    )
    assert done.stdout == b"True\n9\n"


@pytest.mark.slow
def test_what_is_written_to_a_closed_standard_output_is_no_success():
    done = run(
        "os.close(1)", "try: os.write(1, b'x')\nexcept OSError as error: sys.exit(error.errno)"
    )
    assert done.returncode == 9


def test_another_thread_than_the_main_one_has_no_say_about_signals():
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    code = (
        "import threading, signal\nfrom nsqcore.app import startup\n"
        "t = threading.Thread(target=startup.begin)\nt.start(); t.join()\n"
        "print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, startup.handled_signals())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert done.stdout == b"True ()\n"
    assert handlers == [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]


FLAGS = {
    "nsqd": ["--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0"],
    "nsqlookupd": ["--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0"],
    "nsqadmin": ["--http-address=127.0.0.1:0", "--nsqd-http-address=127.0.0.1:1"],
    "nsq_tail": ["--topic=t", "--lookupd-http-address=127.0.0.1:1"],
}


@pytest.mark.slow
@pytest.mark.parametrize("program", FLAGS)
def test_a_signal_during_the_start_is_a_stop_and_no_death(program, tmp_path):
    command = [str(BIN / program), *FLAGS[program]]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE)
    status = Path(f"/proc/{process.pid}/status")
    try:
        while not catches(status, signal.SIGTERM):
            assert process.poll() is None
        process.terminate()
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, err.decode()


def catches(status: Path, number: int) -> bool:
    """Whether a process has a handler for a signal: once it has, it is no Python that starts."""
    row = next(row for row in status.read_text().splitlines() if row.startswith("SigCgt"))
    return bool(int(row.split()[1], 16) >> (number - 1) & 1)


@pytest.mark.slow
def test_ctrl_c_ends_a_question():
    done = run(
        "import os",
        "with startup.default_signals():\n"
        "    try: os.kill(os.getpid(), signal.SIGINT)\n"
        "    except KeyboardInterrupt: print('asked no more')\n"
        "os.kill(os.getpid(), signal.SIGINT)\nprint(startup.pop_noted_signals())",
    )
    assert done.stdout == b"asked no more\n[2]\n"


@pytest.mark.slow
def test_a_program_that_asks_over_http_loads_no_command_line_of_others():
    done = run(
        "",
        "startup.start('nsqcore.http.client:HttpClient')\n"
        "print(sorted({'httpx', 'rich', 'click', 'pygments'} & sys.modules.keys()))",
    )
    assert done.stdout == b"['httpx']\n", done.stderr
