"""What holds for every test, whoever starts them: a busy machine, the background, nohup."""

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

# Nohup and shells without job control have signals ignored, also by what the tests start.
for number in signal.SIGINT, signal.SIGHUP:
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)

# Whoever is asked is on this machine, where a proxy would not look.
here = {os.environ.get("no_proxy", ""), "localhost", "127.0.0.1"} - {""}
os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(sorted(here))

# Property tests have no stopwatch. Their examples are the same each time, so that what fails has to
# do with what was changed; --hypothesis-profile=explore looks for new ones.
calm = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("nsq", derandomize=True, **calm)
settings.register_profile("explore", **calm)
settings.load_profile("nsq")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Reports that can be sent between test processes: names from the wire may be any bytes."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections
    ]
    return report
