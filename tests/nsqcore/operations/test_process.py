"""What /metrics tells of the process itself."""

import os
import resource
import time

import pytest
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.parser import text_string_to_metric_families as parse

from nsqcore.operations.process import process_metrics


@pytest.fixture
def told():
    """Every sample of this process: (name, labels) to value."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse(process_metrics())
        for sample in family.samples
    }


def test_names_labels_and_start_are_those_of_the_client_library(told):
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    expected = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in registry.collect()
        for sample in family.samples
    }
    assert told.keys() == expected.keys()
    began = "process_start_time_seconds", ()
    assert told[began] == pytest.approx(expected[began], abs=1)


def test_the_values_are_right(told):
    assert 0 < told["process_resident_memory_bytes", ()] < told["process_virtual_memory_bytes", ()]
    assert told["process_max_fds", ()] == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert 0 < told["process_cpu_seconds_total", ()] <= time.process_time()


def test_descriptors_are_counted_and_need_not_be_there(told):
    kept = [os.open(os.devnull, os.O_RDONLY) for _ in range(7)]
    try:
        found = {family.name: family for family in parse(process_metrics())}
        assert found["process_open_fds"].samples[0].value == told["process_open_fds", ()] + 7
    finally:
        for fd in kept:
            os.close(fd)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        scarce = process_metrics()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    names = {family.name for family in parse(scarce)}
    assert {"process_cpu_seconds", "process_max_fds", "python_info"} <= names
    assert "process_open_fds" not in names
