"""The keys under `study`: how a multirun is run, and for a search what is searched and how."""

from __future__ import annotations

from typing import Any, Literal

from seglab.core.options import Fraction, NotNegative, Options, Positive, PositiveFloat


class _Trials(Options):
    """What happens to trials that do not end well; holds for plain grids too."""

    retries: NotNegative
    fail_fast: bool
    max_failure_rate: Fraction
    trial_timeout_s: PositiveFloat | None


class NoStudy(_Trials):
    """Nothing is searched: one training, or every combination of words with several values."""

    name: str | None


class StudyObjective(Options):
    """One score to be optimised."""

    metric: str
    direction: Literal["maximize", "minimize"]


class Study(_Trials):
    """A search. What `Any` holds is checked in `seglab.config.study_rules`."""

    name: str
    objectives: list[StudyObjective] | None
    n_trials: Positive | None
    timeout_s: PositiveFloat | None
    sampler: Any
    pruner: Any
    seed: NotNegative
    storage: str | None
    space: Any
    conditional: Any
    enqueue: list[Any]
    warm_start: list[str]
    grace_s: PositiveFloat
    confirm: NotNegative
    test: bool


# A node with a sampler is a search; `default` names the choice that has the keys of one.
STUDIES: dict[str, type] = {"None": NoStudy, "default": Study}
