"""The command ``nsq_to_http``."""

import sys

from nsqtools.nsq_to_http import main

if __name__ == "__main__":
    sys.exit(main())
