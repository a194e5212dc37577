"""One member of ``nsqd --processes``: an nsqd that stops when its supervisor is gone."""

import sys

from nsqcore.app.pipes import stop_at_end_of_input
from nsqd.__main__ import main

if __name__ == "__main__":
    stop_at_end_of_input()
    sys.exit(main())
