"""The command ``nsq_to_file``."""

import sys

from nsqtools.nsq_to_file import main

if __name__ == "__main__":
    sys.exit(main())
