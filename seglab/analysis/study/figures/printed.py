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
from seglab.analysis.style import MUTED, new_figure, styled

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
        axes.annotate(
            text,
            (1, place),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            va="center",
            textcoords="offset points",
            fontsize=7,
            color=MUTED,
            annotation_clip=False,
        )
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
        axes.scatter(
            x,
            y,
            c=dots.colour,
            cmap=shades.colours,
            norm=shades.norm,
            s=size**2,
            edgecolors=MUTED,
            linewidths=0.4,
            zorder=dots.above,
            clip_on=False,
        )
    else:
        axes.plot(
            x,
            y,
            dots.shape,
            color=dots.colour,
            label=label,
            markersize=size,
            markerfacecolor="none" if dots.hollow else dots.colour,
            markeredgecolor=dots.colour if dots.hollow else "white",
            markeredgewidth=1.0 if dots.hollow else 0.5,
            clip_on=False,
            zorder=dots.above,
        )
    for name, across, up in zip(dots.names, x, y, strict=False):
        axes.annotate(
            name,
            (across, up),
            xytext=(4, 4),
            fontsize=7,
            color=MUTED,
            textcoords="offset points",
            zorder=5,
        )


def _curve(axes: Axes, curve: Curve, label: str | None) -> None:
    axes.plot(
        curve.x,  # type: ignore[arg-type]
        curve.y,  # type: ignore[arg-type]
        drawstyle=f"steps-{curve.step}" if curve.step else "default",
        color=curve.colour,
        linewidth=curve.width,
        alpha=curve.alpha,
        linestyle=":" if curve.dashed else "-",
        label=label,
        zorder=curve.above,
    )


def _bars(axes: Axes, bars: Bars, label: str | None) -> None:
    axes.barh(
        bars.rows,
        bars.length,
        left=bars.start,
        height=bars.height,
        label=label,
        color=bars.colour,
        edgecolor="white",
        linewidth=0.5,
        zorder=2,
        hatch=bars.hatch,
    )
    if bars.ends is not None:
        axes.hlines(
            bars.rows, bars.ends[:, 0], bars.ends[:, 1], color=BEST, linewidth=1.1, zorder=3
        )
    for name, row, start, length in zip(
        bars.names, bars.rows, bars.start, bars.length, strict=False
    ):
        axes.text(
            start + length / 2,
            row,
            name,
            ha="center",
            va="center",
            fontsize=6.5,
            zorder=3,
            color=bars.ink,
        )


def _ground(axes: Axes, ground: Ground, shades: Shades | None) -> None:
    if shades is None:
        return
    axes.contourf(
        ground.x,
        ground.y,
        ground.score,
        levels=np.linspace(shades.low, shades.high, 13),
        cmap=shades.colours,
        norm=shades.norm,
        alpha=0.55,
        extend="both",
        zorder=1,
    )


def _gap(axes: Axes, gap: Gap) -> None:
    axes.axvspan(gap.begin, gap.end, color="#f1eee8", zorder=0, linewidth=0)
    axes.annotate(
        gap.text,
        ((gap.begin + gap.end) / 2, 0),
        xytext=(0, 2),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=6.5,
        color=MUTED,
        rotation=90,
    )


def _colour_bar(figure: Figure, places: list[Axes], shades: Shades) -> None:
    mappable = ScalarMappable(shades.norm, shades.colours)
    bar = figure.colorbar(mappable, ax=places, pad=0.02, aspect=28, extend=shades.beyond)  # type: ignore[arg-type]
    bar.set_label(shades.title)
    bar.outline.set_visible(False)  # type: ignore[operator]
