"""A daemon that does not outlive its supervisor.

Started with ``python -m nsqcore.app.process.child MODULE ARGUMENTS``.

Standard input is a pipe whose other end only the supervisor holds. When that ends, the daemon stops
as with SIGTERM, which loses nothing.
"""

import runpy
import sys

from nsqcore.app.process.pipes import stop_at_end_of_input


def main() -> None:
    """Run the module that the first argument names, with the other arguments."""
    stop_at_end_of_input()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
