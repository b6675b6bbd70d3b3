"""What a study is asked to do, read from the `study` node of a configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from seglab.runs.studies.study import StudyObjective


@dataclass(frozen=True)
class StudyPlan:
    """What a study is asked to do.

    Attributes:
        name: Of the study; the same name in the same experiment resumes it.
        objectives: At least one; several make a Pareto front and exclude pruning.
        n_trials: The budget: trials that end finished, pruned or failed, never more.
        sampler: `_target_` and arguments of an Optuna sampler.
        pruner: `_target_` and arguments of an Optuna pruner; None never prunes.
        seed: Of the sampler; the same seed gives the same trials with one worker.
        storage: `journal:PATH` or a SQLAlchemy URL.
        space: Key or group -> values in Hydra's grammar, such as `tag(log, interval(1e-4, 1e-1))`.
        conditional: `_target_` of a function that adds to the space depending on what was chosen.
        enqueue: Settings to try first, key -> value.
        warm_start: Folders of studies whose trials the sampler learns from.
        retries: How often a trial whose process died is started again.
        grace_s: Seconds without a heartbeat after which a controller of another host counts as dead.
        fail_fast: Stop the study at the first failed trial.
        max_failure_rate: Give up when more than this share of at least five ended trials failed.
        trial_timeout_s: Seconds after which a trial is stopped and recorded as failed.
        timeout_s: Seconds after which no new trial is started.
        confirm: Seeds to train the winner anew with.
        test: Whether the winner is scored on the test split, once.
        may_repeat: Whether trials may have the same words, as jobs of a plain grid may.
    """

    name: str
    objectives: tuple[StudyObjective, ...]
    n_trials: int
    sampler: dict[str, Any]
    storage: str
    pruner: dict[str, Any] | None = None
    seed: int = 0
    space: dict[str, str] = field(default_factory=dict)
    conditional: dict[str, Any] | None = None
    enqueue: tuple[dict[str, Any], ...] = ()
    warm_start: tuple[str, ...] = ()
    retries: int = 1
    grace_s: float = 120.0
    fail_fast: bool = False
    max_failure_rate: float = 1.0
    trial_timeout_s: float | None = None
    timeout_s: float | None = None
    confirm: int = 0
    test: bool = True
    may_repeat: bool = False


@dataclass(frozen=True)
class Counts:
    """How many trials of a study's budget are in which state, whichever controller has them.

    Attributes:
        running: Those that run, and those that were left and wait to be resumed.
        finished: Those with a score.
        pruned: Those given up because others did better.
        failed: Those without a score.
        waiting: Those asked for that nobody has started.
        budget: How many there will be.
    """

    running: int
    finished: int
    pruned: int
    failed: int
    waiting: int
    budget: int
