"""One process of ``nsqctl up``: a daemon that does not outlive nsqctl.

Standard input is a pipe whose other end only nsqctl holds. When nsqctl ends, however it ends,
the daemon stops as with SIGTERM, which loses nothing.
"""

import runpy
import sys

from nsqcore.app.pipes import stop_at_end_of_input


def main() -> None:
    """Run the daemon that the first argument names, with the other arguments."""
    stop_at_end_of_input()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
