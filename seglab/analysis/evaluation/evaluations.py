"""Figures and tables of an evaluation: slices of the data, corruptions, calibration, abstaining."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from seglab.analysis.run_sources import RunLike, RunsLike, open_run, run_file, run_title, runs_table
from seglab.analysis.style import (
    BLUE,
    COLOURS,
    INK,
    MUTED,
    ORANGE,
    PALE,
    Look,
    bare,
    legend_label,
    new_figure,
    styled,
)
from seglab.analysis.tables import format_cell
from seglab.core.errors import DataError, nearest
from seglab.core.sample_size import MIN_UNITS

_EVALUATE = "`seglab evaluate run=RUN_DIR` makes an evaluation with it"
_SLICES = ("slice_kind", "slice", "images", "miou", "miou_low", "miou_high")
_BINS = ("class_name", "bin", "low", "high", "count", "confidence", "accuracy")
_CORRUPTIONS = ("corruption", "severity", "miou")
_RISK = ("coverage", "risk")
_MAX_SLICES = 40
ALL = "all"


def latest_evaluations(runs: RunsLike, split: str | None = None) -> pd.DataFrame:
    """Return the newest evaluation of each run, all of one data set and split, the best one first.

    Args:
        runs: As from `load_runs`.
        split: val or test; that of the newest evaluation by default.

    Returns:
        Rows of `load_runs`; none where nothing was evaluated with a gallery.
    """
    table = runs_table(runs)
    done = table[(table["kind"] == "eval") & (table["status"] == "finished")]
    shown = [(Path(folder) / "gallery.parquet").is_file() for folder in done["run_dir"]]
    done = done[np.array(shown, dtype=bool)]
    if split is not None and "config.split" in done:
        done = done[done["config.split"] == split]
    if done.empty:
        return done
    done = done.sort_values("started", kind="stable")
    newest, same = done.iloc[-1], ["fingerprint", "config.split"]
    done = done[(done[same] == newest[same]).all(axis=1)].drop_duplicates("parent", keep="last")
    return done.sort_values(f"metrics.{newest['config.split']}/miou", ascending=False)


def slices(eval_run: RunLike) -> pd.DataFrame:
    """Return the scores of an evaluation on parts of its images, the worst first within a kind.

    Returns:
        Columns slice_kind (`all` comes first), slice, images, pixels, miou with its interval
        miou_low and miou_high (NaN with too few images to tell), dice, and `below_all`: how much
        lower mIoU is than on all images.

    Raises:
        RunNotFoundError: The run has no slices.
    """
    frame = run_file(eval_run, "slices.parquet", _SLICES, _EVALUATE)
    whole = frame[frame["slice_kind"] == ALL]
    reference = float(whole["miou"].iloc[0]) if len(whole) else float("nan")
    ends, few = ["miou_low", "miou_high"], frame["images"] < MIN_UNITS
    frame = frame.assign(below_all=reference - frame["miou"])
    frame[ends] = frame[ends].mask(few)
    first = (frame["slice_kind"] != ALL).astype(int)
    ordered = frame.assign(first=first).sort_values(["first", "slice_kind", "miou"], kind="stable")
    return ordered.drop(columns="first").reset_index(drop=True)


def slices_figure(eval_run: RunLike, title: str = "") -> Figure:
    """Draw mIoU and its interval on each slice; a line marks all images.

    Raises:
        RunNotFoundError: The run has no slices.
    """
    frame = slices(eval_run)
    whole = frame[frame["slice_kind"] == ALL]
    parts = frame[frame["slice_kind"] != ALL].head(_MAX_SLICES)
    rows = pd.concat([whole, parts])
    with styled():
        figure = new_figure(7.2, 1.1 + 0.26 * len(rows))
        axes = figure.subplots()
        places = np.arange(len(rows), dtype=float)[::-1]
        colours = [INK if kind == ALL else BLUE for kind in rows["slice_kind"]]
        lines = rows[["miou_low", "miou_high"]].to_numpy(float)
        axes.hlines(places, lines[:, 0], lines[:, 1], colors=colours, linewidth=2, alpha=0.55)
        axes.scatter(rows["miou"], places, color=colours, s=22, zorder=3)
        if len(whole):
            axes.axvline(float(whole["miou"].iloc[0]), color=INK, linewidth=0.9, linestyle=":")
        axes.set_yticks(places, [_slice_name(row) for _, row in rows.iterrows()])
        words = "mIoU of the slice's pooled counts; line: 95 % interval (none: too few images)"
        axes.set(xlabel=words, xlim=(0.0, None))
        axes.grid(visible=False, axis="y")
        axes.set_title(title or f"{run_title(eval_run)}: slices", fontweight="bold")
    return figure


def _slice_name(row: pd.Series) -> str:
    if row["slice_kind"] == ALL:
        return f"all images ({row['images']})"
    return f"{row['slice_kind']}: {row['slice']} ({row['images']})"


def corruptions_figure(eval_run: RunLike, title: str = "") -> Figure:
    """Draw how mIoU falls as each corruption grows; severity 0 is the clean images.

    Raises:
        RunNotFoundError: The evaluation was made without corruptions.
    """
    advice = "`seglab evaluate run=RUN_DIR suite.corruptions=[all]` makes one"
    frame = run_file(eval_run, "corruptions.parquet", _CORRUPTIONS, advice)
    clean = frame[frame["severity"] == 0]
    worst_first = (
        frame[frame["severity"] > 0].groupby("corruption")["miou"].mean().sort_values().index
    )
    with styled():
        figure = new_figure(7.0, 3.4)
        axes = figure.subplots()
        for number, name in enumerate(worst_first):
            rows = pd.concat([clean, frame[frame["corruption"] == name]]).sort_values("severity")
            look: Look = {"color": COLOURS[number % 6], "linestyle": "-" if number < 6 else "--"}
            points = rows["severity"], rows["miou"]
            axes.plot(*points, marker="o", markersize=3.5, label=legend_label(str(name)), **look)
        axes.set(xlabel="severity", ylabel="mIoU", ylim=(0.0, None))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(title or f"{run_title(eval_run)}: corruptions", fontweight="bold")
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), title="worst first")
    return figure


def reliability(eval_run: RunLike, class_name: str = ALL, title: str = "") -> Figure:
    """Draw whether confidence can be believed: accuracy against confidence, and risk when abstaining.

    Left: each bin's accuracy at its mean confidence; the distance to the diagonal, weighed by the
    pixels in the bin (grey, below), is the expected calibration error. Right, where it was
    measured: the share of wrong pixels among the most confident ones that are kept.

    Args:
        eval_run: An evaluation.
        class_name: `all`, or the class whose predicted probability is looked at.
        title: Above both; the run by default.

    Raises:
        RunNotFoundError: The run has no reliability table.
        DataError: It knows no such class.
    """
    record = open_run(eval_run)
    frame = run_file(record, "reliability.parquet", _BINS, _EVALUATE)
    names = list(dict.fromkeys(frame["class_name"].astype(str)))
    if class_name not in names:
        raise DataError(
            f"no reliability of '{class_name}'{nearest(class_name, names)}; there are {names}"
        )
    bins = frame[(frame["class_name"] == class_name) & (frame["count"] > 0)].sort_values("bin")
    has_risk = (record.run_dir / "risk_coverage.parquet").is_file()
    with styled():
        figure = new_figure(9.0 if has_risk else 4.6, 4.2)
        panels = figure.subplots(
            2, 2 if has_risk else 1, squeeze=False, height_ratios=[3.2, 1.0], sharex="col"
        )
        _draw_bins(panels[0, 0], panels[1, 0], bins, class_name)
        if has_risk:
            for axes in panels[:, 1]:
                axes.remove()
            risk = run_file(record, "risk_coverage.parquet", _RISK, _EVALUATE)
            _draw_risk(figure.add_subplot(panels[0, 0].get_gridspec()[:, 1]), risk)
        figure.suptitle(title or run_title(record), x=0.01, ha="left", fontsize=11)
    return figure


def calibration_error(bins: pd.DataFrame) -> float:
    """Return the expected calibration error of a reliability table's bins, NaN without pixels."""
    filled = bins[bins["count"] > 0]
    if filled.empty:
        return float("nan")
    gap = (filled["accuracy"] - filled["confidence"]).abs()
    return float(np.average(gap, weights=filled["count"]))


def _draw_bins(above: Axes, below: Axes, bins: pd.DataFrame, class_name: str) -> None:
    above.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, linestyle=":", label="calibrated")
    sure, right = bins["confidence"], bins["accuracy"]
    above.vlines(sure, right, sure, color=ORANGE, alpha=0.5, linewidth=3)
    above.plot(sure, right, color=BLUE, marker="o", markersize=4, label="measured")
    above.set(ylabel="accuracy", ylim=(0, 1))
    error = format_cell(calibration_error(bins))
    above.set_title(f"Reliability, {class_name}: error {error}", fontweight="bold")
    above.legend(loc="upper left")
    if bins.empty:
        bare(above, "no pixels")
        return
    share = bins["count"] / bins["count"].sum()
    look: Look = {"align": "edge", "color": PALE, "edgecolor": MUTED, "linewidth": 0.5}
    below.bar(bins["low"], share, width=bins["high"] - bins["low"], **look)
    below.set(xlim=(0, 1), xlabel="confidence", ylabel="pixels")
    below.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")


def _draw_risk(axes: Axes, risk: pd.DataFrame) -> None:
    axes.set_title("Risk and coverage", fontweight="bold")
    ordered = risk.dropna().sort_values("coverage")
    if ordered.empty:
        bare(axes, "no pixels")
        return
    axes.plot(ordered["coverage"], ordered["risk"], color=BLUE)
    axes.fill_between(ordered["coverage"], 0.0, ordered["risk"], color=BLUE, alpha=0.12)
    whole = float(ordered["risk"].iloc[-1])
    axes.axhline(whole, color=INK, linewidth=0.9, linestyle=":", label=f"keeping all: {whole:.3f}")
    axes.set(xlim=(0, 1), xlabel="share of pixels kept, most confident first")
    axes.set(ylim=(0.0, None), ylabel="wrong among those kept")
    axes.legend(loc="lower right")


def worst_classes(eval_run: RunLike, names: Sequence[str], count: int = 5) -> pd.DataFrame:
    """Return the lowest IoU of any class on any slice.

    Args:
        eval_run: An evaluation with slices.
        names: Class names, as from `labels_of(run).class_names`.
        count: Rows.

    Returns:
        Columns slice_kind, slice, class, iou, all (IoU of the class on all images) and images;
        undefined scores are left out.
    """
    frame = slices(eval_run)
    rows = [
        {
            "slice_kind": row["slice_kind"],
            "slice": row["slice"],
            "class": name,
            "iou": float(value),
            "images": int(row["images"]),
        }
        for _, row in frame.iterrows()
        for name, value in zip(names, row["iou"], strict=True)
    ]
    table = pd.DataFrame(rows)
    whole = table[table["slice_kind"] == ALL].set_index("class")["iou"]
    table.insert(4, "all", table["class"].map(whole))
    parts = table[(table["slice_kind"] != ALL) & table["iou"].notna()]
    return parts.sort_values("iou", kind="stable").head(count).reset_index(drop=True)
