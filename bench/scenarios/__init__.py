"""What is measured: every scenario, in the order of the table."""

from bench.result import Scenario
from bench.scenarios import browse, consume, dead, durable, latency, publish, scale, web

ALL: list[Scenario] = [
    *publish.SCENARIOS,
    *consume.SCENARIOS,
    *latency.SCENARIOS,
    *web.SCENARIOS,
    *scale.SCENARIOS,
    *durable.SCENARIOS,
    *dead.SCENARIOS,
    *browse.SCENARIOS,
]
