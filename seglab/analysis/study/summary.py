"""What came out of a study: counts, the best, the Pareto front, hours of work and what pruning saved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from seglab.analysis.study.attempts import LOST
from seglab.analysis.study.idle import IdleShare, idle_share
from seglab.analysis.study.load import StudyView

# Of how many finished trials a score is the mean.
REPEATS = "repeats"


@dataclass(frozen=True)
class StudySummary:
    """A study in numbers; NaN where there is nothing to count.

    Attributes:
        counts: Trials of the budget by state, in the order finished, pruned, failed, running,
            waiting; states without a trial are left out.
        budget: Trials asked for; None where unknown.
        warm: Trials of other studies the sampler was told of.
        best: Number of the best trial; None without a finished one, or with several objectives.
        best_value: Its value; the mean where other trials repeat its setting with other seeds.
        best_of: How many trials that is the mean of.
        best_after: How many trials had been started when it was, itself included.
        best_at_h: Hours from the study's first start to the end of the best trial.
        front: Numbers of the trials on the Pareto front; with one objective the best alone.
        compute_h: Hours of work of all workers together.
        wall_h: Hours from the first start to the last end.
        pruned_share: Of the trials that ended, how many were pruned.
        saved_h: Estimated hours that pruning saved; see `time_saved`.
        retried: Starts of trials that were lost with their process and repeated.
        workers: How many worked.
        idle: Their idle share.
    """

    counts: dict[str, int]
    budget: int | None
    warm: int
    best: int | None
    best_value: float
    best_of: int
    best_after: int | None
    best_at_h: float
    front: tuple[int, ...]
    compute_h: float
    wall_h: float
    pruned_share: float
    saved_h: float
    retried: int
    workers: int
    idle: IdleShare

    @property
    def ended(self) -> int:
        """Trials that are over, however they ended."""
        return sum(self.counts.get(state, 0) for state in ("finished", "pruned", "failed"))


_STATE_ORDER = ("finished", "pruned", "failed", "running", "waiting")


def study_summary(view: StudyView) -> StudySummary:
    """Return a study in numbers."""
    trials, attempts = view.trials, view.attempts
    counts = {state: int((trials["state"] == state).sum()) for state in _STATE_ORDER}
    ended = counts["finished"] + counts["pruned"] + counts["failed"]
    best = best_trials(view, 1) if len(view.objectives) == 1 else trials.iloc[:0]
    start = attempts["started"].min() if len(attempts) else math.nan
    row = best.iloc[0] if len(best) else None
    own = attempts[attempts["number"].isin(trials["number"])]
    return StudySummary(
        counts={state: number for state, number in counts.items() if number},
        budget=view.budget,
        warm=view.warm,
        best=None if row is None else int(row["number"]),
        best_value=math.nan if row is None else float(row[view.objectives[0].metric]),
        best_of=0 if row is None else int(row[REPEATS]),
        best_after=None if row is None else int((trials["number"] <= row["number"]).sum()),
        best_at_h=math.nan if row is None else _hours_since(start, row["ended"]),
        front=tuple(int(number) for number in pareto_trials(view)["number"]),
        compute_h=float((own["ended"] - own["started"]).sum() / 3600),
        wall_h=float((own["ended"].max() - start) / 3600) if len(own) else math.nan,
        pruned_share=counts["pruned"] / ended if ended else math.nan,
        saved_h=time_saved(view) / 3600,
        retried=int((own["outcome"] == LOST).sum()),
        workers=int(own["lane"].nunique()),
        idle=idle_share(own, view.budget, view.alive),
    )


def _hours_since(start: float, moment: pd.Timestamp) -> float:
    return math.nan if pd.isna(moment) else float((moment.timestamp() - start) / 3600)


def best_trials(view: StudyView, count: int = 10, objective: int = 0) -> pd.DataFrame:
    """Return the best settings by one objective, the best first; of equal ones the earlier.

    Args:
        view: From `read_study`.
        count: At most so many.
        objective: Which one, where there are several.

    Returns:
        As `by_setting`.
    """
    goal = view.objectives[objective]
    rows = by_setting(view, view.finished(objective))
    order = np.argsort(-goal.sign * rows[goal.metric].to_numpy(float), kind="stable")
    return rows.iloc[order[:count]].reset_index(drop=True)


def by_setting(view: StudyView, rows: pd.DataFrame) -> pd.DataFrame:
    """Return finished trials, those that differ by seed alone as one: a lucky seed is not the best.

    Args:
        view: From `read_study`.
        rows: Of its trials.

    Returns:
        The first trial of each setting by number, with the means of the objectives, and `repeats`.
    """
    rows = rows.sort_values("number")
    setting = rows["repeat_of"].fillna(rows["number"])
    metrics = [goal.metric for goal in view.objectives]
    means = rows.groupby(setting)[metrics].transform("mean")
    counts = rows.groupby(setting)["number"].transform("size")
    return rows.assign(**means, **{REPEATS: counts})[~setting.duplicated()]


def pareto_trials(view: StudyView) -> pd.DataFrame:
    """Return the settings that no other beats in all objectives; with one objective the best.

    As `by_setting`.
    """
    rows = by_setting(view, view.finished())
    metrics = [goal.metric for goal in view.objectives]
    rows = rows[rows[metrics].notna().all(axis=1)]
    if len(metrics) == 1:
        return best_trials(view, 1)
    return rows[
        pareto_front(rows[metrics].to_numpy(float), [goal.maximises for goal in view.objectives])
    ]


def pareto_front(values: npt.ArrayLike, maximise: Sequence[bool]) -> npt.NDArray[np.bool_]:
    """Tell which points no other point dominates.

    A point dominates another when it is at least as good in all objectives and better in one. Equal
    points do not dominate each other.

    Args:
        values: `(N, K)`: N points, K objectives.
        maximise: For each objective whether more is better.

    Returns:
        N truths. A point with NaN is on no front and dominates none.

    >>> pareto_front([[1, 1], [2, 2], [3, 0]], [True, True]).tolist()
    [False, True, True]
    """
    points = np.asarray(values, dtype=np.float64)
    points = points.reshape(len(points), len(maximise)) * np.where(maximise, 1.0, -1.0)
    front = np.asarray(~np.isnan(points).any(axis=1))
    for place in np.flatnonzero(front):
        at_least = (points >= points[place]).all(axis=1)
        better = (points > points[place]).any(axis=1)
        front[place] = not (at_least & better).any()
    return front


def time_saved(view: StudyView) -> float:
    """Estimate the seconds of work that pruning saved.

    Had a pruned trial gone on, it would have taken as many steps (epochs or folds) as the median
    finished one, at its own pace. Where steps were not reported, the median time of finished trials
    stands in. 0 without pruned trials, NaN without finished ones to compare with.
    """
    trials = view.trials
    pruned, finished = trials[trials["state"] == "pruned"], trials[trials["state"] == "finished"]
    if pruned.empty:
        return 0.0
    if finished.empty:
        return math.nan
    steps, full = pruned["last_step"] + 1, (finished["last_step"] + 1).median()
    by_pace = pruned["duration_s"] * (full / steps - 1)
    saved = by_pace.fillna(finished["duration_s"].median() - pruned["duration_s"])
    return float(saved.clip(lower=0.0).sum())
