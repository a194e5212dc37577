"""Ports to listen on: the well-known ones, or the next that are free."""

import errno
import socket

from nsqcore.classes import Factory, define
from nsqctl.shared.errors import CommandFailed


class UpFailed(CommandFailed):
    """The cluster could not be started, or did not stay up; the text says why."""


@define
class FreePorts:
    """Ports of ``host``, each given away once; ``notes`` tells of those that were taken."""

    host: str
    notes: list[str] = Factory(list)
    _given: set[int] = Factory(set)

    def take(self, port: int, who: str) -> int:
        """The first port from ``port`` on that nobody has. Raises UpFailed."""
        strangers: list[int] = []
        for candidate in range(port, 65536):
            if candidate in self._given:
                continue
            if _is_free(self.host, candidate):
                self._given.add(candidate)
                if strangers:
                    self.notes.append(
                        f"{who} is at port {candidate}: another program has"
                        f" {', '.join(map(str, strangers))}"
                    )
                return candidate
            strangers.append(candidate)
        raise UpFailed(f"no free port from {port} on")


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise UpFailed(f"cannot listen on {host}: {error.strerror}") from error
        except ValueError as error:  # no name that could be resolved
            raise UpFailed(f"cannot listen on {host}: it is no host name") from error
    return True
