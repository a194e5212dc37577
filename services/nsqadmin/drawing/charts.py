"""Charts as SVG, drawn by the server: sparklines for rows, larger ones for pages.

They carry classes and no colours: the stylesheet gives them those of the theme. A gap in what is
known is a gap in the line. Values are drawn from zero, so that a small change never looks like a
large one. The larger charts carry their points in ``data-points`` for the script that shows values
under the pointer; they are complete without it.
"""

import json
import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from markupsafe import Markup

from nsqadmin.collect.history import Point
from nsqadmin.drawing.formats import short, short_duration
from nsqadmin.language.spoken import gettext as _

WIDTH, HEIGHT = 120, 26
MILLISECONDS = " ms"  # the unit of latencies
_LARGE_WIDTH, _LARGE_HEIGHT = 480, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 8, 8, 20
_TICKS = (60, 120, 300, 600, 1200, 1800, 3600, 7200, 10800, 21600)  # seconds between times
_MOST_TIMES, _MOST_LINES = 6, 4
# What fills a sparkline at least, by what it shows.
_FLOORS = {"depth": 20.0, "in_flight": 20.0, "rate": 1.0, "clients": 4.0}


def sparkline(values: Sequence[float], kind: str, label: str) -> Markup:
    """A line of ``values`` in the room of a table cell; ``label`` is for who cannot see it."""
    known = [value for value in values if not math.isnan(value)]
    if len(known) < 2:
        return Markup('<svg class="spark" viewBox="0 0 {} {}" aria-hidden="true"></svg>').format(
            WIDTH, HEIGHT
        )
    highest = max(known)
    # A chart has a floor: a single message must not look like a crisis.
    top = max(highest, _FLOORS.get(kind, 0.0), 1e-9)
    step = WIDTH / max(1, len(values) - 1)
    runs = _runs(values, lambda i: i * step, lambda v: HEIGHT - 2 - v / top * (HEIGHT - 4))
    text = _(
        "%(label)s: now %(now)s, peak %(peak)s in 30 minutes",
        label=label,
        now=short(round(known[-1], 1)),
        peak=short(round(highest, 1)),
    )
    return Markup(
        '<svg class="spark spark-{}" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img"'
        ' aria-label="{}"><title>{}</title>{}</svg>'
    ).format(kind, WIDTH, HEIGHT, text, text, _paths(runs, HEIGHT))


def _runs(
    values: Sequence[float], x: Callable[[int], float], y: Callable[[float], float]
) -> list[list[tuple[float, float]]]:
    runs: list[list[tuple[float, float]]] = [[]]
    for index, value in enumerate(values):
        if math.isnan(value):
            if runs[-1]:
                runs.append([])
        else:
            runs[-1].append((x(index), y(value)))
    return [run for run in runs if run]


def _paths(runs: list[list[tuple[float, float]]], floor: float) -> Markup:
    parts = Markup("")
    for run in runs:
        if len(run) == 1:
            run = [run[0], (run[0][0] + 1, run[0][1])]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in run)
        area = f"{run[0][0]:.1f},{floor} {line} {run[-1][0]:.1f},{floor}"
        parts += Markup('<polygon class="area" points="{}"/>').format(area)
        parts += Markup('<polyline class="line" points="{}"/>').format(line)
    return parts


def chart(points: Sequence[Point], kind: str, title: str, unit: str) -> Markup:
    """A chart with axes; ``points`` are as `History.points` gives them."""
    known = [value for _at, value in points if not math.isnan(value)]
    if not known:
        return Markup('<p class="chart-empty">{}</p>').format(_("Nothing recorded yet."))
    top, line_step = nice_axis(max(known))
    width = _LARGE_WIDTH - _LEFT - _RIGHT
    height = _LARGE_HEIGHT - _TOP - _BOTTOM
    step = width / max(1, len(points) - 1)
    floor = _TOP + height

    runs = _runs(
        [value for _at, value in points],
        lambda index: _LEFT + index * step,
        lambda value: floor - value / top * height,
    )
    now, peak = (
        short_duration(value) if unit == MILLISECONDS else f"{short(round(value, 2))}{unit}"
        for value in (known[-1], max(known))
    )
    text = _("%(label)s: now %(now)s, peak %(peak)s", label=title, now=now, peak=peak)
    data = [[at, None if math.isnan(value) else round(value, 2)] for at, value in points]
    return Markup(
        '<svg class="chart chart-{}" viewBox="0 0 {} {}" role="img" aria-label="{}"'
        ' data-points="{}" data-unit="{}" data-left="{}" data-right="{}" data-top="{}"'
        ' data-bottom="{}" data-max="{}">{}{}{}</svg>'
    ).format(
        kind, _LARGE_WIDTH, _LARGE_HEIGHT, text, json.dumps(data), unit, _LEFT,
        _LARGE_WIDTH - _RIGHT, _TOP, floor, top, _grid(top, line_step, unit), _times(points, step),
        _paths(runs, floor),
    )  # fmt: skip


def nice_axis(value: float) -> tuple[float, float]:
    """The upper end of an axis that reaches ``value``, and the step between its lines.

    Steps are 1, 2, 2.5 or 5 times a power of ten, and there are no more than four.
    """
    if value <= 0:
        return 1.0, 1.0
    power = 10.0 ** math.floor(math.log10(value / _MOST_LINES))
    step = next(
        (factor * power for factor in (1, 2, 2.5, 5) if factor * power * _MOST_LINES >= value),
        10 * power,
    )
    return math.ceil(round(value / step, 9)) * step, step


def _grid(top: float, step: float, unit: str) -> Markup:
    parts = Markup("")
    height = _LARGE_HEIGHT - _TOP - _BOTTOM
    for index in range(round(top / step) + 1):
        value = step * index
        y = _LARGE_HEIGHT - _BOTTOM - height * value / top
        parts += Markup('<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(
            _LEFT, _LARGE_WIDTH - _RIGHT, y, y
        )
        shown = _tick(value, unit)
        parts += Markup('<text class="tick" x="{}" y="{:.1f}" text-anchor="end">{}</text>').format(
            _LEFT - 6, y + 3.5, shown
        )
    return parts


def _tick(value: float, unit: str) -> str:
    """A value beside an axis: no longer than there is room for."""
    if unit == MILLISECONDS:
        return short_duration(value) if value else "0"
    return f"{value:g}" if value < 1000 else _thousands(value)


def _thousands(value: float) -> str:
    for size, sign in ((1e9, "G"), (1e6, "M")):
        if value >= size:
            return f"{value / size:g}{sign}"
    return f"{value / 1e3:g}k"


def _times(points: Sequence[Point], step: float) -> Markup:
    parts = Markup("")
    span = points[-1][0] - points[0][0]
    apart = next((tick for tick in _TICKS if span / tick <= _MOST_TIMES), _TICKS[-1])
    for index, (at, _value) in enumerate(points):
        x = _LEFT + index * step
        if at % apart == 0 and x < _LARGE_WIDTH - 20:
            label = f"{datetime.fromtimestamp(at, UTC):%H:%M}"
            parts += Markup(
                '<text class="tick" x="{:.1f}" y="{}" text-anchor="middle" data-time="{}">{}</text>'
            ).format(x, _LARGE_HEIGHT - 5, at, label)
    return parts
