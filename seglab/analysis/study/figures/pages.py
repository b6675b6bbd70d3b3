"""Charts of studies by plotly, as pages to point at: hovering tells the trial behind a mark."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import to_hex

from seglab.analysis.study.figures.chart import Axis, Bars, Chart, Curve, Dots, Gap, Ground, Shades
from seglab.analysis.study.load import PARAM, StudyView
from seglab.analysis.study.wording import number
from seglab.analysis.style import INK, MUTED, PALE
from seglab.core.text.escape import plotly_text

if TYPE_CHECKING:
    import plotly.graph_objects as go

_SYMBOLS = {"o": "circle", "v": "triangle-down", "X": "x", "D": "diamond", "*": "star"}
_NOTE: dict[str, Any] = {"showarrow": False, "font": {"size": 11, "color": MUTED}}
_STEPS = {"post": "hv", "pre": "vh", "": "linear"}


def blank(title: str, **layout: Any) -> go.Figure:
    """Return an empty figure in the look of the printed ones."""
    import plotly.graph_objects as go

    axis: dict[str, Any] = {
        "gridcolor": PALE,
        "linecolor": INK,
        "ticks": "outside",
        "tickcolor": INK,
    }
    axis |= {"zeroline": False, "title": {"standoff": 10}, "automargin": True}
    look = {
        "title": {"text": plotly_text(title), "x": 0.01, "font": {"size": 17}},
        "font": {"family": "DejaVu Sans, Verdana, sans-serif", "size": 13, "color": INK},
        "plot_bgcolor": "white",
        "paper_bgcolor": "white",
        "hoverlabel": {"align": "left"},
        "legend": {"orientation": "h", "y": -0.14, "x": 0},
        "margin": {"t": 60, "r": 30, "b": 90, "l": 80},
        "barmode": "overlay",
        "template": {"layout": {"xaxis": axis, "yaxis": axis}},
    }
    return go.Figure(layout={**look, **layout})


def describe(view: StudyView) -> dict[int, str]:
    """Return what hovering says of each trial: state, values, parameters, worker and time."""
    return {row["number"]: _describe(view, row) for row in view.trials.to_dict("records")}


def _describe(view: StudyView, row: Mapping[Hashable, Any]) -> str:
    lines = [f"<b>trial {row['number']}</b>, {row['state']}"]
    shown = {goal.metric: row[goal.metric] for goal in view.objectives}
    shown |= {name: row.get(f"{PARAM}{name}") for name in view.scales}
    for name, value in shown.items():
        if not (isinstance(value, float) and np.isnan(value)):
            text = number(value, 5) if isinstance(value, float) else str(value)
            lines.append(f"{plotly_text(name)}: {plotly_text(text)}")
    if isinstance(row["error"], str):
        lines.append(f"{plotly_text(str(row['reason']))}: {plotly_text(row['error'][:120])}")
    if isinstance(row["worker"], str):
        lines.append(f"{plotly_text(row['worker'])}, {row['duration_s']:.0f} s of work")
    return "<br>".join(lines)


def page_chart(chart: Chart, told: Mapping[int, str]) -> go.Figure:
    """Draw a chart.

    Args:
        chart: What to draw.
        told: From `describe`.
    """
    from plotly.subplots import make_subplots

    rows = math.ceil(len(chart.panels) / chart.columns)
    figure = make_subplots(
        rows,
        chart.columns,
        shared_yaxes=chart.shared,
        figure=blank(chart.title),
        horizontal_spacing=_spacing(chart),
    )
    for place, panel in enumerate(chart.panels):
        where = {"row": place // chart.columns + 1, "col": place % chart.columns + 1}
        named: set[str] = set() if place == 0 else {layer.label for layer in _named(chart)}
        for layer in panel.layers:
            if isinstance(layer, Gap):
                _add_gap(figure, layer)
                continue
            trace = _trace(layer, told)
            if not isinstance(layer, Ground):
                trace["showlegend"] = bool(layer.label) and layer.label not in named
                trace |= {"name": layer.label, "legendgroup": layer.label}
                named.add(layer.label)
            figure.add_trace(trace, **where)
        for at, text in panel.beside:
            beside = {"x": 1, "xref": "paper", "xanchor": "left", "y": at}
            figure.add_annotation(text=plotly_text(text), **beside, **_NOTE)
        figure.update_xaxes(**_axis(panel.x), **where)
        figure.update_yaxes(**_axis(panel.y, not (chart.shared and where["col"] > 1)), **where)
        if panel.rows:
            figure.update_yaxes(showgrid=False, **where)
    if chart.shades is not None:
        figure.update_layout(coloraxis=colour_axis(chart.shades))
    if any(panel.beside for panel in chart.panels):
        figure.update_layout(margin_r=110)
    lines = chart.panels[0].x.title.count("\n")
    figure.update_layout(margin_b=90 + 18 * lines, legend_y=-0.14 - 0.04 * lines)
    return figure


def _add_gap(figure: go.Figure, gap: Gap) -> None:
    figure.add_vrect(gap.begin, gap.end, fillcolor="#f1eee8", line_width=0, layer="below")
    text, at = plotly_text(gap.text.replace("\n", " ")), (gap.begin + gap.end) / 2
    foot = {"x": at, "y": 0, "yref": "paper", "yanchor": "bottom", "textangle": -90}
    figure.add_annotation(text=text, **foot, **_NOTE)


def _named(chart: Chart) -> list[Any]:
    return [layer for layer in chart.panels[0].layers if not isinstance(layer, Gap | Ground)]


def _spacing(chart: Chart) -> float:
    """Return the room between panels: words beside an axis need more than numbers."""
    if chart.columns == 1:
        return 0.0
    if chart.shared:
        return 0.05
    words = max(len(text) for panel in chart.panels for _, text in panel.y.ticks or [(0, "")])
    return 0.2 if words > 6 else 0.12


def _axis(axis: Axis, titled: bool = True) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "log" if axis.log else "linear"}
    if titled:
        found["title_text"] = "<br>".join(map(plotly_text, axis.title.splitlines()))
    if axis.limits is not None:
        found["range"] = [math.log10(end) if axis.log else end for end in axis.limits]
    if axis.ticks is not None:
        found["tickvals"] = [value for value, _ in axis.ticks]
        found["ticktext"] = [plotly_text(text) for _, text in axis.ticks]
    return found


def colour_axis(shades: Shades) -> dict[str, Any]:
    """Return the colours of values as plotly takes them."""
    title = plotly_text(shades.title)
    return {
        "colorscale": [[share, to_hex(shades.colours(share))] for share in np.linspace(0, 1, 11)],
        "cmin": shades.low,
        "cmax": shades.high,
        "colorbar": {"title": {"text": title, "side": "right"}, "outlinewidth": 0},
    }


def _trace(layer: Dots | Curve | Bars | Ground, told: Mapping[int, str]) -> dict[str, Any]:
    if isinstance(layer, Dots):
        return _dots(layer, told)
    if isinstance(layer, Curve):
        return _curve(layer, told)
    if isinstance(layer, Bars):
        return _bars(layer, told)
    ground = {"type": "contour", "x": layer.x, "y": layer.y, "z": layer.score}
    look = {"coloraxis": "coloraxis", "opacity": 0.55, "line": {"width": 0}}
    return {**ground, **look, "hoverinfo": "skip"}


def _curve(curve: Curve, told: Mapping[int, str]) -> dict[str, Any]:
    line = {"color": curve.colour, "width": 1.3 * curve.width, "shape": _STEPS[curve.step]}
    line["dash"] = "dot" if curve.dashed else "solid"
    trace = {"type": "scatter", "x": curve.x, "y": curve.y, "mode": "lines", "line": line}
    hover = ("skip", "") if curve.number is None else ("y+text", told[curve.number])
    return {**trace, "opacity": curve.alpha, "hoverinfo": hover[0], "hovertext": hover[1]}


def _dots(dots: Dots, told: Mapping[int, str]) -> dict[str, Any]:
    marker: dict[str, Any] = {
        "symbol": _SYMBOLS[dots.shape] + ("-open" if dots.hollow else ""),
        "size": 1.8 * dots.size,
        "color": dots.colour,
        "line": {"color": dots.colour if dots.hollow else "white", "width": 0.7},
    }
    if not isinstance(dots.colour, str):
        marker |= {"coloraxis": "coloraxis", "line": {"color": MUTED, "width": 0.5}}
    texts = [told[int(trial)] for trial in np.asarray(dots.numbers)]
    trace = {"type": "scatter", "x": dots.x, "y": dots.y, "mode": "markers", "marker": marker}
    hover = {"hoverinfo": "text" if texts else "skip", "hovertext": texts}
    return {**trace, "cliponaxis": False, **hover}


def _bars(bars: Bars, told: Mapping[int, str]) -> dict[str, Any]:
    texts: Sequence[str] = [plotly_text(hint) for hint in bars.hints]
    trials = np.asarray(bars.numbers)
    if len(trials):
        texts = [f"{told[int(one)]}<br>{hint}" for one, hint in zip(trials, texts, strict=True)]
    trace: dict[str, Any] = {"type": "bar", "orientation": "h", "y": bars.rows, "x": bars.length}
    trace |= {"base": bars.start, "width": bars.height, "hoverinfo": "text", "hovertext": texts}
    trace["marker"] = {"color": bars.colour, "line": {"color": "white", "width": 1}}
    trace |= {"text": list(bars.names), "textposition": "inside", "insidetextanchor": "middle"}
    if bars.ends is not None:
        over, under = bars.ends[:, 1] - bars.length, bars.length - bars.ends[:, 0]
        ends = {"type": "data", "array": over, "arrayminus": under, "symmetric": False}
        trace["error_x"] = {**ends, "color": INK, "thickness": 1.2, "width": 0}
    return trace
