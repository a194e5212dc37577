from nsqadmin.auth.accounts import Account, Role
from nsqadmin.auth.sessions import MAX_SESSIONS, LoginSessions
from nsqcore.units import SECOND

ANN, BOB = Account("ann", Role.ADMIN, "h"), Account("bob", Role.VIEWER, "h")


def test_a_session_lasts_as_long_as_it_may():
    sessions = LoginSessions(lifetime=10)
    token = sessions.open(ANN, now=0)
    assert sessions.find(token, now=10 * SECOND - 1).user == "ann"
    assert sessions.find(token, now=10 * SECOND) is None
    assert sessions.find(token, now=0) is None


def test_a_closed_session_is_over():
    sessions = LoginSessions(lifetime=10)
    token = sessions.open(ANN, now=0)
    sessions.close(token)
    assert sessions.find(token, now=0) is None


def test_a_token_nobody_got_opens_nothing():
    sessions = LoginSessions(lifetime=10)
    sessions.open(ANN, now=0)
    assert sessions.find("", now=0) is None
    assert sessions.find("guess", now=0) is None


def test_the_oldest_sessions_give_way():
    sessions = LoginSessions(lifetime=10)
    first = sessions.open(ANN, now=0)
    for _ in range(MAX_SESSIONS):
        last = sessions.open(BOB, now=0)
    assert sessions.find(first, now=0) is None
    assert sessions.find(last, now=0)
