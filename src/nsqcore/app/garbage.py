"""The cyclic garbage collector, tuned for daemons that hold much and leak nothing.

What a daemon keeps (topics, queues, connections) is freed by reference counts; the
collector is left for the odd traceback and task. A full collection looks at every
container there is: with 10 000 channels it held up the loop for 140 ms. So what
exists at the start is put out of its sight, the young generation is made large
(collecting one takes about 2 ms), and full collections are rare.
"""

import gc

# Containers allocated, net of those freed, before the youngest are looked at …
YOUNG = 20_000
# … how many such looks before the middle-aged are, and how many of those before all are.
MIDDLE, OLD = 20, 200


def settle() -> None:
    """Set what exists aside, and tune the collector. To be called once start-up is done."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
