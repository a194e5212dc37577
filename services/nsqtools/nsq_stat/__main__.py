"""The command ``nsq_stat``."""

import sys

from nsqtools.nsq_stat import main

if __name__ == "__main__":
    sys.exit(main())
