"""The ``nsqctl`` command."""

import argparse
import sys
from pathlib import Path

import trio

from nsqctl.up import UpFailed, UpOptions, up


def main() -> int:
    """The exit status of one ``nsqctl`` command."""
    parser = argparse.ArgumentParser(prog="nsqctl", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("up", help="start a local cluster in the foreground")
    start.add_argument("--nsqd", type=int, default=2, help="how many nsqd (default 2)")
    start.add_argument("--data-path", type=Path, default=Path("data"), help="default ./data")
    start.add_argument("--host", default="127.0.0.1", help="address to listen on (loopback)")
    start.add_argument("--no-admin", action="store_true", help="without nsqadmin")
    given = parser.parse_args()
    options = UpOptions(
        nsqd=given.nsqd, data_path=given.data_path, host=given.host, admin=not given.no_admin
    )
    status = 0
    try:
        trio.run(up, options)
    except* (UpFailed, OSError) as group:
        for error in group.exceptions:
            print(f"nsqctl: {error}", file=sys.stderr)
        status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
