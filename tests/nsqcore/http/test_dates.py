"""The Date header."""

from email.utils import parsedate_to_datetime

from nsqcore.http.dates import Dates

SECOND = 1_000_000_000
# 2026-11-07 08:09:10 UTC.
NOW = 1_794_038_950


def test_the_date_is_that_of_the_clock_in_the_form_of_http():
    assert Dates(lambda: NOW * SECOND).line() == b"Date: Sat, 07 Nov 2026 08:09:10 GMT\r\n"


def test_it_is_right_through_a_year():
    clock = [0]
    dates = Dates(lambda: clock[0] * SECOND)
    for second in range(NOW, NOW + 366 * 86400, 86399):
        clock[0] = second
        line = dates.line().decode()
        assert parsedate_to_datetime(line.removeprefix("Date: ")).timestamp() == second


def test_it_is_made_once_a_second():
    clock = [NOW * SECOND]
    dates = Dates(lambda: clock[0])
    first = dates.line()
    clock[0] += SECOND - 1
    assert dates.line() is first
    clock[0] += 1
    assert dates.line() != first
