from nsqadmin.auth.accounts import Account, Role
from nsqadmin.auth.sessions import FAILURE_WINDOW, MAX_FAILURES, MAX_SESSIONS, Sessions
from nsqcore.units import SECOND

ANN, BOB = Account("ann", Role.ADMIN, "h"), Account("bob", Role.VIEWER, "h")


def test_a_session_lasts_as_long_as_it_may():
    sessions = Sessions(lifetime=10)
    token = sessions.open(ANN, now=0)
    assert sessions.find(token, now=10 * SECOND - 1).user == "ann"
    assert sessions.find(token, now=10 * SECOND) is None
    assert sessions.find(token, now=0) is None


def test_a_closed_session_is_over():
    sessions = Sessions(lifetime=10)
    token = sessions.open(ANN, now=0)
    sessions.close(token)
    assert sessions.find(token, now=0) is None


def test_a_token_nobody_got_opens_nothing():
    sessions = Sessions(lifetime=10)
    sessions.open(ANN, now=0)
    assert sessions.find("", now=0) is None
    assert sessions.find("guess", now=0) is None


def test_the_oldest_sessions_give_way():
    sessions = Sessions(lifetime=10)
    first = sessions.open(ANN, now=0)
    for _ in range(MAX_SESSIONS):
        last = sessions.open(BOB, now=0)
    assert sessions.find(first, now=0) is None
    assert sessions.find(last, now=0)


def test_a_form_token_fits_one_browser():
    sessions = Sessions(lifetime=10)
    token = sessions.form_token("seed")
    assert sessions.form_token_fits("seed", token)
    assert not sessions.form_token_fits("other", token)
    assert not sessions.form_token_fits("", sessions.form_token(""))
    assert not Sessions(lifetime=10).form_token_fits("seed", token)
    assert not sessions.form_token_fits("seed", "é")


def test_who_guesses_too_often_has_to_wait():
    sessions = Sessions(lifetime=10)
    for _ in range(MAX_FAILURES):
        assert not sessions.is_locked("10.0.0.9", now=0)
        sessions.failed("10.0.0.9", now=0)
    assert sessions.is_locked("10.0.0.9", now=1)
    assert not sessions.is_locked("10.0.0.8", now=1)
    assert not sessions.is_locked("10.0.0.9", now=FAILURE_WINDOW)
