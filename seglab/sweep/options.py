"""The keys under `study`: how a multirun is run, and for a search what is searched and how."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from seglab.core.options import Fraction, NotNegative, Options, Positive, PositiveFloat
from seglab.core.parts.components import component


class _Trials(Options):
    """What happens to trials that do not end well; holds for plain grids too."""

    retries: NotNegative = 1
    """How often a trial is started anew when its process died."""
    fail_fast: bool = False
    """Stop at the first failed trial."""
    max_failure_rate: Fraction = 0.5
    """Give up when more than this share failed (of five or more); 1 never does."""
    trial_timeout_s: PositiveFloat | None = None
    """A trial that takes longer is stopped and counts as failed; null: it may take any time."""


@component("study", "None")
class GridOptions(_Trials):
    """Nothing is searched: one training, or every combination of words with several values."""

    name: str | None = None
    """A search has one, a grid has none."""
    max_failure_rate: Fraction = 1.0
    """Give up when more than this share failed (of five or more); 1 never does."""


class ObjectiveOptions(Options):
    """One score to be optimised."""

    metric: str
    """Its key, such as `val/miou_present` or `cost/latency_ms`."""
    direction: Literal["maximize", "minimize"]
    """Which end of it is the best."""


@component("study", "default")
class StudyOptions(_Trials):
    """A search. What `Any` holds is checked in `seglab.config.rules.study_rules`."""

    name: str
    """Names the folder; the same name and the same words go on with the study."""
    objectives: list[ObjectiveOptions] | None = None
    """What is optimised; null: the monitored score."""
    n_trials: Positive | None = 20
    """Budget: finished, pruned and failed ones together; null, for a grid: all."""
    timeout_s: PositiveFloat | None = None
    """No new trial after so many seconds."""
    sampler: Any = None
    """Any of Optuna's or your own by `_target_`."""
    pruner: Any = None
    """Likewise; null never stops a trial early."""
    seed: NotNegative = 0
    """Of the sampler: with one worker the same seed gives the same trials."""
    storage: str | None = None
    """null: a file in the folder; or postgresql+psycopg://USER:PASSWORD@HOST/NAME."""
    space: Any = None
    """Key or group -> choice(..), range(..), interval(..), tag(log, ..), glob(*)."""
    conditional: Any = None
    """`{_target_: module.function}`, called with (trial, chosen): further settings."""
    enqueue: list[Any] = Field(default_factory=list)
    """Settings to try first, such as `[{optimizer.lr: 0.001}]`."""
    warm_start: list[str] = Field(default_factory=list)
    """Folders of former studies to learn from."""
    grace_s: PositiveFloat = 120.0
    """A controller on another machine is dead after so many seconds of silence."""
    confirm: NotNegative = 0
    """Train the winner anew with so many seeds: an interval beside the optimistic best."""
    test: bool = True
    """Score the winner on the test split, once; no trial ever is."""
