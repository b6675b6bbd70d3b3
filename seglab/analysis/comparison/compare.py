"""Is one run better than another, and how sure is that? One table and a verdict in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from seglab.analysis.comparison.comparable import NotComparableError, why_not_comparable
from seglab.analysis.comparison.contenders import Contender, choose_runs, fold_seeds
from seglab.analysis.comparison.designs import (
    Design,
    FoldDesign,
    ImageDesign,
    SeedDesign,
    has_counts,
)
from seglab.analysis.comparison.run_scores import NAN, Metric, RunScores
from seglab.analysis.statistics import Estimate, holm, minimum_detectable
from seglab.core.errors import ConfigError
from seglab.core.text.wording import plural
from seglab.metrics.names import shown_scores

BETTER, WORSE, EVEN, REFERENCE = "better", "worse", "no difference told", "reference"
_POWER = 0.8


@dataclass(frozen=True)
class Comparison:
    """What a comparison found.

    Attributes:
        table: One row a contender, best first: run, model, the score (a column named after the
            metric) with low and high, diff to the reference with diff_low, diff_high, p, p_holm and
            verdict (better, worse, no difference told, reference), detectable (the smallest
            difference this could have seen, power 80 %), p_images and p_wilcoxon (the tests paired
            by image, whatever the method; NaN without counts), pooled (score of pooled counts),
            seeds, params_m, gflops, hours (of one training), latency_ms and run_ids. NaN: unknown.
        text: The verdict in words, a line a comparison.
        method: What repeats: images, folds or seeds.
        metric: What was compared, such as `miou`.
        split: On which split.
        reference: The run the others are compared with.
        comparisons: Over how many p was corrected.
        notes: What a reader should know.
        forced: Reasons against comparing that `force` overrode.
    """

    table: pd.DataFrame
    text: str
    method: str
    metric: str
    split: str
    reference: str
    comparisons: int
    notes: tuple[str, ...] = ()
    forced: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Setting:
    """What all comparisons of a call share."""

    metric: Metric
    level: float
    comparisons: int
    design: Design
    images: ImageDesign | None
    reference: Contender
    notes: list[str] = field(default_factory=list)


def compare(
    runs: Sequence[str | Path],
    *,
    baseline: str | Path | None = None,
    metric: str = "miou",
    split: str = "val",
    force: bool = False,
    level: float = 0.95,
    runs_dir: str | Path = "runs",
) -> Comparison:
    """Compare runs with each other.

    Runs that differ only by seed become one contender. Cross-validations are compared by fold;
    contenders that all have several seeds over seeds; else single trainings image by image, with
    the counts of several seeds added up.

    Args:
        runs: Run folders, folders of runs, globs or run ids below `runs_dir`; see `choose_runs`.
        baseline: The run the others are compared with. None: the best one; then p is corrected for
            every pair, because choosing the best looked at them all.
        metric: `miou`, `dice` or `iou/CLASS`.
        split: train, val or test.
        force: Compare although there are reasons not to; they stand in the result.
        level: Confidence of intervals; a difference is told when p <= 1 - level.
        runs_dir: Where run ids are looked up.

    Raises:
        NotComparableError: There are reasons not to compare them and no `force`, or they cannot be.
        RunNotFoundError: A word stands for no run.
        ConfigError: Fewer than two contenders, an unknown metric or class, a wrong level.
    """
    if not 0.0 < level < 1.0:
        raise ConfigError(f"level: expected a number between 0 and 1, such as 0.95, got {level}")
    words = [*runs] if baseline is None else [*runs, baseline]
    folders, notes = choose_runs(words, runs_dir)
    scores = [RunScores.read(folder, split) for folder in folders]
    reasons = why_not_comparable(scores, split)
    if reasons and not force:
        raise NotComparableError(reasons)
    contenders = fold_seeds(scores)
    if len(contenders) < 2:
        raise ConfigError("; ".join([_too_few(scores, contenders), *notes]))
    class_names = next((run.class_names for run in scores if run.class_names), ())
    setting = _set_up(contenders, Metric.parse(metric, class_names), level, baseline, runs_dir)
    return _compare(contenders, setting, split, [*notes, *setting.notes], reasons)


def _too_few(scores: Sequence[RunScores], contenders: Sequence[Contender]) -> str:
    if len(scores) > 1:
        return (
            f"these {len(scores)} runs differ only by seed ({contenders[0].label}); name others too"
        )
    return f"expected two runs or more to compare, got {len(scores)}"


def _set_up(
    contenders: Sequence[Contender],
    metric: Metric,
    level: float,
    baseline: str | Path | None,
    runs_dir: str | Path,
) -> _Setting:
    others = len(contenders) - 1
    comparisons = others if baseline is not None else (others + 1) * others // 2
    images = None
    if has_counts(contenders) and metric.statistic is not None:
        images = _images(contenders, metric, level, comparisons)
    design = _choose_design(contenders, metric, level, images)
    if baseline is None:
        values = [design.score(contender).value for contender in contenders]
        best = int(np.nanargmax(values)) if np.isfinite(values).any() else 0
        reference = contenders[best]
    else:
        path = choose_runs([baseline], runs_dir)[0]
        reference = _find_baseline(contenders, path)
    notes = _notes(contenders, design, images)
    return _Setting(metric, level, comparisons, design, images, reference, notes)


def _images(
    contenders: Sequence[Contender], metric: Metric, level: float, comparisons: int
) -> ImageDesign | None:
    widths = {
        run.per_image["tp"].map(len).iloc[0]
        for one in contenders
        for run in one.runs
        if run.per_image is not None
    }
    images = ImageDesign(contenders, metric, level, comparisons)
    return images if len(widths) == 1 and images.sample_ids else None


def _choose_design(
    contenders: Sequence[Contender], metric: Metric, level: float, images: ImageDesign | None
) -> Design:
    runs = [run for one in contenders for run in one.runs]
    if all(run.is_cv and run.fold_scores is not None for run in runs):
        return FoldDesign(metric, level)
    if all(len(one.runs) > 1 for one in contenders):
        return SeedDesign(metric, level)
    if images is not None:
        return images
    without = [run.run_id for run in runs if run.per_image is None]
    problem = (
        f"no counts of single images in {', '.join(without)}; train or evaluate with "
        "metrics.per_image=true, give several seeds of each, or cross-validations of each"
        if without
        else "no image was scored by all of them with the same classes"
    )
    raise NotComparableError([problem], can_force=False)


def _find_baseline(contenders: Sequence[Contender], paths: Sequence[Path]) -> Contender:
    wanted = {path.resolve() for path in paths}
    for contender in contenders:
        own = {run.record.run_dir.resolve() for run in contender.runs}
        if wanted and wanted <= own:
            return contender
    got = ", ".join(path.name for path in paths) or "none that finished"
    raise ConfigError(f"--baseline: expected one run, or the seeds of one; got {got}")


def _notes(
    contenders: Sequence[Contender], design: Design, images: ImageDesign | None
) -> list[str]:
    notes = []
    if design is images and images is not None:
        if images.ignores_groups:
            notes.append(
                f"the {len(images.sample_ids)} images come from only {plural(images.num_groups, 'group')} "
                "(videos, patients); images of one group are alike, so p and intervals may be too "
                "small"
            )
        notes.append(
            "paired by image, this speaks of these weights, not of training again; several seeds or "
            "a cross-validation of each would"
        )
    for contender in contenders:
        commits = {(run.trained["git"] or {}).get("commit") for run in contender.runs}
        if len(commits) > 1:
            notes.append(f"{contender.label}: trained with {len(commits)} versions of the code")
    return notes


def _compare(
    contenders: Sequence[Contender],
    setting: _Setting,
    split: str,
    notes: list[str],
    forced: Sequence[str],
) -> Comparison:
    reference = setting.reference
    rivals = [contender for contender in contenders if contender is not reference]
    found = {one.label: setting.design.difference(one, reference) for one in rivals}
    corrected = holm([found[one.label].p for one in rivals], setting.comparisons)
    adjusted = {one.label: float(p) for one, p in zip(rivals, corrected, strict=True)}
    rows = [
        _row(one, setting, found.get(one.label), adjusted.get(one.label, NAN)) for one in contenders
    ]
    table = pd.DataFrame(rows).sort_values(
        setting.metric.name, ascending=False, kind="stable", ignore_index=True
    )
    alone = ", each for its difference alone" if setting.comparisons > 1 else ""
    lines = [
        f"{split}/{setting.metric.name}, {setting.design.describe()}; intervals of "
        f"{100 * setting.level:g} %{alone}."
    ]
    if forced:
        lines += ["Compared by force, although", *(f"  - {reason}" for reason in forced)]
    order = {label: place for place, label in enumerate(table["run"])}
    for one in sorted(rivals, key=lambda rival: order[rival.label]):
        lines.append(_sentence(one, setting, found[one.label], adjusted[one.label]))
    lines += [f"Note: {note}." for note in notes]
    return Comparison(
        table,
        "\n".join(lines),
        setting.design.name,
        setting.metric.name,
        split,
        reference.label,
        setting.comparisons,
        tuple(notes),
        tuple(forced),
    )


def _row(
    contender: Contender, setting: _Setting, found: Estimate | None, p_holm: float
) -> dict[str, object]:
    score = setting.design.score(contender)
    images, reference = setting.images, setting.reference
    # Undefined of the reference itself.
    told = found or Estimate.untold(0.0, 0)
    row: dict[str, object] = {
        "run": contender.label,
        "model": contender.model,
        setting.metric.name: score.value,
        "low": score.low,
        "high": score.high,
        "diff": told.value,
        "diff_low": told.low,
        "diff_high": told.high,
        "p": told.p,
        "p_holm": p_holm,
        "verdict": REFERENCE if found is None else _verdict(found, p_holm, setting.level),
        "detectable": NAN if found is None else _detectable(found, setting),
        "p_images": NAN,
        "p_wilcoxon": NAN,
        "pooled": images.score(contender).value if images else NAN,
        "seeds": len(contender.runs),
    }
    if found is not None and images is not None:
        paired = found if images is setting.design else images.difference(contender, reference)
        row |= {"p_images": paired.p, "p_wilcoxon": images.wilcoxon(contender, reference)}
    costs = [score.name for score in shown_scores("cost")]
    row |= {name: contender.cost(name) for name in (*costs[:2], "hours", *costs[2:])}
    row["run_ids"] = [run.run_id for run in contender.runs]
    return row


def _verdict(found: Estimate, p_holm: float, level: float) -> str:
    # Rounding must not turn p = 0.05 at level 0.95 into a difference that was not told.
    if not p_holm <= 1.0 - level + 1e-12 or found.value == 0.0:
        return EVEN
    return BETTER if found.value > 0.0 else WORSE


def _detectable(found: Estimate, setting: _Setting) -> float:
    return minimum_detectable(
        found.standard_error,
        found.df,
        level=setting.level,
        power=_POWER,
        comparisons=setting.comparisons,
    )


def _sentence(one: Contender, setting: _Setting, found: Estimate, p_holm: float) -> str:
    """Return one comparison in words, the better one first."""
    reference = setting.reference
    if math.isnan(found.value):
        return f"{one.label} and {reference.label}: {setting.metric.name} is undefined for one"
    better, worse, low, high = one, reference, found.low, found.high
    if found.value < 0.0:
        better, worse, low, high = reference, one, -found.high, -found.low
    size = setting.design.size(one, reference)
    many = setting.comparisons > 1
    after = f" after Holm over {setting.comparisons} comparisons" if many else ""
    facts = f"{abs(found.value):.3f} [{low:.3f}, {high:.3f}], p {_p_text(p_holm)}{after}"
    if math.isnan(found.p):
        return (
            f"{better.label} scores {abs(found.value):.3f} more than {worse.label}, but {size} "
            "cannot say how sure that is"
        )
    if _verdict(found, p_holm, setting.level) != EVEN:
        return f"{better.label} is better than {worse.label} by {facts}"
    return (
        f"no difference between {better.label} and {worse.label} can be told: {facts}; with {size} "
        f"the smallest difference this could have seen is {_detectable(found, setting):.3f}"
    )


def _p_text(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"
