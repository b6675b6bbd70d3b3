"""What may be claimed of a study's winner: trained anew with other seeds, and scored on test once.

The best of many trials on validation data is optimistic: part of its lead is luck that the choice
selected for. So the winner is trained again with seeds that chose nothing, their mean and interval
are reported beside the optimistic best, and the test split, which no trial ever saw, is scored then and
only then. `protocol.json` remembers that it was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seglab.config.rules.scores import limits_of, reported_test_score
from seglab.core.disk.files import write_json
from seglab.core.disk.provenance import utc_now
from seglab.core.sample_size import TOO_FEW_REPEATS
from seglab.runs import RunRecord
from seglab.runs.locate import RECORD_FILE
from seglab.runs.studies.study import StudyFolder

LEVEL = 0.95


def confirm_dirs(folder: StudyFolder, winner: int, first_seed: int, count: int) -> dict[int, Path]:
    """Return seed -> run folder of the trainings that confirm a winner.

    Args:
        folder: Of the study.
        winner: Number of the winning trial; another winner has trainings of its own.
        first_seed: Seed of the study's trials; the trainings take the seeds after it.
        count: How many.
    """
    study_id = folder.read()["study_id"]
    seeds = range(first_seed + 1, first_seed + 1 + count)
    return {
        seed: folder.path / "confirm" / f"{study_id}-t{winner:04d}-seed{seed}" for seed in seeds
    }


def finished_metrics(run_dir: Path) -> dict[str, float] | None:
    """Return the scores of a finished run; None where there is none."""
    if not (run_dir / RECORD_FILE).is_file():
        return None
    record = RunRecord.open(run_dir)
    return dict(record.metrics) if record.status == "finished" else None


def mean_interval(values: Sequence[float], metric: str) -> tuple[float, float, float]:
    """Return mean and 95 % interval of the scores of independent trainings.

    Args:
        values: NaN counts as a training without a score.
        metric: Key of the score, such as `val/miou`; the interval does not leave its values.

    Returns:
        Mean, lower and upper bound; the bounds are NaN for fewer than `MIN_REPEATS` scores.
    """
    # Imports SciPy: half a second that the start of a study need not wait.
    from seglab.analysis.statistics.repeats import mean_interval as interval_over_repeats

    one = interval_over_repeats(values, LEVEL, limits_of(metric))
    return one.value, one.low, one.high


def has_test(run_dir: Path) -> bool:
    """Whether the data of a training has a test split that its weights could be scored on."""
    from seglab.experiment.prepare.splits import (
        has_split,  # needs pandas, the start of a study does not
    )

    if RunRecord.open(run_dir).read()["kind"] == "cv":
        return False
    return has_split(run_dir, "test")


def write_protocol(
    folder: StudyFolder,
    metric: str,
    winner: dict[str, Any],
    runs: dict[int, Path],
    tested: dict[str, float] | None,
) -> dict[str, Any]:
    """Write what was chosen, from how many, and what came of it when trained anew.

    Args:
        folder: Of the study.
        metric: What the study optimised.
        winner: Facts of the choice: winner, best_value, trials_considered and more.
        runs: Seed -> run folder of the confirming trainings that finished.
        tested: Scores of the winner's own weights on test, where no training confirmed it.

    What an earlier end of the study wrote is not forgotten: when test was first touched, and for which
    winners.

    Returns:
        The content of `protocol.json`.
    """
    confirm = [_confirmed(folder, metric, seed, run_dir) for seed, run_dir in runs.items()]
    mean, low, high = mean_interval([one["value"] for one in confirm], metric)
    test_metric = reported_test_score(metric)
    values = [one["test"][test_metric] for one in confirm if test_metric in one["test"]]
    if tested is not None:
        values = [tested[test_metric]]
    bounds = dict(zip(("mean", "low", "high"), mean_interval(values, test_metric), strict=True))
    before = folder.read_protocol() or {}
    touched_for = before.get("touched_for", [])
    if values and winner["winner"] not in touched_for:
        touched_for = [*touched_for, winner["winner"]]
    content = {
        **winner,
        "metric": metric,
        "confirm": confirm,
        "confirm_mean": mean,
        "confirm_low": low,
        "confirm_high": high,
        "test_metric": test_metric,
        "test": bounds if values else None,
        "test_touched": before.get("test_touched") or (utc_now() if values else None),
        "touched_for": touched_for,
        "written": utc_now(),
    }
    write_json(folder.protocol_path, content)
    return content


def _confirmed(folder: StudyFolder, metric: str, seed: int, run_dir: Path) -> dict[str, Any]:
    scores = finished_metrics(run_dir) or {}
    return {
        "seed": seed,
        "run_dir": str(run_dir.relative_to(folder.path)),
        "value": scores.get(metric, math.nan),
        "test": {key: value for key, value in scores.items() if key.startswith("test/")},
    }


def sentence(content: dict[str, Any]) -> str:
    """Return what may be claimed of the winner, in a sentence or two."""
    of = content.get("best_of", 1)
    mean = f" (mean of {of} seeds)" if of > 1 else ""
    message = (
        f"{content['metric']} {content['best_value']:.4f}{mean} of trial {content['winner']} is the best of "
        f"{content['trials_considered']} trials, so it is optimistic"
    )
    count = len(content["confirm"])
    if count:
        bounds = _bounds(content["confirm_low"], content["confirm_high"])
        message += f"; trained anew with {count} seeds {content['confirm_mean']:.4f}{bounds}"
    if content["test"]:
        bounds = _bounds(content["test"]["low"], content["test"]["high"])
        mean = content["test"]["mean"]
        value = "is undefined" if math.isnan(mean) else f"{mean:.4f}{bounds}"
        message += f"; {content['test_metric']} {value}, "
        others = [str(one) for one in content["touched_for"] if one != content["winner"]]
        message += (
            f"but test was scored for trial {', '.join(others)} too, when the study was smaller"
            if others
            else "touched this once"
        )
    return message


def _bounds(low: float, high: float) -> str:
    return f" ({TOO_FEW_REPEATS})" if math.isnan(low) else f" [{low:.4f}, {high:.4f}]"
