"""Charts of studies by matplotlib, for print."""

from __future__ import annotations

import math
from itertools import zip_longest

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from seglab.analysis.study.figures.chart import Bars, Chart, Curve, Dots, Gap, Ground, Panel, Shades
from seglab.analysis.study.marks import BEST
from seglab.analysis.style import MUTED, Look, new_figure, styled

_NOTE: Look = {"textcoords": "offset points", "color": MUTED}
_MIDDLE: Look = {"ha": "center", "va": "center", "zorder": 3}
# So many dots are drawn smaller.
_MANY = 200


def print_chart(chart: Chart) -> Figure:
    """Draw a chart."""
    with styled():
        figure = new_figure(*chart.size)
        rows = math.ceil(len(chart.panels) / chart.columns)
        grid = figure.subplots(rows, chart.columns, squeeze=False, sharey=chart.shared)
        for axes, panel in zip_longest(grid.flat, chart.panels):
            if panel is None:
                axes.set_visible(False)
            else:
                _panel(axes, panel, chart.shades)
        if chart.shared:
            for axes in grid.flat:
                axes.set_ylabel("")
            figure.supylabel(chart.panels[0].y.title, fontsize=9)
        grid[0, 0].set_title(chart.title)
        if chart.shades is not None:
            _colour_bar(figure, list(grid.flat), chart.shades)
        if chart.legend:
            handles, labels = grid[0, 0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=chart.legend)
    return figure


def _panel(axes: Axes, panel: Panel, shades: Shades | None) -> None:
    panel.x.dress(axes.xaxis)
    panel.y.dress(axes.yaxis)
    if panel.x.limits is None:
        axes.margins(0.08)
    named: set[str] = set()
    for layer in panel.layers:
        if isinstance(layer, Gap):
            _gap(axes, layer)
        elif isinstance(layer, Ground):
            _ground(axes, layer, shades)
        else:
            label = None if layer.label in named else layer.label or None
            named.add(layer.label)
            if isinstance(layer, Dots):
                _dots(axes, layer, label, shades)
            elif isinstance(layer, Bars):
                _bars(axes, layer, label)
            else:
                _curve(axes, layer, label)
    _write(axes, panel)


def _write(axes: Axes, panel: Panel) -> None:
    """Write what stands beside the rows, and tilt ticks that need much room."""
    for place, text in panel.beside:
        beside: Look = {
            "xycoords": ("axes fraction", "data"),
            "va": "center",
            "annotation_clip": False,
        }
        axes.annotate(text, (1, place), xytext=(4, 0), fontsize=7, **beside, **_NOTE)
    if sum(len(text) for _, text in panel.x.ticks or ()) > 26:
        for tick in axes.get_xticklabels():
            tick.set(rotation=30, ha="right", rotation_mode="anchor")
    if panel.rows:
        axes.grid(visible=False, axis="y")
        axes.tick_params("y", labelsize=8 if len(panel.y.ticks or ()) <= 24 else 5)


def _dots(axes: Axes, dots: Dots, label: str | None, shades: Shades | None) -> None:
    x, y = np.asarray(dots.x, dtype=float), np.asarray(dots.y, dtype=float)
    # A line without points, not clipped, has no extent, and the layout breaks down.
    if not np.isfinite(x + y).any():
        return
    size = dots.size if len(x) < _MANY else 0.67 * dots.size
    if not isinstance(dots.colour, str) and shades is not None:
        shade: Look = {"c": dots.colour, "cmap": shades.colours, "norm": shades.norm}
        shade |= {"edgecolors": MUTED, "linewidths": 0.4}
        axes.scatter(x, y, s=size**2, zorder=dots.above, clip_on=False, **shade)
    else:
        hollow, full = ("none", dots.colour, 1.0), (dots.colour, "white", 0.5)
        face, edge, width = hollow if dots.hollow else full
        look: Look = {"markerfacecolor": face, "markeredgecolor": edge, "markeredgewidth": width}
        look |= {"color": dots.colour, "markersize": size, "zorder": dots.above, "clip_on": False}
        axes.plot(x, y, dots.shape, label=label, **look)
    for name, across, up in zip(dots.names, x, y, strict=False):
        axes.annotate(name, (across, up), xytext=(4, 4), fontsize=7, zorder=5, **_NOTE)


def _curve(axes: Axes, curve: Curve, label: str | None) -> None:
    look: Look = {"color": curve.colour, "linewidth": curve.width, "alpha": curve.alpha}
    look["drawstyle"] = f"steps-{curve.step}" if curve.step else "default"
    look["linestyle"] = ":" if curve.dashed else "-"
    axes.plot(curve.x, curve.y, label=label, zorder=curve.above, **look)  # type: ignore[arg-type]


def _bars(axes: Axes, bars: Bars, label: str | None) -> None:
    look: Look = {"color": bars.colour, "edgecolor": "white", "linewidth": 0.5, "hatch": bars.hatch}
    place: Look = {"left": bars.start, "height": bars.height, "zorder": 2}
    axes.barh(bars.rows, bars.length, label=label, **place, **look)
    if bars.ends is not None:
        axes.hlines(bars.rows, *bars.ends.T, color=BEST, linewidth=1.1, zorder=3)
    middles = bars.start + bars.length / 2
    for name, row, middle in zip(bars.names, bars.rows, middles, strict=False):
        axes.text(middle, row, name, fontsize=6.5, color=bars.ink, **_MIDDLE)


def _ground(axes: Axes, ground: Ground, shades: Shades | None) -> None:
    if shades is None:
        return
    look: Look = {"cmap": shades.colours, "norm": shades.norm, "alpha": 0.55, "zorder": 1}
    levels = np.linspace(shades.low, shades.high, 13)
    axes.contourf(ground.x, ground.y, ground.score, levels=levels, extend="both", **look)


def _gap(axes: Axes, gap: Gap) -> None:
    axes.axvspan(gap.begin, gap.end, color="#f1eee8", zorder=0, linewidth=0)
    look: Look = {"ha": "center", "va": "bottom", "fontsize": 6.5, "rotation": 90}
    place: Look = {"xytext": (0, 2), "xycoords": ("data", "axes fraction")}
    axes.annotate(gap.text, ((gap.begin + gap.end) / 2, 0), **place, **look, **_NOTE)


def _colour_bar(figure: Figure, places: list[Axes], shades: Shades) -> None:
    mappable = ScalarMappable(shades.norm, shades.colours)
    bar = figure.colorbar(mappable, ax=places, pad=0.02, aspect=28, extend=shades.beyond)  # type: ignore[arg-type]
    bar.set_label(shades.title)
    bar.outline.set_visible(False)  # type: ignore[operator]
