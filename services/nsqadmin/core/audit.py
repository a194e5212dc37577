"""The audit log: who did what, or was refused it, one JSON object a line, in ``--audit-file``.

The schema is stable (docs/security.md): keys are added, never renamed or taken away, and `VERSION`
counts what would break a reader. Every line has all keys, empty where they do not apply. Lines are
appended, so that programs which rotate files may rename this one: SIGHUP opens it anew. A line that
cannot be written is told in the log, and nothing else fails for it.
"""

import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nsqadmin.auth.principals import Principal
from nsqcore.app.config.options import OptionsError

VERSION = 1
DONE, PARTIAL, FAILED, REFUSED = "done", "partial", "failed", "refused"

logger = logging.getLogger(__name__)
# Characters of what a request says; names have 64.
_LONGEST = 500
_sinks: list["AuditFile"] = []


class AuditFile:
    """The file that lines are appended to."""

    def __init__(self, path: str, wall: Callable[[], int]) -> None:
        """Raises OSError."""
        self.path, self.wall = Path(path), wall
        self._file = self._open()

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def reopen(self) -> None:
        """Go on in the file that has the name now; in the old one if there can be none."""
        try:
            opened = self._open()
        except OSError as error:
            logger.error("audit(%s): failed to open again: %s", self.path, error)
            return
        os.close(self._file)
        self._file = opened

    def write(self, line: dict[str, object]) -> None:
        """Append a line."""
        data = json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode(
            "utf-8", "replace"
        )
        try:
            os.write(self._file, data + b"\n")
        except OSError as error:
            logger.error("audit(%s): failed to write a line: %s", self.path, error)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


@contextmanager
def audit_file(path: str, wall: Callable[[], int]) -> Iterator[AuditFile | None]:
    """While it lasts, all that is audited goes into the file at ``path``; nowhere if it is empty.

    Raises:
        OptionsError: the file cannot be written.
    """
    if not path:
        yield None
        return
    try:
        opened = AuditFile(path, wall)
    except OSError as error:
        raise OptionsError(f"failed to open --audit-file: {error}") from error
    _sinks.append(opened)
    try:
        yield opened
    finally:
        _sinks.remove(opened)
        opened.close()


def audit(
    event: str,
    outcome: str,
    principal: Principal,
    *,
    topic: str = "",
    channel: str = "",
    node: str = "",
    policy: str = "",
    count: int | None = None,
    detail: str = "",
) -> None:
    """Write down that ``principal`` did ``event``, or tried to.

    Args:
        outcome: `DONE`, `PARTIAL` (not everywhere), `FAILED` or `REFUSED`.
        count: of messages, where it is about some.
    """
    for sink in _sinks:
        now = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=sink.wall() // 1000)
        sink.write(
            {
                "version": VERSION,
                "time": f"{now:%Y-%m-%dT%H:%M:%S.%f}Z",
                "event": event,
                "outcome": outcome,
                "user": principal.user[:_LONGEST],
                "role": principal.role.name.lower() if principal.role else "",
                "address": principal.address,
                "topic": topic[:_LONGEST],
                "channel": channel[:_LONGEST],
                "node": node[:_LONGEST],
                "policy": policy[:_LONGEST],
                "count": count,
                "detail": detail[:_LONGEST],
            }
        )
