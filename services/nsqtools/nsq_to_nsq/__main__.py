"""The command ``nsq_to_nsq``."""

import sys

from nsqtools.nsq_to_nsq import main

if __name__ == "__main__":
    sys.exit(main())
