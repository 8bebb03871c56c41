"""Draws charts on the server as SVG that stands in a page under a strict content policy.

pygal lays them out and gives each part its class; colours, light and dark, come from charts.css.
What pygal adds for its own script and its inline styles is taken out.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from xml.etree.ElementTree import Element

import pygal
from markupsafe import Markup
from pygal.config import Config
from pygal.etree import etree
from pygal.style import Style

# pygal leaves an import hook for plugins of a form that Python has dropped: imports that fail
# later would warn of it.
sys.meta_path[:] = [each for each in sys.meta_path if type(each).__module__ != "pygal"]

Words = Callable[[float], str]

_WIDTH, _HEIGHT = 400, 220  # drawn for a phone's width: on a wide page two stand side by side
_FONT = "system-ui, sans-serif"
_STYLE = Style(
    font_family=_FONT,
    label_font_size=13,
    major_label_font_size=13,
    legend_font_size=13,
)  # the same sizes as in charts.css: pygal leaves room for them
_LABELS: Final = 5  # more do not fit side by side
_DOTS: Final = 31  # of a longer line the dots would touch one another
_DROPPED: Final = frozenset({"style", "script", "desc"})
_KEPT_DESC: Final = ("x_label", "value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A series; None leaves a gap."""

    name: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A share with its interval, 0 to 1, of something that has a name."""

    name: str
    share: float
    low: float
    high: float


def percent(value: float) -> str:
    """A share in words, without decimals."""
    return f"{value * 100:.0f} %"


def draw_lines(
    title: str, labels: Sequence[str], lines: Sequence[Line], *, words: Words, top: float | None
) -> Markup:
    """Values over time. `top` is the end of the scale, which begins at 0; None fits it."""
    highest = max(
        (value for line in lines for value in line.values if value is not None), default=0
    )
    chart = pygal.Line(
        _config(words, legend=len(lines) > 1),
        range=(0, top or highest or 1),
        dots_size=3,
        show_dots=len(labels) <= _DOTS,
        **_thinned(labels),
    )
    for line in lines:
        chart.add(line.name, list(line.values))
    return _as_markup(chart, title)


def draw_bars(title: str, labels: Sequence[str], bars: Sequence[Line], *, words: Words) -> Markup:
    """Sums over time, several stacked."""
    chart = pygal.StackedBar(_config(words, legend=len(bars) > 1), zero=0, **_thinned(labels))
    for each in bars:
        chart.add(each.name, list(each.values))
    return _as_markup(chart, title)


def draw_intervals(title: str, intervals: Sequence[Interval]) -> Markup:
    """Shares as bars, each with its confidence interval."""
    chart = pygal.Bar(_config(percent, legend=False), range=(0, 1))
    chart.x_labels = [each.name for each in intervals]
    chart.add(
        title,
        [{"value": each.share, "ci": {"low": each.low, "high": each.high}} for each in intervals],
    )
    return _as_markup(chart, title)


def draw_calibration(title: str, points: Sequence[tuple[float, float]]) -> Markup:
    """Share right over stated confidence, 0 to 1, beside the line on which both are the same."""
    chart = pygal.XY(
        _config(percent, legend=True),
        x_value_formatter=percent,
        range=(0, 1),
        xrange=(0, 1),
        dots_size=4,
        margin_right=24,
    )
    chart.add("found", list(points))
    chart.add("as stated", [(0, 0), (1, 1)], show_dots=False)
    return _as_markup(chart, title)


def _config(words: Words, *, legend: bool) -> Config:
    return Config(
        width=_WIDTH,
        height=_HEIGHT,
        margin=8,
        style=_STYLE,
        js=[],
        css=[],
        show_legend=legend,
        legend_at_bottom=True,
        legend_box_size=12,
        value_formatter=lambda value: words(value) if value is not None else "",
        truncate_label=-1,
        max_scale=6,
        min_scale=3,
    )


def _thinned(labels: Sequence[str]) -> dict[str, Any]:
    every = max(1, -(-len(labels) // _LABELS))
    return {
        "x_labels": list(labels),
        "x_labels_major": list(labels[::every]),
        "show_minor_x_labels": len(labels) <= _LABELS,
    }


def _as_markup(chart: Any, title: str) -> Markup:
    root: Element = chart.render_tree()
    _clean(root)
    for name in ("id", "class"):
        root.attrib.pop(name, None)
    root.attrib.update(
        {"class": "chart", "role": "img", "aria-label": title, "viewBox": f"0 0 {_WIDTH} {_HEIGHT}"}
    )
    for each in root:
        if _tag(each) == "title":
            each.text = title
    text: str = etree.tostring(root, encoding="unicode")
    return Markup(text)  # noqa: S704 built by an XML library, which escapes names


def _clean(node: Element) -> None:
    """Take out scripts, styles, comments and ids; what a point says becomes its title."""
    node.attrib.pop("style", None)
    node.attrib.pop("id", None)
    said = {each.attrib.get("class", ""): each.text or "" for each in node if _tag(each) == "desc"}
    for each in list(node):
        if _tag(each) in _DROPPED or "tooltip-overlay" in each.attrib.get("class", ""):
            node.remove(each)
        else:
            _clean(each)
    words = [said[name] for name in _KEPT_DESC if said.get(name)]
    if words:
        space = node.tag.rpartition("}")[0]  # lxml, where it is there, writes it before each name
        title = node.makeelement(f"{space}}}title" if space else "title", {})
        title.text = ": ".join(words)
        node.insert(0, title)


def _tag(node: Element) -> str:
    """The name without its namespace; comments, which have a function for one, are to drop."""
    return node.tag.rpartition("}")[2] if isinstance(node.tag, str) else "desc"
