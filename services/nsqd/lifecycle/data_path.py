"""The file system of the data path: whether it keeps what was synced, and how much is free."""

import logging
import os
import re
from collections.abc import Callable

import trio

from nsqcore.app import threads
from nsqcore.classes import define, field
from nsqd.engine.health import Health

logger = logging.getLogger(__name__)

# What the system tells of its mounts (Linux); elsewhere nothing is known of a file system.
MOUNTS = "/proc/self/mountinfo"

# A sync is a promise of another machine there, which caches, loses and reorders as it was set up.
NETWORK = frozenset(
    {"9p", "afs", "cifs", "davfs", "ncpfs", "nfs", "nfs4", "smb3", "smbfs"}
    | {f"fuse.{name}" for name in ("blobfuse2", "gcsfuse", "rclone", "s3fs", "sshfs")}
)
_ESCAPE = re.compile(r"\\([0-7]{3})")

# Seconds between two looks at the free space: the shorter, the sooner it may be used up.
SHORTEST, LONGEST = 0.02, 1.0
# Bytes of messages between two looks are half of what is free over the limit; at least these.
FEWEST = 1 << 16
# Publishes are accepted again when there is so much more free than is wanted at least.
MARGIN = 1.05


def network_file_system(path: str) -> str:
    """What kind of network file system ``path`` is on; empty if it is on none, as far as is known.

    Raises OSError.
    """
    try:
        with open(MOUNTS, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return ""
    kind, longest = "", ""
    place = os.path.realpath(path)
    for line in lines:
        mount, _, rest = line.partition(" - ")
        point = _ESCAPE.sub(lambda found: chr(int(found[1], 8)), mount.split(" ")[4])
        inside = place == point or place.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(longest):  # of two at one place the later one is seen
            kind, longest = rest.split(" ")[0], point
    return kind if kind in NETWORK else ""


def free_bytes(path: str) -> int:
    """How much an ordinary user may still write to the file system of ``path``. Raises OSError."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


@define(eq=False, repr=False)
class FreeSpace:
    """Has publishes refused while fewer than ``least`` bytes are ``free``.

    It looks as time goes by, for what others write, and as bytes are published.
    """

    least: int
    health: Health
    free: Callable[[], int]
    _last: int = field(default=0, init=False)
    _pause: float = field(default=SHORTEST, init=False)

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            try:
                free = await threads.run_sync(self.free, lane="disk")
            except OSError as error:
                logger.warning("DISK: failed to tell how much is free - %s", error)
            else:
                self.judge(free)
                self._pause = self._next_pause(free)
                self._last = free
            await trio.sleep(self._pause)

    def look(self) -> None:
        """Look now, and again when half of what is left over the limit was published."""
        try:
            self.judge(self.free())
        except OSError as error:
            logger.warning("DISK: failed to tell how much is free - %s", error)
            self.health.look_after(FEWEST, self.look)

    def _next_pause(self, free: int) -> float:
        """Half the time in which what is left over the limit would be used up as fast as of late;
        at most twice the last one."""
        used, left = self._last - free, max(free - self.least, 0)
        pause = self._pause * min(2, left / (2 * used)) if used > 0 else 2 * self._pause
        return min(max(pause, SHORTEST), LONGEST)

    def judge(self, free: int) -> None:
        """Take note that there are ``free`` bytes."""
        self.health.look_after(max((free - self.least) // 2, FEWEST), self.look)
        if free < self.least:
            if not self.health.low:
                logger.error(
                    "DISK: %d bytes are free, --min-free-bytes is %d: publishes are refused",
                    free,
                    self.least,
                )
            self.health.low = f"{free} bytes are free, less than --min-free-bytes={self.least}"
        elif self.health.low and free >= self.least * MARGIN:
            self.health.low = ""
            logger.info("DISK: %d bytes are free: publishes are accepted again", free)
