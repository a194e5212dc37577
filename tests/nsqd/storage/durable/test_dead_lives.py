"""A message that dies, or is sent back, is in one place after any end of nsqd."""

import pytest
from tests.nsqd.storage.durable.dead_lives import die_and_come_back
from tests.support.seeds import seeds


@pytest.mark.slow
@pytest.mark.parametrize("first", seeds(4, step=20))
def test_of_every_message_there_is_one_copy(first: int, tmp_path):
    died = sum(die_and_come_back(seed, str(tmp_path)) for seed in range(first, first + 20))
    assert died > 100
