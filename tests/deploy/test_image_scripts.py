"""The two scripts of the image, outside of one."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.daemons import Daemon, wait_until

SCRIPTS = Path(__file__).parents[2] / "deploy/docker"
PATH = f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}"

pytestmark = pytest.mark.slow

Start = Callable[[], subprocess.Popen[bytes]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts an nsqd in a slot of ``tmp_path``."""
    processes = []

    def run() -> subprocess.Popen[bytes]:
        flags = ["--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0"]
        with (tmp_path / f"log-{len(processes)}").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, SCRIPTS / "nsqd-slot", *flags],
                env=os.environ | {"PATH": PATH, "NSQD_DATA_PATH": str(tmp_path)},
                stderr=log,
            )
        processes.append(process)
        return process

    yield run
    for process in processes:
        process.kill()
        process.wait()


def has_slot(process: subprocess.Popen[bytes], folder: Path, slot: int) -> None:
    """Return when ``process`` has become an nsqd that serves clients from ``slot``."""
    flags = [f"--node-id={slot}", f"--data-path={folder}/slot-{slot}"]

    def command() -> list[str]:
        assert process.poll() is None
        return Path(f"/proc/{process.pid}/cmdline").read_text().split("\0")

    wait_until(lambda: set(flags) <= set(command()), f"slot {slot} is taken")
    wait_until((folder / f"slot-{slot}/nsqd.dat").exists, "nsqd is up")


def test_each_nsqd_has_a_slot_of_its_own_and_one_that_is_free_again_is_taken_first(start, tmp_path):
    first, second = start(), None
    has_slot(first, tmp_path, 0)
    second = start()
    has_slot(second, tmp_path, 1)
    first.send_signal(signal.SIGKILL)
    first.wait()
    has_slot(start(), tmp_path, 0)
    has_slot(start(), tmp_path, 2)


def test_messages_in_a_slot_that_nobody_serves_are_told_of(start, tmp_path, monkeypatch):
    """After a larger service was taken down and a smaller one up, nothing said so."""
    monkeypatch.setenv("NSQD_SLOT_LOOK", "0.1")
    left = tmp_path / "slot-1"
    left.mkdir()
    (tmp_path / "slot-1.lock").touch()
    (left / "t.diskqueue.meta.dat").write_text("7\n0,0\n0,100\n")
    has_slot(start(), tmp_path, 0)
    log = tmp_path / "log-0"
    wait_until(lambda: "slot-1, where 7 messages wait" in log.read_text(), "it is told")


Health = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def health(tmp_path_factory: pytest.TempPathFactory) -> Health:
    """Exit status and output of the health check at an address."""
    if not (compiler := shutil.which("cc")):
        pytest.skip("no C compiler here")
    program = tmp_path_factory.mktemp("bin") / "nsq-health"
    warnings = ("-Wall", "-Wextra", "-Werror")
    subprocess.run([compiler, *warnings, "-o", program, SCRIPTS / "nsq-health.c"], check=True)

    def ask(address: str, **more: str) -> tuple[int, str]:
        done = subprocess.run(
            [program],
            capture_output=True,
            text=True,
            check=False,
            env={"NSQ_HEALTH_ADDRESS": address, **more},
        )
        return done.returncode, done.stdout

    return ask


def test_a_health_check_costs_a_few_milliseconds(health):
    """An interpreter for each check was a tenth of a second."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(50):
        health("127.0.0.1:1")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / 50 < 0.01


@pytest.mark.parametrize(
    ("words", "address"),
    [
        ("/opt/nsq/bin/python /opt/nsq/bin/nsqd --flag", "127.0.0.1:4151"),
        ("/sbin/docker-init -- /opt/nsq/bin/python /opt/nsq/bin/nsqlookupd", "127.0.0.1:4161"),
        ("nsqadmin", "127.0.0.1:4171"),
    ],
)
def test_the_daemon_that_is_process_one_is_asked(health, tmp_path, words, address):
    (tmp_path / "cmdline").write_text("\0".join(words.split()) + "\0")
    status, text = health("", NSQ_HEALTH_CMDLINE=str(tmp_path / "cmdline"))
    assert status == 0 or address in text


def test_health_is_what_readyz_says(health, tmp_path):
    nsqd = Daemon("nsqd", tmp_path, ["--lookupd-tcp-address=127.0.0.1:1"]).start()
    try:
        status, text = health(nsqd.http)
        assert status == 1
        assert "not registered with 127.0.0.1:1" in text
        nsqd.request("PUT", "/config/nsqlookupd_tcp_addresses", b"[]")
        status, text = health(nsqd.http)
        assert (status, '"status":"ready"' in text) == (0, True)
    finally:
        nsqd.clean_up()
    status, text = health(nsqd.http)
    assert status == 1
    assert "refused" in text


def test_a_daemon_may_be_asked_at_a_unix_socket(health, tmp_path):
    socket = tmp_path / "http.sock"
    nsqd = Daemon("nsqd", tmp_path, [f"--http-address={socket}"])
    nsqd.spawn()
    try:
        wait_until(lambda: health(str(socket))[0] == 0, "it is healthy")
    finally:
        nsqd.clean_up()
    status, text = health(str(socket))
    assert status == 1
    assert str(socket) in text


def test_an_address_that_is_none_is_named(health):
    assert health("nonsense") == (
        1,
        "nonsense: is not HOST:PORT\n",
    )


def test_where_no_daemon_is_process_one_all_is_well(health):
    assert health("") == (0, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_what_makes_base_images_leaves_nothing_behind_when_it_is_stopped(tmp_path, number):
    """Debootstrap went on, and its folder stayed."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "docker").write_text("#!/bin/sh\nexit 1\n")
    (programs / "debootstrap").write_text(
        f"#!/bin/sh\nsleep 1000 &\necho $! $$ > {tmp_path}/pids\nwait\n"
    )
    for program in programs.iterdir():
        program.chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    script = subprocess.Popen(
        [SCRIPTS.parents[1] / "tests/compose/base_images.sh"],
        env=os.environ | {"PATH": path, "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    pids = tmp_path / "pids"
    wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2, "it runs")
    assert list(tmp_path.glob("nsq-base.*"))
    script.send_signal(number)
    assert script.wait(20) == 130
    for pid in pids.read_text().split():
        wait_until(lambda pid=pid: not is_running(pid), f"{pid} has ended")
    assert not list(tmp_path.glob("nsq-base.*"))


def is_running(pid: str) -> bool:
    """Whether there is such a process, and it is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# Starts a command that starts another, by what builds images and runs compose in tests.
BUILDS = """
from tests.compose import engine
engine.LONGEST = float("{longest}")
engine.run("sh", "-c", "sleep 1000 & echo $$ $! > {pids}; wait; true")
"""


@pytest.mark.parametrize(
    ("longest", "number"),
    [("3600", signal.SIGKILL), ("3600", signal.SIGTERM), ("3600", signal.SIGINT), ("5", None)],
    ids=["killed", "terminated", "interrupted", "took too long"],
)
def test_a_long_command_of_the_container_tests_leaves_nobody_behind(tmp_path, longest, number):
    pids = tmp_path / "pids"
    tests = subprocess.Popen(
        [sys.executable, "-c", BUILDS.format(longest=longest, pids=pids)],
        cwd=Path(__file__).parents[2],
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: pids.exists() and pids.read_text().endswith("\n"), "it is running")
        started = pids.read_text().split()
        if number is not None:
            tests.send_signal(number)
        tests.wait(60)
        wait_until(lambda: not any(map(is_running, started)), "all have ended")
    finally:
        tests.kill()
        tests.wait()
