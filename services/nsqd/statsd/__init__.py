"""The push of statistics to a statsd daemon."""
