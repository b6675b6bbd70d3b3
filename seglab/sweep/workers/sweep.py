"""A sweep as it is sent to its workers: what is tried, where it is kept, how a trial is run."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna

from seglab.config.language.grammar import literal_word
from seglab.runs.studies.study import StudyFolder
from seglab.sweep.ask.objective import objective_values
from seglab.sweep.ask.plan import StudyPlan
from seglab.sweep.ask.space import parse_space, suggest
from seglab.sweep.ledger.ledger import Claim, Ledger
from seglab.sweep.workers.application import HydraApplication, Job

# The parameter of a plain grid: which of its jobs a trial is.
JOB = "job"


@dataclass
class Sweep:
    """A study, or a plain grid; can be pickled and sent to workers on other machines.

    Args:
        application: What a trial runs.
        plan: What the study asks for.
        folder: Of the study, on a file system that all workers share.
        words: Overrides that all trials have.
        jobs: Overrides of each job of a plain grid; empty for a study.
        replaced: Overrides of how a trial uses the device it is given.
    """

    application: HydraApplication
    plan: StudyPlan
    folder: Path
    words: list[str]
    jobs: list[list[str]] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)

    @property
    def is_study(self) -> bool:
        """Whether something is optimised, rather than a list of jobs worked through."""
        return not self.jobs

    def open_ledger(self) -> Ledger:
        """Return the ledger for a controller in this process."""
        controller = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        return Ledger(StudyFolder(self.folder), self.plan, controller, self.suggest)

    def suggest(self, trial: optuna.Trial) -> list[str]:
        """Return the overrides of a trial."""
        if self.jobs:
            return self.jobs[trial.suggest_int(JOB, 0, len(self.jobs) - 1)]
        return suggest(trial, parse_space(self.plan.space), self.plan.conditional)

    def values(self, result: Any) -> list[float]:
        """Return the values of the objectives from what a job returned; a grid only counts its jobs.

        Raises:
            TrainingError: They are not among it.
        """
        return objective_values(result, self.plan.objectives) if self.is_study else [1.0]

    def work(self, claim: Claim) -> Job:
        """Return what a trial's process does.

        Raises:
            HydraException: The trial's words do not compose.
        """
        where = claim.run_dir
        if self.is_study:
            own = places(where)
        else:
            # The runs of a grid lie where its configurations say; the name must last through retries.
            own = [] if _says_where(claim.words) else places(where)[1:]
        of_trial = [*claim.words, *self.replaced, *own]
        config = self.application.compose(self.words, of_trial, claim.number)
        return self.application.job(config, is_trial=self.is_study)


def places(run_dir: Path) -> list[str]:
    """Return the overrides that put a job's files into a folder."""
    return [
        literal_word("hydra.sweep.dir", run_dir.parent),
        literal_word("hydra.sweep.subdir", run_dir.name),
    ]


def _says_where(words: Sequence[str]) -> bool:
    return any(word.startswith("hydra.sweep.subdir=") for word in words)
