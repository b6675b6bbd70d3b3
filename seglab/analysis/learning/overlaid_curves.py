"""Learning curves of many runs over each other; seeds and folds of one setting become a band."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from seglab.analysis.learning.loss_trend import TRAIN_LOSS, VAL_LOSS, VAL_MIOU, Points, curve
from seglab.analysis.run_sources import RunsLike, runs_table
from seglab.analysis.settings import setting_groups
from seglab.analysis.style import COLOURS, bare, legend_label, new_figure, styled
from seglab.core.errors import DataError
from seglab.runs import RunRecord

Band = Literal["std", "range", "none"]

_DASHES: tuple[Literal["-", "--", "-.", ":"], ...] = ("-", "--", "-.", ":")
_TITLES = {TRAIN_LOSS: "Training loss", VAL_LOSS: "Validation loss", VAL_MIOU: "Validation mIoU"}
_MAX_GROUPS = 12


def curves(
    runs: RunsLike,
    metrics: Sequence[str] = (TRAIN_LOSS, VAL_LOSS, VAL_MIOU),
    by: str | Sequence[str] | None = None,
    band: Band = "std",
) -> Figure:
    """Draw the learning curves of several runs over each other, seeds and folds as one band.

    Args:
        runs: A table from `load_runs`, a folder, or a list of runs; those without a history (a
            cross-validation itself, evaluations) are left out.
        metrics: Columns of the histories; one panel each.
        by: Columns that make a setting, such as `model.arch`; None: whatever the runs differ in.
        band: Around the mean of a setting's runs, where at least two have the epoch: one standard
            deviation (n - 1) to each side, the range from lowest to highest, or none. Each run is
            drawn as a thin line as well.

    Returns:
        A figure with one legend for all panels.

    Raises:
        DataError: No run has a history, or there are too many settings to tell apart.
    """
    table = runs_table(runs)
    histories = {str(folder): RunRecord.open(folder).history() for folder in table["run_dir"]}
    table = table[[not histories[str(folder)].empty for folder in table["run_dir"]]]
    if table.empty:
        raise DataError("none of the runs has a learning curve; give trainings or folds")
    groups = setting_groups(table, by)
    if len(groups) > _MAX_GROUPS:
        raise DataError(
            f"{len(groups)} settings cannot be told apart in one figure, at most {_MAX_GROUPS}; "
            "choose some rows of the table, or group by fewer columns with by=..."
        )
    with styled():
        figure = new_figure(3.7 * len(metrics), 3.0 + 0.17 * len(groups))
        panels = figure.subplots(1, len(metrics), squeeze=False)[0]
        for axes, metric in zip(panels, metrics, strict=True):
            for number, rows in enumerate(groups.values()):
                members = [curve(histories[str(folder)], metric) for folder in rows["run_dir"]]
                _draw_group(axes, members, number, band)
            _finish(axes, metric)
        labels = [
            legend_label(f"{name} ({len(rows)} runs)" if len(rows) > 1 else name)
            for name, rows in groups.items()
        ]
        handles = [Line2D([], [], **_look(number)) for number in range(len(groups))]
        figure.legend(handles, labels, loc="outside lower left", ncols=1)
    return figure


def _look(number: int) -> dict[str, Any]:
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": _DASHES[number // len(COLOURS)]}


def mean_and_band(members: Sequence[Points], band: Band = "std") -> pd.DataFrame:
    """Return the mean of curves epoch by epoch, and how far they lie apart.

    Args:
        members: Epochs and values of each curve.
        band: As for `curves`.

    Returns:
        Columns mean, low, high and count by epoch; low and high are NaN where fewer than two
        curves have the epoch.
    """
    series = [pd.Series(values, index=epochs) for epochs, values in members if len(epochs)]
    if not series:
        return pd.DataFrame(columns=["mean", "low", "high", "count"], dtype=np.float64)
    together = pd.concat(series, axis=1).sort_index()
    mean, count = together.mean(axis=1), together.count(axis=1)
    if band == "range":
        low, high = together.min(axis=1), together.max(axis=1)
    else:
        spread = together.std(axis=1, ddof=1)
        low, high = mean - spread, mean + spread
    alone = (count < 2) | (band == "none")
    return pd.DataFrame(
        {"mean": mean, "low": low.mask(alone), "high": high.mask(alone), "count": count}
    )


def _draw_group(axes: Axes, members: Sequence[Points], number: int, band: Band) -> None:
    look = _look(number)
    table = mean_and_band(members, band)
    if table.empty:
        return
    if len(members) > 1:
        for epochs, values in members:
            axes.plot(epochs, values, color=look["color"], linewidth=0.6, alpha=0.4)
        bounds = table.index.to_numpy(float), table["low"], table["high"]
        axes.fill_between(*bounds, color=look["color"], alpha=0.18, linewidth=0)
    few = "o" if len(table) < 3 else ""
    axes.plot(table.index, table["mean"], **look, marker=few, markersize=4)


def _finish(axes: Axes, metric: str) -> None:
    axes.set_title(_TITLES.get(metric, metric), fontweight="bold")
    if not axes.lines:
        bare(axes, f"no run has {metric}")
        return
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    if not metric.endswith("loss"):
        axes.set_ylim(bottom=0.0)
