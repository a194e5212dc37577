"""Words to systemd."""

import os
import socket

import pytest

from nsqcore.app.process.sdnotify import notify, watchdog_interval


@pytest.mark.parametrize("abstract", [False, True])
def test_the_supervisor_hears_what_is_said(tmp_path, monkeypatch, abstract):
    name = f"\0nsq-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name)
        monkeypatch.setenv("NOTIFY_SOCKET", name.replace("\0", "@"))
        notify("READY=1")
        assert listener.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "/nowhere/at/all", "no-path"])
def test_a_supervisor_that_cannot_hear_stops_nobody(monkeypatch, address):
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    before = os.listdir("/proc/self/fd")
    notify("READY=1")
    assert os.listdir("/proc/self/fd") == before  # it keeps no socket either


@pytest.mark.parametrize(
    ("limit", "process", "interval"),
    [("10000000", None, 5.0), ("10000000", "1", None), ("x", None, None), ("0", None, None)],
)
def test_the_watchdog_is_fed_twice_as_often_as_it_asks(monkeypatch, limit, process, interval):
    monkeypatch.setenv("WATCHDOG_USEC", limit)
    monkeypatch.setenv("WATCHDOG_PID", process or str(os.getpid()))
    assert watchdog_interval() == interval
