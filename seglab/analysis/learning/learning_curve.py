"""More data or a bigger model? Scores against the share of the data trained on, and what they say.

`seglab train -m experiment=learning_curve` makes the runs. Not to be taken for the curves of one
training over its epochs, which are in `seglab.analysis.learning.history_curves`.
"""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seglab.analysis.learning.power_law import MIN_SIZES, PowerLaw, fit_power_law
from seglab.analysis.settings import varied_settings
from seglab.analysis.style import BLUE, INK, MUTED, ORANGE, Look, new_figure, styled
from seglab.core.errors import DataError, list_problems
from seglab.runs import load_runs
from seglab.runs.load import Runs

CurveKind = Literal["more data", "flat", "cannot tell", "too few sizes"]
FRACTION = "config.data.train_fraction"
# What the share of the data changes on purpose: epochs follow it so that steps stay the same.
_FOLLOWS = (FRACTION, "config.trainer.max_epochs", "config.trainer.val_every")
_KINDS = ("train", "cv")
_WRAP = 92


@dataclass(frozen=True)
class CurveRules:
    """Thresholds of `learning_curve_verdict`, in units of the score.

    Args:
        worthwhile: A gain from twice the data below this is none. To say `more data` the interval
            has to stay above half of it, to say `flat` below twice of it.
        gap: Training minus validation score above this is overfitting.
        high: With a training score above this, the model is no limit.
    """

    worthwhile: float = 0.01
    gap: float = 0.05
    high: float = 0.9


@dataclass(frozen=True)
class CurveVerdict:
    """What a learning curve says.

    Attributes:
        kind: more data, flat, cannot tell or too few sizes.
        gain: What twice the data would add, by the law; NaN where there is none.
        low: Lower end of its 95 % interval; NaN where it is unknown.
        high: Upper end.
        gap: Training minus validation score with all data; NaN where training was not scored.
        sentence: The verdict with its numbers and what to do.
    """

    kind: CurveKind
    gain: float
    low: float
    high: float
    gap: float
    sentence: str


def learning_curve(runs: Runs | pd.DataFrame, metric: str = "val/miou") -> pd.DataFrame:
    """Return one row a finished run: how much data it saw and how well it did.

    Args:
        runs: Folders for `load_runs`, or what it returned. Evaluations of the runs on their
            training split, if there are any among them, give the training scores.
        metric: Key of the score; the training score is that of the split `train`.

    Returns:
        Columns run_id, fraction, images (training images; NaN where the record holds no manifest),
        seed, score and train_score (NaN where not scored), sorted by fraction and seed.

    Raises:
        DataError: No finished run has the score, or runs differ in more than the share of the data
            and the seed.
    """
    table = runs if isinstance(runs, pd.DataFrame) else load_runs(runs, folds=False)
    column = f"metrics.{metric}"
    wanted = table["kind"].isin(_KINDS) & (table["status"] == "finished")
    trained = table[wanted & (table[column].notna() if column in table else False)]
    if trained.empty:
        raise DataError(f"expected finished trainings with {metric}, got none of {len(table)} runs")
    _require_alike(trained)
    fractions = trained[FRACTION] if FRACTION in trained else pd.Series(1.0, trained.index)
    curve = pd.DataFrame(
        {
            "run_id": trained["run_id"],
            # Records older than the key have all data.
            "fraction": pd.to_numeric(fractions).fillna(1.0).astype(float),
            "images": [_count_images(Path(folder)) for folder in trained["run_dir"]],
            "seed": trained["seed"],
            "score": trained[column].astype(float),
            "train_score": _train_scores(table, trained, metric),
        }
    )
    return curve.sort_values(["fraction", "seed", "run_id"]).reset_index(drop=True)


def _require_alike(trained: pd.DataFrame) -> None:
    varied = [name for name in varied_settings(trained) if name not in _FOLLOWS]
    problems = []
    for name in varied:
        values = sorted({str(value) for value in trained[name]})
        problems.append(f"{name.removeprefix('config.')}: {', '.join(values)}")
    if problems:
        title = (
            "a learning curve needs runs that differ in data.train_fraction and seed only, but "
            "these differ too; give one setting at a time"
        )
        raise DataError(list_problems(title, problems))


def _count_images(run_dir: Path) -> float:
    path = run_dir / "manifest" / "manifest.parquet"
    if not path.is_file():
        return math.nan
    rows = pd.read_parquet(path, columns=["split", "keep"])
    return float((rows["keep"] & (rows["split"] == "train")).sum())


def _train_scores(table: pd.DataFrame, trained: pd.DataFrame, metric: str) -> list[float]:
    column = f"metrics.train/{metric.partition('/')[2]}"
    if column not in table:
        return [math.nan] * len(trained)
    scored = table[table[column].notna()]
    found: dict[tuple[str, str], float] = {}
    for name in ("parent", "run_id"):
        # The fingerprint, because a run may also be scored on the training split of other data.
        keys = zip(scored[name], scored["fingerprint"], strict=True)
        found |= dict(zip(keys, scored[column], strict=True))
    wanted = zip(trained["run_id"], trained["fingerprint"], strict=True)
    return [float(found.get(key, math.nan)) for key in wanted]


def fit_curve(curve: pd.DataFrame) -> PowerLaw | None:
    """Return the law behind a learning curve, over images or else over shares of the data.

    None where there are fewer than three different sizes.
    """
    sizes = _sizes(curve)
    if len(np.unique(sizes)) < MIN_SIZES:
        return None
    return fit_power_law(sizes, curve["score"])


def _sizes(curve: pd.DataFrame) -> np.ndarray:
    known = curve["images"].notna().all()
    return curve["images" if known else "fraction"].to_numpy(float)


def learning_curve_verdict(
    curve: pd.DataFrame, rules: CurveRules | None = None, law: PowerLaw | None = None
) -> CurveVerdict:
    """Say whether more data would help, or something else has to change.

    Args:
        curve: From `learning_curve`.
        rules: Thresholds.
        law: From `fit_curve`; fitted here when None.

    Returns:
        The verdict; too few sizes are no error.
    """
    rules = rules or CurveRules()
    law = law or fit_curve(curve)
    score, train_score = _with_all_data(curve)
    gap = train_score - score
    if law is None:
        count = len(np.unique(_sizes(curve)))
        sentence = (
            f"Too few sizes: {count}, at least {MIN_SIZES} are needed; train on more shares of the "
            "data (data.train_fraction)."
        )
        return CurveVerdict("too few sizes", math.nan, math.nan, math.nan, gap, sentence)
    largest = float(_sizes(curve).max())
    gain, (low, high) = law.gain(largest), law.gain_interval(largest)
    kind = _kind(gain, low, high, rules)
    images = curve["images"].notna().all()
    much = f"{largest:.0f} to {2 * largest:.0f} images" if images else "by the shares trained on"
    message = f"Twice the data ({much}) would bring about {gain:+.3f} {_range(low, high)}"
    return CurveVerdict(
        kind, gain, low, high, gap, f"{message}: {_advice(kind, score, train_score, rules)}"
    )


def _kind(gain: float, low: float, high: float, rules: CurveRules) -> CurveKind:
    if gain >= rules.worthwhile and not low < rules.worthwhile / 2:
        return "more data"
    if gain < rules.worthwhile and not high > 2 * rules.worthwhile:
        return "flat"
    return "cannot tell"


def _with_all_data(curve: pd.DataFrame) -> tuple[float, float]:
    """Return the mean score and training score of the runs with most data."""
    sizes = _sizes(curve)
    full = curve[sizes == sizes.max()]
    return float(full["score"].mean()), float(full["train_score"].mean())


def _advice(kind: CurveKind, score: float, train_score: float, rules: CurveRules) -> str:
    if kind == "cannot tell":
        return "too uncertain to act on; repeat with more seeds (seed=0,1,2)."
    known = not math.isnan(train_score)
    scores = f"{train_score:.3f} in training, {score:.3f} in validation"
    overfits = known and train_score - score > rules.gap
    if kind == "more data":
        if known and not overfits and train_score < rules.high:
            return f"more data; a bigger model may help too, this one does not overfit ({scores})."
        return f"more data{f'; the model overfits what it has ({scores})' if overfits else ''}."
    if overfits:
        return (
            f"flat, yet the model overfits ({scores}): augment more, regularise, or collect other "
            "scenes than these."
        )
    if not known:
        return (
            "flat: a bigger model or better labels. Which of them, or overfitting, the training "
            "score tells: seglab evaluate run=RUN data.split=train."
        )
    if train_score < rules.high:
        return f"flat, and no overfitting ({scores}): a bigger model or better labels."
    return f"flat and high ({scores}): little is left to gain on these data."


def learning_curve_figure(curve: pd.DataFrame, title: str = "", score: str = "mIoU") -> Figure:
    """Draw scores over training images with the fitted law, drawn on to twice the data.

    Args:
        curve: From `learning_curve`.
        title: Above everything.
        score: Name of the score.

    Returns:
        A figure of 7 x 4.2 inches, the verdict below, to be written with `save_figure`.
    """
    law = fit_curve(curve)
    verdict = learning_curve_verdict(curve, law=law)
    sizes = _sizes(curve)
    with styled():
        figure = new_figure(7.0, 4.2)
        axes = figure.subplots()
        if law is not None:
            _draw_law(axes, law, sizes)
        for column, colour, marker, label in (
            ("score", ORANGE, "s", "validation, one run each"),
            ("train_score", BLUE, "o", "training"),
        ):
            if curve[column].notna().any():
                look: Look = {"color": colour, "markersize": 4.5, "zorder": 4}
                axes.plot(sizes, curve[column], marker, label=label, **look)
        _label(axes, curve, sizes, score)
        axes.set_title(f"Learning curve: {verdict.kind}", fontweight="bold")
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        sentence = textwrap.fill(verdict.sentence, _WRAP)
        figure.supxlabel(sentence, x=0.01, ha="left", fontsize=9, color=INK)
    return figure


def _draw_law(axes: Axes, law: PowerLaw, sizes: np.ndarray) -> None:
    inside = np.geomspace(sizes.min(), sizes.max(), 60)
    beyond = np.geomspace(sizes.max(), 2 * sizes.max(), 30)
    whole = np.concatenate([inside, beyond])
    low, high = law.band(whole)
    if np.isfinite(low).all():
        axes.fill_between(whole, low, high, color=ORANGE, alpha=0.15, linewidth=0, label="95 %")
    law_text = f"{law.c:.3f} - {law.a:.3g} n^-{law.b:.2f}"
    axes.plot(inside, law.predict(inside), color=ORANGE, label=law_text)
    axes.plot(beyond, law.predict(beyond), color=ORANGE, linestyle=":", label="with twice the data")


def _label(axes: Axes, curve: pd.DataFrame, sizes: np.ndarray, score: str) -> None:
    axes.set_xscale("log", base=2)
    ticks = np.unique([*sizes, 2 * sizes.max()])
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    images = curve["images"].notna().all()
    axes.set_xlabel("training images" if images else "share of the training data")
    axes.set_ylabel(score)
    axes.axvline(sizes.max(), color=MUTED, linewidth=0.8, linestyle=":")
    axes.legend(loc="lower right")


def _range(low: float, high: float) -> str:
    if math.isnan(low) or math.isnan(high):
        return "(interval unknown: as many scores as the law has parameters)"
    return f"[{low:+.3f}, {high:+.3f}]"
