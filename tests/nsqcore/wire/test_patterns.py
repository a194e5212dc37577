import pytest

from nsqcore.wire.patterns import compile_pattern


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (r"^[[:alpha:]_]+[[:digit:]]\z", "a_b1", True),
        (r"^[[:alpha:]_]+[[:digit:]]\z", "a_b1c", False),
        (r"^\w+\.\d$", "a.1", True),
        (r"^a\\z$", "az", False),
        (r"^a\\z$", "a\\z", True),
    ],
)
def test_a_pattern_means_what_it_means_in_go(pattern: str, text: str, found: bool):
    assert bool(compile_pattern(pattern).search(text)) is found


@pytest.mark.parametrize(
    "pattern", ["([", "[[:nonsense:]]", "a{99999999999999999999}", "(" * 5000 + ")" * 5000]
)
def test_one_that_cannot_be_understood_is_refused(pattern: str):
    with pytest.raises(ValueError, match="invalid pattern"):
        compile_pattern(pattern)
