"""What the losses of a run say of its fit, by how they move from epoch to epoch.

Loss on the training images is taken with augmentation and dropout on, so it may lie above the loss
on the validation images; what is said therefore rests on how the curves move, not on their distance.
The verdict on a run (`seglab.analysis.learning.verdict`) holds this against its scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from seglab.core.text.wording import plural
from seglab.metrics.names import MIOU, MIOU_PRESENT, metric_key
from seglab.runs import EPOCH

Kind = Literal["underfit", "fine", "overfit", "too short to tell"]
Points = tuple[np.ndarray, np.ndarray]

TRAIN_LOSS, VAL_LOSS = "train/loss", "val/loss"
VAL_MIOU, VAL_PRESENT = metric_key("val", MIOU), metric_key("val", MIOU_PRESENT)


@dataclass(frozen=True)
class VerdictRules:
    """Thresholds of `loss_trend`; fractions but for the counts, so the scale of a loss is free.

    Args:
        min_points: Fewer epochs with a finite loss than this, of either curve: too short to tell.
        rise: Overfit needs the smoothed validation loss to end this fraction above its minimum...
        noise: ...and this many standard deviations of the noise from epoch to epoch above it.
        patience: It must have been up for this many validated epochs at least...
        patience_frac: ...and for this fraction of all of them.
        steep: Underfit: both curves made at least this fraction of their whole fall in the last
            quarter of the epochs. A straight line makes 0.25, an exponential decay over three of
            its time constants 0.06.
        barely: Underfit too: the training loss fell by less than this fraction of its start.
    """

    min_points: int = 6
    rise: float = 0.05
    noise: float = 2.0
    patience: int = 3
    patience_frac: float = 0.1
    steep: float = 0.10
    barely: float = 0.10


@dataclass(frozen=True)
class LossTrend:
    """What the losses say.

    Attributes:
        kind: underfit, fine, overfit or too short to tell.
        since_epoch: Overfit: the epoch of the smallest (smoothed) validation loss; else None.
        gap: Validation loss minus training loss at the end, smoothed; NaN where one is missing.
        evidence: The numbers, as a clause.
        advice: Sentences on what to try; empty where nothing need be.
    """

    kind: Kind
    since_epoch: int | None
    gap: float
    evidence: str
    advice: str = ""


def loss_trend(history: pd.DataFrame, rules: VerdictRules | None = None) -> LossTrend:
    """Judge how the losses of one run moved.

    Overfit: the validation loss has risen from its minimum by a margin, and stayed up, while the
    training loss did not rise. Underfit: both still fall steeply at the end, or the training loss
    hardly fell, or rose again. Otherwise fine. Curves are smoothed by a running median and mean of
    three epochs first.

    Args:
        history: As for `seglab.analysis.learning.verdict.fit_verdict`.
        rules: Thresholds.
    """
    rules = rules or VerdictRules()
    train, val = curve(history, TRAIN_LOSS), curve(history, VAL_LOSS)
    have = min(len(train[0]), len(val[0]))
    gap = _gap(train, val)
    if have < rules.min_points:
        evidence = (
            f"both losses are there for {plural(have, 'epoch')}, a trend takes {rules.min_points}"
        )
        return LossTrend("too short to tell", None, gap, evidence)
    since = _overfit_since(train, val, rules)
    if since is not None:
        return _overfit(train, val, curve(history, steady_miou(history)), since, gap)
    return _underfit(train, val, gap, rules) or _fine(train, val, gap)


def curve(history: pd.DataFrame, column: str) -> Points:
    """Return epochs and values where the column is finite, in order of epochs; empty if absent."""
    if column not in history or EPOCH not in history:
        return np.empty(0), np.empty(0)
    frame = history[[EPOCH, column]].apply(pd.to_numeric, errors="coerce")
    frame = frame[np.isfinite(frame).all(axis=1)].drop_duplicates(EPOCH, keep="last")
    frame = frame.sort_values(EPOCH)
    return frame[EPOCH].to_numpy(float), frame[column].to_numpy(float)


def steady_miou(history: pd.DataFrame) -> str:
    """Return the column of the mean IoU over the same classes in every epoch.

    Where the validation split lacks a class, `val/miou` jumps as stray pixels are predicted as it;
    histories from before `val/miou_present` have only that.
    """
    return VAL_PRESENT if len(curve(history, VAL_PRESENT)[0]) else VAL_MIOU


def best_epoch(history: pd.DataFrame) -> int | None:
    """Return the epoch of the best mean IoU (`steady_miou`), the first of equal ones.

    An epoch without a score (NaN) is never the best; None where no epoch has one.
    """
    epochs, scores = curve(history, steady_miou(history))
    return int(epochs[np.argmax(scores)]) if len(scores) else None


def smooth(values: np.ndarray) -> np.ndarray:
    """Return the running median of three, then mean of three; falling curves stay falling."""
    series = pd.Series(values).rolling(3, center=True, min_periods=1).median()
    return series.rolling(3, center=True, min_periods=1).mean().to_numpy(float)


def _noise(values: np.ndarray) -> float:
    """Standard deviation of what jumps from epoch to epoch; trends cancel in second differences."""
    second = np.diff(values, n=2)
    # 1.4826 turns a median deviation into a standard one; 1, -2, 1 adds up six variances.
    return float(1.4826 * np.median(np.abs(second)) / np.sqrt(6.0))


def _gap(train: Points, val: Points) -> float:
    if not len(train[0]) or not len(val[0]):
        return float("nan")
    return float(smooth(val[1])[-1] - smooth(train[1])[-1])


def _at(points: Points, epoch: float) -> float:
    return float(np.interp(epoch, points[0], smooth(points[1])))


def _overfit_since(train: Points, val: Points, rules: VerdictRules) -> float | None:
    epochs, values = val
    level = smooth(values)
    lowest = int(np.argmin(level))
    wait = max(rules.patience, int(np.ceil(rules.patience_frac * len(values))))
    if len(values) - 1 - lowest < wait:
        return None
    margin = max(rules.rise * abs(level[lowest]), rules.noise * _noise(values))
    stayed_up = bool(np.all(level[-rules.patience :] > level[lowest] + margin))
    slack = max(0.01 * abs(_at(train, epochs[lowest])), _noise(train[1]))
    train_rose = smooth(train[1])[-1] > _at(train, epochs[lowest]) + slack
    return float(epochs[lowest]) if stayed_up and not train_rose else None


def _overfit(train: Points, val: Points, miou: Points, since: float, gap: float) -> LossTrend:
    low, end = _at(val, since), smooth(val[1])[-1]
    before, after = _at(train, since), smooth(train[1])[-1]
    evidence = (
        f"validation loss rose from {low:.3g} at epoch {since:.0f} to {end:.3g} while training loss "
        f"went from {before:.3g} to {after:.3g}"
    )
    advice = "Augment more, regularise, or stop there."
    if len(miou[0]) and smooth(miou[1])[-1] > _at(miou, since) + 0.005:
        evidence += (
            f" and validation mIoU still rose by {smooth(miou[1])[-1] - _at(miou, since):.3f}, so "
            "the model grows overconfident rather than worse"
        )
        advice = "Smooth the labels or regularise."
    return LossTrend("overfit", int(since), gap, evidence, advice)


def _underfit(train: Points, val: Points, gap: float, rules: VerdictRules) -> LossTrend | None:
    level = smooth(train[1])
    start, end = float(train[1][0]), float(level[-1])
    rose = end - float(level.min())
    if rose > max(rules.rise * abs(level.min()), rules.noise * _noise(train[1])):
        evidence = f"training loss rose again, from {level.min():.3g} to {end:.3g}"
        advice = "Lower the learning rate."
    elif start - end < rules.barely * abs(start):
        evidence = f"training loss hardly moved, from {start:.3g} to {end:.3g}"
        advice = "Raise the learning rate, train longer or take a larger model."
    elif all(_falls_steeply(points, rules) for points in (train, val)):
        evidence = (
            f"training loss ({end:.3g}) and validation loss ({smooth(val[1])[-1]:.3g}) both still "
            "fall at the end"
        )
        advice = "Train longer."
    else:
        return None
    return LossTrend("underfit", None, gap, evidence, advice)


def _falls_steeply(points: Points, rules: VerdictRules) -> bool:
    epochs, values = points
    quarter = epochs[-1] - 0.25 * (epochs[-1] - epochs[0])
    level = smooth(values)
    recent, whole = _at(points, quarter) - level[-1], level[0] - level[-1]
    clear = max(0.02 * abs(level[-1]), rules.noise * _noise(values))
    return bool(whole > 0 and recent >= rules.steep * whole and recent > clear)


def _fine(train: Points, val: Points, gap: float) -> LossTrend:
    level = smooth(val[1])
    lowest = int(np.argmin(level))
    where = (
        "is lowest at the end"
        if lowest == len(level) - 1
        else f"is lowest at epoch {val[0][lowest]:.0f} and has not risen clearly since"
    )
    evidence = (
        f"validation loss {where}: it ends at {level[-1]:.3g} against {smooth(train[1])[-1]:.3g} in "
        "training"
    )
    return LossTrend("fine", None, gap, evidence)
