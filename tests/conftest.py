"""What holds for every test, whoever starts them: a busy machine, the background, nohup."""

import signal

import pytest
from hypothesis import HealthCheck, settings

# Nohup and shells without job control have signals ignored, also by what the tests start.
for number in signal.SIGINT, signal.SIGHUP:
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)

# Property tests have no stopwatch.
settings.register_profile("nsq", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("nsq")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Reports that can be sent between test processes: names from the wire may be any bytes."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections
    ]
    return report
