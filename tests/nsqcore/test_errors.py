from nsqcore.errors import reason


def test_the_reason_of_an_error_is_its_text_or_its_name():
    assert reason(OSError(13, "denied", "/x")) == "[Errno 13] denied: '/x'"
    assert reason(TimeoutError()) == "TimeoutError"


def test_groups_say_what_is_in_them_each_text_once():
    inner = ExceptionGroup("in", [OSError("refused"), ValueError("no host")])
    assert reason(ExceptionGroup("out", [OSError("refused"), inner])) == "refused; no host"


def test_an_error_caused_by_a_group_is_followed_by_its_reasons():
    error = OSError("all attempts to connect failed")
    error.__cause__ = ExceptionGroup("attempts", [OSError(111, "Connection refused")])
    assert reason(error) == "all attempts to connect failed - [Errno 111] Connection refused"
