"""Graphite, for who has it: the targets of nsqd's metrics, and URLs of pictures of them.

The keys are those that nsqd sends to statsd, wrapped as statsd and `--statsd-prefix` wrap them.
Nothing here does I/O.
"""

import re
from collections.abc import Sequence
from urllib.parse import urlencode, urlsplit

from nsqadmin.config.options import NsqadminOptions
from nsqadmin.language.spoken import N_
from nsqcore.classes import frozen

SPANS = ("1h", "2h", "12h", "24h", "48h", "168h", "off")
DEFAULT_SPAN = "2h"
_COUNTERS = frozenset(("requeue_count", "timeout_count", "message_count", "gc_runs"))
_NODE_CHARTS = (
    (N_("GC Pressure"), "*_bytes"),
    (N_("GC Pause Percentiles"), "gc_pause_*"),
    (N_("GC Runs"), "gc_runs"),
    (N_("Heap Objects In-Use"), "heap_objects"),
)


def clean_key(name: str) -> str:
    """A name as statsd daemons put it into a key."""
    return re.sub(r"[^a-zA-Z0-9\-_.]", "", name.replace(" ", "_").replace("/", "-"))


@frozen
class Graphite:
    """Pictures and targets for one set of options and one span of time."""

    options: NsqadminOptions
    span: str = DEFAULT_SPAN

    @property
    def active(self) -> bool:
        """Whether pages show pictures."""
        return bool(self.options.graphite_url) and self.span != "off"

    @property
    def base(self) -> str:
        """What stands before ``/render`` in URLs that a browser asks."""
        options = self.options
        if options.proxy_graphite:
            return options.base_path.rstrip("/")
        return options.graphite_url.rstrip("/")

    def _key(self, metric: str, key: str) -> str:
        options = self.options
        counter = metric in _COUNTERS
        style = options.statsd_counter_format if counter else options.statsd_gauge_format
        return style.replace("%s", key) if style else key

    def _prefix(self, node: str) -> str:
        host = re.sub(r"[.:]", "_", node or "*")
        prefix = self.options.statsd_prefix.replace("%s", host)
        return prefix if prefix.endswith(".") else prefix + "."

    def topic(self, metric: str, topic: str, node: str = "") -> str:
        """The target of a topic's metric, over all nsqd or one."""
        key = f"{self._prefix(node)}topic.{clean_key(topic)}.{metric}"
        return f"sumSeries({self._key(metric, key)})"

    def channel(self, metric: str, topic: str, channel: str, node: str = "") -> str:
        """The target of a channel's metric, over all nsqd or one."""
        name = f"topic.{clean_key(topic)}.channel.{clean_key(channel)}.{metric}"
        return f"sumSeries({self._key(metric, self._prefix(node) + name)})"

    def counter(self) -> str:
        """The target of all messages of all channels."""
        key = f"{self._prefix('*')}topic.*.channel.*.message_count"
        return f"sumSeries({self._key('message_count', key)})"

    def latency(
        self, quantiles: Sequence[float], topic: str, channel: str = "", node: str = ""
    ) -> list[str]:
        """The targets of end-to-end latency percentiles, in milliseconds."""
        inner = f"topic.{clean_key(topic)}."
        inner += f"channel.{clean_key(channel)}." if channel else ""
        targets = []
        for quantile in quantiles:
            name = f"e2e_processing_latency_{quantile * 100:g}"
            target = self._key("e2e_processing_latency", self._prefix(node) + inner + name)
            target = target if node else f"averageSeries({target})"
            targets.append(f"scale({target},0.000001)")
        return targets

    def node_charts(self, node: str) -> list[tuple[str, str]]:
        """Titles and URLs of the charts of a node's memory."""
        charts = []
        for title, metric in _NODE_CHARTS:
            target = f"{self._prefix(node)}mem.{metric}"
            if metric == "gc_runs":
                target = f"movingAverage({target},45)"
            url = self.large(self._key(metric, target), metric, "red,green,blue,purple")
            charts.append((title, url))
        return charts

    def small(self, target: str, metric: str) -> str:
        """The URL of a picture for a table cell."""
        look = {
            "height": "20", "width": "120", "hideGrid": "true", "hideLegend": "true",
            "hideAxes": "true", "fgcolor": "black", "margin": "0",
        }  # fmt: skip
        return self._url(look, [self._summary(target)], _colour(metric))

    def large(self, target: str | Sequence[str], metric: str, colour: str = "") -> str:
        """The URL of a picture with axes; counters are shown per second."""
        targets = [target] if isinstance(target, str) else list(target)
        if metric in _COUNTERS:
            interval = max(self.options.statsd_interval, 1e-9)
            targets = [f"scale({item},{1 / interval:.10g})" for item in targets]
        look = {"height": "450", "width": "800", "fgcolor": "999999"}
        return self._url(look, [self._summary(item) for item in targets], colour or _colour(metric))

    def _summary(self, target: str) -> str:
        return f'summarize({target},"{int(self.options.statsd_interval)}sec","avg")'

    def _url(self, look: dict[str, str], targets: Sequence[str], colour: str) -> str:
        fields = {
            "colorList": colour, **look, "bgcolor": "ff000000", "yMin": "0",
            "lineMode": "connected", "drawNullAsZero": "false", "from": f"-{self.span}",
            "until": "-1min",
        }  # fmt: skip
        query = [*fields.items(), *(("target", target) for target in targets)]
        return f"{self.base}/render?{urlencode(query)}"


def _colour(metric: str) -> str:
    return "red" if metric in ("depth", "deferred_count") else "blue"


def picture_origin(options: NsqadminOptions) -> str:
    """The origin that pages load pictures from, for the content security policy."""
    if not options.graphite_url or options.proxy_graphite:
        return ""
    parts = urlsplit(options.graphite_url)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
