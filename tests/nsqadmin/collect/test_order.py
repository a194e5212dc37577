"""Names in the order in which people look for them."""

from nsqadmin.collect.order import natural


def test_names_with_numbers_are_ordered_by_the_numbers():
    names = ["n10", "n2", "n2.b", "n", "10.0.0.9:1", "10.0.0.10:1", "n02", "x" + "9" * 5000]
    assert sorted(names, key=natural) == [
        "10.0.0.9:1", "10.0.0.10:1", "n", "n2", "n02", "n2.b", "n10", "x" + "9" * 5000,
    ]  # fmt: skip
