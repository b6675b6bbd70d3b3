"""Learning curves as a figure: losses with the gap between them, scores, learning rate."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from seglab.analysis.learning.loss_trend import (
    TRAIN_LOSS,
    VAL_LOSS,
    VAL_MIOU,
    Points,
    best_epoch,
    curve,
)
from seglab.analysis.learning.verdict import Verdict, fit_verdict
from seglab.analysis.style import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PINK,
    SKY,
    Look,
    bare,
    log_scale,
    new_figure,
    styled,
)

_VAL_DICE = "val/dice"
# Few points are shown one by one; many would hide the line.
_MARK_UP_TO = 25
_WRAP = 165


def learning_curves(
    history: pd.DataFrame, title: str = "", verdict: Verdict | None = None
) -> Figure:
    """Draw the curves of one run.

    Left: training and validation loss, the gap between them shaded. Middle:
    validation mIoU and Dice, the best epoch (see `best_epoch`) marked. Right: learning rates. The
    verdict stands below.

    Args:
        history: As from `RunRecord.history()`; missing columns and NaN are left out.
        title: Above everything, such as the run id.
        verdict: That on the run; from the losses alone where none is given.

    Returns:
        A figure of 11 x 3.6 inches, to be written with `save_figure`.
    """
    verdict = verdict or fit_verdict(history)
    with styled():
        figure = new_figure(11.0, 3.6)
        losses, scores, rates = figure.subplots(1, 3, width_ratios=[1.25, 1.25, 0.9])
        _draw_losses(losses, history)
        _mark_epoch(losses, verdict.since_epoch)
        losses.set_title("Loss", fontweight="bold")
        _draw_scores(scores, history)
        _draw_rates(rates, history)
        for axes in (losses, scores, rates):
            if axes.lines:
                axes.set_xlabel("epoch")
                axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        sentence = textwrap.fill(verdict.sentence, _WRAP)
        figure.supxlabel(sentence, x=0.01, ha="left", fontsize=9, color=INK)
    return figure


def _draw_losses(axes: Axes, history: pd.DataFrame) -> None:
    train, val = curve(history, TRAIN_LOSS), curve(history, VAL_LOSS)
    if len(train[0]) and len(val[0]):
        between = np.union1d(train[0], val[0])
        first, last = max(train[0][0], val[0][0]), min(train[0][-1], val[0][-1])
        between = between[(between >= first) & (between <= last)]
        low, high = np.interp(between, *train), np.interp(between, *val)
        axes.fill_between(between, low, high, color=MUTED, alpha=0.15, linewidth=0, label="gap")
    _line(axes, train, BLUE, "o", "train", "-")
    _line(axes, val, ORANGE, "s", "validation", "--")
    _limit_to_typical(axes, [train[1], val[1]])
    _finish(axes, "no losses recorded")


def _draw_scores(axes: Axes, history: pd.DataFrame) -> None:
    miou = curve(history, VAL_MIOU)
    _line(axes, miou, ORANGE, "s", "mIoU", "-")
    _line(axes, curve(history, _VAL_DICE), GREEN, "^", "Dice", "--")
    axes.set_title("Validation score", fontweight="bold")
    epoch = best_epoch(history)
    if epoch is not None and epoch in miou[0]:
        score = miou[1][miou[0] == epoch][0]
        label = f"best epoch {epoch}: mIoU {score:.3f}"
        look: Look = {"color": INK, "markeredgecolor": "white", "zorder": 5}
        axes.plot([epoch], [score], "*", markersize=13, label=label, **look)
        axes.set_ylim(bottom=0.0)
    _finish(axes, "no validation scores recorded", "lower right")


def _draw_rates(axes: Axes, history: pd.DataFrame) -> None:
    names = [name for name in history if str(name) == "lr" or str(name).startswith("lr/")]
    colours, styles = (INK, SKY, PINK, GREEN), ("-", "--", "-.", ":")
    drawn: list[np.ndarray] = []
    for number, name in enumerate(names[:8]):
        points = curve(history, str(name))
        label = str(name).removeprefix("lr/")
        _line(axes, points, colours[number % 4], "", label, styles[number % 4])
        drawn.append(points[1][points[1] > 0])
    positive = np.concatenate([np.empty(0), *drawn])
    if positive.size and positive.max() > 20 * positive.min():
        log_scale(axes.yaxis)
    elif positive.size:
        axes.set_ylim(bottom=0.0)
        # The usual formatter puts "1e-3" into the title's place.
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_title("Learning rate", fontweight="bold")
    _finish(axes, "no learning rate recorded", legend=len(names) > 1)


def _line(axes: Axes, points: Points, colour: str, marker: str, label: str, style: str) -> None:
    if len(points[0]):
        marker = marker if len(points[0]) <= _MARK_UP_TO else ""
        look: Look = {"color": colour, "linestyle": style, "marker": marker, "markersize": 3.5}
        axes.plot(*points, label=label, **look)


def _mark_epoch(axes: Axes, epoch: int | None) -> None:
    if epoch is not None:
        label = f"validation loss rises, epoch {epoch}"
        axes.axvline(epoch, color=INK, linewidth=0.9, linestyle=":", label=label)
        axes.legend()


def _limit_to_typical(axes: Axes, values: Sequence[np.ndarray]) -> None:
    """Keep one wild first epoch from pressing the rest of the curve flat."""
    together = np.concatenate(values)
    if together.size >= 8:
        usual, largest = np.quantile(together, 0.9), together.max()
        if largest > 4 * abs(usual):
            axes.set_ylim(top=1.3 * usual)
    if together.size and together.min() >= 0:
        axes.set_ylim(bottom=0.0)


def _finish(
    axes: Axes, nothing: str, place: Literal["best", "lower right"] = "best", legend: bool = True
) -> None:
    if not axes.lines:
        bare(axes, nothing)
    elif legend:
        axes.legend(loc=place)
