"""One process of ``nsqctl up``: a daemon that does not outlive nsqctl.

Standard input is a pipe whose other end only nsqctl holds: when nsqctl ends, however it
ends, the pipe ends, and the daemon stops as with SIGTERM, which loses nothing. Nothing is
ever written into the pipe. Unlike a signal at the parent's death this works on every Unix,
and whichever thread of nsqctl started the process.
"""

import os
import runpy
import signal
import sys
import threading


def main() -> None:
    """Run the daemon that the first argument names, with the other arguments."""
    threading.Thread(target=_stop_at_end_of_input, daemon=True).start()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def _stop_at_end_of_input() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
