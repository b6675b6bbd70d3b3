"""From the results of all seeds to a table, a verdict by the rule of README.md, and the figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from seglab.analysis.statistics.repeats import mean_interval
from seglab.analysis.style import BLUE, INK, MUTED, ORANGE, new_figure, save_figure, styled

ARMS = {"ranked": BLUE, "random": ORANGE}
_FREE = (-np.inf, np.inf)
# What a column of an arm can be; differences are free.
_LIMITS = {"gain": _FREE, "found": (0.0, 1.0), "mended": (0.0, np.inf)}
# Scores are told in thousandths of mIoU: a corrected image brings a few of them, or none.
MILLI = 1000.0


def gains(results: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return a row a seed: thousandths of mIoU gained, and planted errors mended, by corrected image."""
    table = pd.DataFrame(list(results)).sort_values("seed", ignore_index=True)
    for arm in ARMS:
        table[f"{arm}_gain"] = MILLI * (table[arm] - table["before"]) / table["corrected"]
        table[f"{arm}_found"] = table[f"{arm}_wrong"] / table["corrected"]
        table[f"{arm}_mended"] = table[f"{arm}_pixels"] / table["corrected"]
    return table


def summarise(results: Sequence[Mapping[str, Any]], folder: Path) -> str:
    """Write `results.csv` and `gain.png`; return what README.md tells."""
    if not results:
        return "no seed is finished"
    table = gains(results)
    table.to_csv(folder / "results.csv", index=False, float_format="%.5g")
    lines = [f"{len(table)} seeds, {table['corrected'].tolist()} images corrected in each arm"]
    for name, what in (
        ("gain", "mIoU gained per corrected image, thousandths"),
        ("found", "share of corrected images that had a planted error"),
        ("mended", "label pixels set right per corrected image"),
    ):
        lines.append(what)
        columns = {arm: table[f"{arm}_{name}"] for arm in ARMS}
        columns["ranked - random"] = columns["ranked"] - columns["random"]
        for arm, values in columns.items():
            one = mean_interval(values, limits=_LIMITS[name] if arm in ARMS else _FREE)
            lines.append(f"  {arm:<16} {one.value:8.3f} [{one.low:.3f}, {one.high:.3f}]")
    difference = table["ranked_gain"] - table["random_gain"]
    if len(table) >= 3:
        draw(table, folder / "gain.png")
        lines += [_verdict(difference), _detectable(difference)]
    return "\n".join(lines)


def _verdict(difference: pd.Series) -> str:
    one = mean_interval(difference, limits=_FREE)
    if one.low > 0:
        return (
            "verdict: correcting what the ranking puts first gains more than correcting at random"
        )
    if one.high < 0:
        return (
            "verdict: correcting what the ranking puts first gains less than correcting at random"
        )
    return "verdict: cannot tell the ranking from random by the mIoU gained"


def _detectable(difference: pd.Series, power: float = 0.8) -> str:
    """Tell the smallest difference that so many seeds find in 80 % of cases."""
    freedom = len(difference) - 1
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    least = (stats.t.ppf(0.975, freedom) + stats.t.ppf(power, freedom)) * error
    return f"smallest difference that could have been seen (power 80 %): {least:.3f} thousandths"


def draw(table: pd.DataFrame, path: Path) -> None:
    """Draw gain, and errors among what was corrected, for both arms: seeds, means and intervals."""
    with styled():
        figure = new_figure(6.4, 2.9)
        left, right = figure.subplots(1, 2)
        _panel(left, table, "gain")
        left.axhline(0, color=INK, linewidth=0.8)
        left.set_ylabel("mIoU gained per corrected image\n(thousandths)")
        _panel(right, table, "found")
        right.set_ylim(0, 1)
        right.set_ylabel("corrected images that\nhad a planted error (share)")
        figure.suptitle(
            f"{len(table)} seeds; bars are 95 % intervals, grey lines join a seed", x=0.5
        )
    save_figure(figure, path)


def _panel(axis: Any, table: pd.DataFrame, name: str) -> None:
    columns = [table[f"{arm}_{name}"].to_numpy() for arm in ARMS]
    for pair in zip(*columns, strict=True):
        axis.plot([0, 1], pair, color=MUTED, linewidth=0.6, alpha=0.6, marker="o", markersize=3)
    for place, (values, colour) in enumerate(zip(columns, ARMS.values(), strict=True)):
        one = mean_interval(values, limits=_LIMITS[name])
        spread = [[one.value - one.low], [one.high - one.value]]
        axis.errorbar([place], [one.value], spread, fmt="s", color=colour, capsize=6, markersize=7)
    axis.set_xticks([0, 1], ["worst by ranking", "random"])
    axis.set_xlim(-0.4, 1.4)
