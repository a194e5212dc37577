"""What holds for every test: property tests have no stopwatch, the machine may be busy."""

import pytest
from hypothesis import HealthCheck, settings

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
