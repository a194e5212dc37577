"""The command ``nsq_tail``."""

import sys

from nsqtools.nsq_tail import main

if __name__ == "__main__":
    sys.exit(main())
