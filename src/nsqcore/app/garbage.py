"""The cyclic garbage collector, tuned for daemons that hold much and leak nothing.

What a daemon keeps (topics, queues, connections) is freed by reference counts; the
collector is left for the odd traceback and task. A full collection looks at every
container there is: with 10 000 channels it held up the loop for 140 ms. So what
exists at the start is put out of its sight, and full collections are rare.

A look at the young ones must stay short too. A container is looked at with all that is in it: a
publisher of large batches leaves lists of hundreds of messages in memory, and 20 000 of those took
70 to 120 ms.
"""

import gc

# Containers allocated, net of those freed, before the youngest are looked at: some milliseconds
# where they are lists of 200 messages, a tenth of one elsewhere …
YOUNG = 2_000
# … how many such looks before the middle-aged are, and how many of those before all are.
MIDDLE, OLD = 200, 200


def tune() -> None:
    """Set aside what exists and make full collections rare. To be called once start-up is done."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
