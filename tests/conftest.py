"""What holds for every test: property tests have no stopwatch, the machine may be busy."""

from hypothesis import HealthCheck, settings

settings.register_profile("nsq", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("nsq")
