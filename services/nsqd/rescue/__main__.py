"""``python -m nsqd.rescue``."""

import sys

from nsqd.rescue.program import main

if __name__ == "__main__":
    sys.exit(main())
