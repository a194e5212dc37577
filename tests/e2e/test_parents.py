"""What the parent leaves behind, for all ten programs: signals ignored, odd standard streams."""

import contextlib
import fcntl
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.daemons import BIN, PATIENCE, Daemon, wait_until
from tests.e2e.test_programs import PROGRAMS

pytestmark = pytest.mark.slow

UNUSED = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGIO, signal.SIGVTALRM)


@pytest.fixture(scope="module")
def nsqd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    made = Daemon("nsqd", tmp_path_factory.mktemp("nsqd")).start()
    made.create("t", "c")
    yield made
    made.clean_up()


def command(program: str, nsqd: Daemon, folder: Path) -> list[str]:
    """A command line with which the program runs until it is told to stop."""
    here, tcp, http = "127.0.0.1:0", f"--nsqd-tcp-address={nsqd.tcp}", nsqd.http
    flags = {
        "nsqd": [f"--tcp-address={here}", f"--http-address={here}", f"--data-path={folder}"],
        "nsqlookupd": [f"--tcp-address={here}", f"--http-address={here}"],
        "nsqadmin": [f"--http-address={here}", f"--nsqd-http-address={http}"],
        "nsqctl": ["top", f"--nsqd-http-address={http}", "--interval=0.1"],
        "nsq_stat": ["--channel=c", f"--nsqd-http-address={http}", "--interval=50ms"],
        "nsq_tail": [tcp],
        "nsq_to_file": [tcp, "--channel=c", f"--output-dir={folder}"],
        "nsq_to_http": [tcp, "--channel=c", "--post=http://127.0.0.1:1"],
        "nsq_to_nsq": [tcp, "--channel=c", f"--destination-nsqd-tcp-address={nsqd.tcp}"],
        "to_nsq": [tcp],
    }[program]
    topic = ["--topic=t"] if program.startswith("nsq_") or program == "to_nsq" else []
    return [str(BIN / program), *topic, *flags]


@contextlib.contextmanager
def started(
    words: list[str], before: Callable[[], None], folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """The program, once it has seen to signals; its input is a pipe that stays open."""
    with (
        (folder / "err").open("wb") as err,
        subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=err, stderr=err, preexec_fn=before, cwd=folder
        ) as process,
    ):
        try:
            status = Path(f"/proc/{process.pid}/status")
            wanted = sum(1 << (number - 1) for number in (signal.SIGTERM, *UNUSED))

            def is_guarded() -> bool:
                lines = dict(line.split(":\t") for line in status.read_text().splitlines())
                guarded = int(lines["SigCgt"], 16) | int(lines["SigIgn"], 16)
                return process.poll() is not None or guarded & wanted == wanted

            wait_until(is_guarded, "no signal ends it any more but as it wants")
            yield process
        finally:
            process.kill()


def ignoring() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def without_streams() -> None:
    os.closerange(0, 3)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_hang_up_ignored_by_the_parent_and_unused_signals_end_nothing(program, nsqd, tmp_path):
    with started(command(program, nsqd, tmp_path), ignoring, tmp_path) as process:
        for number in (signal.SIGHUP, *UNUSED):
            process.send_signal(number)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.terminate()
        assert process.wait(PATIENCE) in (0, -signal.SIGTERM)
    assert "Traceback" not in (tmp_path / "err").read_text()


@pytest.mark.parametrize("program", PROGRAMS)
def test_with_all_standard_streams_closed_it_runs_or_says_no(program, nsqd, tmp_path):
    words = command(program, nsqd, tmp_path)
    with started(words, without_streams, tmp_path) as process:
        if program in ("nsqd", "nsqlookupd", "nsqadmin", "nsq_to_file", "nsq_to_http"):
            with pytest.raises(subprocess.TimeoutExpired):  # it needs none of them
                process.wait(0.5)
        process.terminate()
        assert process.wait(PATIENCE) in (0, 1, -signal.SIGTERM)


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_is_told_through_a_full_pipe_that_never_blocks_arrives_whole(program):
    """A parent of another event loop made it so; a full pipe is then an error and no wait."""
    words = [str(BIN / program), "--help"]
    told = subprocess.run(words, capture_output=True, timeout=PATIENCE, check=False)
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writer, b"." * 4096)  # it is full
    os.set_blocking(writer, False)
    with open(reader, "rb") as pipe, subprocess.Popen(words, stdout=writer, stderr=writer) as heard:
        os.close(writer)
        with pytest.raises(subprocess.TimeoutExpired):  # it waits for the reader
            heard.wait(0.5)
        content = pipe.read()
    assert content == b"." * 4096 + told.stdout + told.stderr
    assert heard.returncode == told.returncode


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_signal_that_comes_while_it_still_starts_ends_it_in_order(program, nsqd, tmp_path):
    with started(command(program, nsqd, tmp_path), lambda: None, tmp_path) as process:
        process.terminate()
        assert process.wait(PATIENCE) in (0, -signal.SIGTERM)
    assert "Traceback" not in (tmp_path / "err").read_text()
