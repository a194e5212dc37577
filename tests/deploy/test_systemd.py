"""The units are accepted by systemd, and the programs speak its protocol."""

import os
import re
import shutil
import socket
import subprocess
import sysconfig
from pathlib import Path

import pytest

from nsqcore.app.config.load import load
from nsqd.config.options import NsqdOptions

FOLDER = Path(__file__).parents[2] / "deploy/systemd"
UNITS = sorted(FOLDER.glob("*.service"))
FLAGS = {
    "nsqd": ["--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0"],
    "nsqlookupd": ["--tcp-address=127.0.0.1:0", "--http-address=127.0.0.1:0"],
    "nsqadmin": ["--http-address=127.0.0.1:0", "--nsqd-http-address=127.0.0.1:1"],
}


def values(unit: Path, key: str) -> list[str]:
    """What a unit says of ``key``."""
    lines = [line.partition("=") for line in unit.read_text().splitlines()]
    return [value for name, _, value in lines if name == key]


def test_every_daemon_has_a_unit_that_runs_it():
    assert {unit.stem for unit in UNITS} == set(FLAGS)
    for unit in UNITS:
        assert values(unit, "ExecStart") == [f"/opt/nsq/bin/{unit.stem}"]
        assert values(unit, "Type") == ["notify"]


@pytest.mark.slow
def test_systemd_finds_nothing_wrong(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze here")
    for unit in UNITS:
        # The programs need not be installed where this runs.
        text = unit.read_text().replace(f"/opt/nsq/bin/{unit.stem}", "/bin/true")
        (tmp_path / unit.name).write_text(text)
    copies = [str(tmp_path / unit.name) for unit in UNITS]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *copies],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_second_nsqd_of_the_page_wants_no_port_of_the_first():
    page = (FOLDER.parents[1] / "docs/deployment-systemd.md").read_text()
    (drop_in,) = re.findall(r"```ini\n# \S*/nsqd-2.service.d/(.*?)```", page, re.DOTALL)
    said = " ".join(re.findall(r"^Environment=(.*)$", drop_in, re.MULTILINE))
    environment = dict(word.split("=", 1) for word in said.split())
    first = load(NsqdOptions, "nsqd", [], environment={})
    second = load(NsqdOptions, "nsqd", [], environment=environment)
    ports = [
        getattr(options, name).rpartition(":")[2]
        for options in (first, second)
        for name in ("tcp_address", "http_address", "https_address")
    ]
    assert len(set(ports)) == 6, ports
    assert second.id == 2  # the default is made of the host's name
    assert second.data_path != first.data_path


@pytest.mark.slow
@pytest.mark.parametrize("program", FLAGS)
def test_each_says_when_it_is_ready_and_when_it_stops(program, tmp_path):
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(path)
        systemd.settimeout(60)
        environment = os.environ | {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "200000"}
        process = subprocess.Popen(
            [Path(sysconfig.get_path("scripts")) / program, *FLAGS[program]],
            env=environment,
            cwd=tmp_path,
            stderr=subprocess.DEVNULL,
        )
        try:
            heard = hear(systemd, "READY=1")
            heard += hear(systemd, "WATCHDOG=1")
            process.terminate()
            heard += hear(systemd, "STOPPING=1")
            assert process.wait(60) == 0
        finally:
            process.kill()
            process.wait()
    assert "READY=1" in heard


def hear(systemd: socket.socket, wanted: str) -> list[str]:
    """All that is said until ``wanted`` is."""
    heard: list[str] = []
    while wanted not in heard:
        heard += systemd.recv(4096).decode().splitlines()
    return heard
