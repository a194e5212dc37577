"""The command ``to_nsq``."""

import sys

from nsqtools.to_nsq import main

if __name__ == "__main__":
    sys.exit(main())
