"""Words to systemd about the state of this process (see sd_notify(3)).

Does nothing where systemd does not listen, and never fails: a supervisor that cannot hear must not
stop a daemon.
"""

import os
import socket


def notify(state: str) -> None:
    """Send ``state``, such as ``READY=1``, ``STOPPING=1`` or ``STATUS=draining``."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto(state.encode(), address)
    except OSError:
        pass


def watchdog_interval() -> float | None:
    """Seconds between two ``WATCHDOG=1`` that systemd is content with; None if it does not ask."""
    try:
        microseconds = int(os.environ.get("WATCHDOG_USEC", "0"))
        process = int(os.environ.get("WATCHDOG_PID", os.getpid()))
    except ValueError:
        return None
    if microseconds <= 0 or process != os.getpid():
        return None
    return microseconds / 2e6  # half the limit, as sd_watchdog_enabled(3) recommends
