"""What was promised is kept, whenever the machine stops."""

import random

import pytest
from tests.nsqd.storage.durable.lives import DIRECTORY, Life, World, live_and_die
from tests.nsqd.storage.durable.simulated_disk import SimulatedDisk
from tests.support.seeds import seeds


@pytest.mark.slow
@pytest.mark.parametrize("first", seeds(4, step=50))
def test_what_was_promised_is_there_in_the_next_life(first: int):
    for seed in range(first, first + 50):
        live_and_die(seed)


# Lives that `make explore` and its like found something in: seed, lives, steps of each.
FOUND = [
    (218724217, 6, 300),  # a new topic began with the messages of a lost one
    (23343, 3, 120),  # a move that a loss of power tore took its messages, and did not bring them
    (25010, 3, 120),  # messages were not delivered, as lost ones were taken for some of them
    (25031, 3, 120),  # a segment was dropped before an empty file that lay in its middle
]


@pytest.mark.parametrize(("seed", "lives", "steps"), FOUND)
def test_what_was_found_once_stays_mended(seed: int, lives: int, steps: int):
    live_and_die(seed, lives=lives, steps=steps)


@pytest.mark.slow
def test_many_long_lives_keep_what_was_promised():
    (seed,) = seeds(1)
    for each in range(6 * seed, 6 * seed + 6):
        live_and_die(each, lives=6, steps=300)


def test_a_new_topic_has_nothing_of_one_whose_creation_a_loss_of_power_undid():
    disk = SimulatedDisk()
    first = Life(World(), disk, random.Random(0))
    first.start()
    lost = first.store.create("t", "os")
    lost.publish([bytes(8) + b"\0\1" + b"%016x" % 7 + b"old"], wall=1, done=lambda error: None)
    first.store.end_tick(0)
    assert lost.depth == 1
    for name, file in disk.directories[DIRECTORY].items():
        if name.startswith("journal"):  # the segment got to the device, the journal did not
            file.now = bytearray(file.synced)

    second = Life(World(), disk.after_kill(), random.Random(0))
    second.start()

    assert second.store.topics == {}
    assert second.store.create("t", "os").depth == 0
    (problem,) = second.store.report.problems
    assert problem == f"{lost.directory}: of no topic that is known, left as it is"
