"""Parameters that several endpoints take."""

import pytest

from nsqcore.http.responses import HttpError
from nsqd.http.shared.arguments import boolean, new_topic_name


@pytest.mark.parametrize(
    ("value", "result"),
    [("true", True), ("1", True), ("false", False), ("0", False)],
)
def test_known_words_switch_whatever_the_default(value, result):
    assert boolean(value, default=True) is boolean(value, default=False) is result


@pytest.mark.parametrize("value", [None, "", "TRUE", "no", "2"])
def test_anything_else_leaves_the_default(value):
    assert boolean(value, default=True) is True
    assert boolean(value, default=False) is False


def test_name_of_a_new_topic_is_checked(nsqd):
    assert new_topic_name(nsqd.broker, {"topic": ["a", "b c"]}) == "a"
    with pytest.raises(HttpError, match="INVALID_TOPIC"):
        new_topic_name(nsqd.broker, {"topic": ["b c"]})
    with pytest.raises(HttpError, match="MISSING_ARG_TOPIC"):
        new_topic_name(nsqd.broker, {})
