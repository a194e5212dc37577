"""/metrics: everything that /stats counts, as Prometheus wants it.

Prometheus wants the samples of one metric together, so snapshots of all topics and channels are
taken first, and rendered metric by metric then; both in slices, so that a scrape of 10 000
channels does not stop delivery.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from operator import attrgetter
from typing import TypeVar

from nsqcore import forms
from nsqcore.access.roles import METRICS
from nsqcore.http.request import Request
from nsqcore.http.responses import Response
from nsqcore.http.router import Router
from nsqcore.metrics.prometheus import (
    heading,
    labels,
    single,
)
from nsqcore.metrics.quantile import LatencySummary
from nsqcore.operations import metrics as operations
from nsqd.engine.stats import (
    ChannelStats,
    TopicStats,
    select_channels,
    select_topics,
)
from nsqd.http.reports.counts import CHANNEL_METRICS, TOPIC_METRICS, Metric
from nsqd.http.reports.durable import durable_metrics
from nsqd.http.shared.context import NsqdApi
from nsqd.http.shared.slices import join_in_slices

# Samples rendered between two chances to step aside: about a millisecond.
STEP = 1000

Stats = TypeVar("Stats", TopicStats, ChannelStats)
# Labels, ready to stand behind a name, and what they are the labels of.
Labelled = list[tuple[str, Stats]]


def add_routes(router: Router, api: NsqdApi) -> None:
    """Add /metrics to ``router``."""
    router.add("GET", "/metrics", partial(get_metrics, api), rule=METRICS)


async def get_metrics(api: NsqdApi, _request: Request) -> Response:
    """GET /metrics."""
    built = "compiled" if forms.is_compiled() else "pure"
    process = await operations.process_text("nsqd", speedups=built)
    return operations.response(process + await join_in_slices(pieces(api), api.now))


def pieces(api: NsqdApi) -> Iterator[str]:
    """All that nsqd itself counts, in pieces."""
    yield daemon_text(api)
    yield durable_metrics(api.durable())
    topics: Labelled[TopicStats] = []
    channels: Labelled[ChannelStats] = []
    wall = api.wall
    for topic in select_topics(api.broker, "") or []:
        topics.append((labels(topic=topic.name), TopicStats.of(topic, wall)))
        for channel in select_channels(topic, "") or []:
            label = labels(topic=topic.name, channel=channel.name)
            channels.append((label, ChannelStats.of(channel, wall)))
            yield ""
    yield from _families(TOPIC_METRICS, topics)
    yield from _latencies("nsqd_topic_e2e_latency", topics)
    yield from _families(CHANNEL_METRICS, channels)
    yield from _ages(channels)
    yield from _latencies("nsqd_channel_e2e_latency", channels)


def daemon_text(api: NsqdApi) -> str:
    """The metrics of the daemon as a whole."""
    clients, health = len(api.sessions), api.broker.health
    publishing = sum(1 for session in api.sessions if session.client.pub_counts)
    return "".join(
        (
            single("nsqd_start_time_seconds", "gauge", "When nsqd began.", api.started / 1e9),
            single("nsqd_healthy", "gauge", "0 while the disk fails.", int(not health.error)),
            single("nsqd_draining", "gauge", "1 while nsqd drains.", int(api.draining())),
            single("nsqd_event_loop_lag_seconds", "gauge", "Delay of a timer.", api.loop_lag()),
            single("nsqd_clients", "gauge", "Clients connected over TCP.", clients),
            single("nsqd_producers", "gauge", "Of these, those that published.", publishing),
            single("nsqd_topics", "gauge", "Topics.", len(api.broker.topics)),
            single(
                "nsqd_publishes_refused_total",
                "counter",
                "Publishes that the disk or a drain refused.",
                api.broker.refused_count,
            ),
            disk_text(api),
            checks_text(api),
            memory_text(api),
        )
    )


def disk_text(api: NsqdApi) -> str:
    """The file system of the data path; nothing where it does not tell."""
    try:
        usage = shutil.disk_usage(api.data_path)
    except OSError:
        return ""
    return "".join(
        (
            single("nsqd_disk_free_bytes", "gauge", "Free where the data is.", usage.free),
            single("nsqd_disk_size_bytes", "gauge", "Size of that file system.", usage.total),
            single(
                "nsqd_min_free_bytes",
                "gauge",
                "Publishes are refused where less is free.",
                api.min_free_bytes,
            ),
        )
    )


def checks_text(api: NsqdApi) -> str:
    """The checks of /readyz."""
    name = "nsqd_check_ok"
    samples = [
        f"{name}{labels(check=check)} {int(not trouble)}\n"
        for check, trouble in api.checks().items()
    ]
    return heading(name, "gauge", "0 while the check fails.") + "".join(samples)


def memory_text(api: NsqdApi) -> str:
    """What of the memory section of /stats the process's own metrics do not tell."""
    memory, pauses = api.gc_watch.take(), "nsqd_gc_pause_seconds"
    found = {"1": memory.gc_pause_usec_100, "0.99": memory.gc_pause_usec_99}
    found["0.95"] = memory.gc_pause_usec_95
    return "".join(
        (
            single("nsqd_heap_objects", "gauge", "Blocks of memory.", memory.heap_objects),
            heading(pauses, "gauge", "The latest pauses of the garbage collector."),
            *(f"{pauses}{labels(percentile=key)} {value / 1e6}\n" for key, value in found.items()),
        )
    )


def _families(metrics: Iterable[Metric], labelled: Labelled[Stats]) -> Iterator[str]:
    for metric in metrics:
        yield heading(metric.name, metric.kind, metric.help)
        yield from _samples(metric.name, attrgetter(metric.attribute), labelled)


def _samples(name: str, value: Callable[[Stats], int], labelled: Labelled[Stats]) -> Iterator[str]:
    for start in range(0, len(labelled), STEP):
        step = labelled[start : start + STEP]
        yield "".join([f"{name}{label} {value(stats):d}\n" for label, stats in step])


def _latencies(name: str, labelled: Labelled[Stats]) -> Iterator[str]:
    """End-to-end latencies, where they are tracked.

    Not a summary: that would need a sum. Hence neither a label ``quantile`` nor a ``_count``,
    which belong to summaries.
    """
    tracked = [(label, stats.latency) for label, stats in labelled if stats.latency.percentiles]
    if not tracked:
        return
    yield heading(f"{name}_seconds", "gauge", "From publish to FIN, within the window.")
    for label, latency in tracked:
        yield _quantiles(f"{name}_seconds", label, latency)
    yield heading(f"{name}_messages", "gauge", "Messages finished within the window.")
    for label, latency in tracked:
        yield f"{name}_messages{label} {latency.count}\n"


def _ages(labelled: Labelled[ChannelStats]) -> Iterator[str]:
    """How old what comes first is, of the channels that policies speak of."""
    name = "nsqd_channel_oldest_message_age_seconds"
    ages = [(label, stats.oldest_age_ms or 0) for label, stats in labelled if stats.ruled]
    yield heading(name, "gauge", "Age of the message that comes first in the queue.")
    yield "".join([f"{name}{label} {age / 1000}\n" for label, age in ages])


def _quantiles(name: str, label: str, latency: LatencySummary) -> str:
    return "".join(
        f'{name}{label[:-1]},percentile="{quantile:g}"}} {value / 1e9}\n'
        for quantile, value in latency.percentiles or ()
    )
