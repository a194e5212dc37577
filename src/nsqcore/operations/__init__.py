"""What those who run a daemon ask it over HTTP: probes, metrics, settings, a look inside."""
