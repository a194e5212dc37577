"""What was promised is kept, whenever the machine stops."""

import pytest
from tests.nsqd.storage.durable.lives import live_and_die
from tests.support.seeds import seeds


@pytest.mark.parametrize("first", seeds(8, step=50))
def test_what_was_promised_is_there_in_the_next_life(first: int):
    for seed in range(first, first + 50):
        live_and_die(seed)
