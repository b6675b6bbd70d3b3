"""Reads and writes the trials of a study, in an order of writes that a kill cannot spoil.

The ledger decides whose turn it is; here it is written down. A trial belongs to nobody until its
owner is written, is not started before its words are, and has ended only with its state, which is
written last because nothing can be written after it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, TrialState

from seglab.core.disk.files import hash_json
from seglab.core.errors import SeglabError
from seglab.core.trial import TrialEnd
from seglab.runs.studies.storage_place import StorageUnreachableError
from seglab.runs.studies.study import ATTEMPTS, EXHAUSTED, OWNER, RUN_DIR, WORDS, StudyFolder
from seglab.runs.studies.study_lock import study_lock
from seglab.runs.studies.study_storage import BudgetStudy, open_storage, written_together
from seglab.sweep.ask.draw import NothingNewError, draw, tried_settings, untried
from seglab.sweep.ask.plan import StudyPlan
from seglab.sweep.ask.prior_trials import Suggest
from seglab.sweep.ask.samplers import (
    build_pruner,
    build_sampler,
    grid_points,
    grid_size,
    study_with,
)
from seglab.sweep.ask.space import settings_in
from seglab.sweep.ledger.attempts import Attempt, begun
from seglab.sweep.ledger.begin_study import begin_study
from seglab.sweep.ledger.outcome import OF_OUTCOME, STATE_OF, Outcome, attributes

log = logging.getLogger(__name__)

_OPEN_TIMEOUT_S = 600.0


class TrialCreationError(SeglabError, RuntimeError):
    """The parameters of a trial could not be drawn, or not be turned into overrides."""


@dataclass(frozen=True)
class Claim:
    """A trial that this controller runs now.

    Attributes:
        number: Of the trial.
        trial: Optuna's view of it.
        words: Overrides that make it.
        run_dir: Folder of its run record.
        attempt: 1 for the first start; later its run may have got anywhere, or nowhere.
    """

    number: int
    trial: optuna.Trial
    words: list[str]
    run_dir: Path
    attempt: int


class Trials:
    """The trials of a study, the study being made if it is not there yet.

    Args:
        folder: Of the study; has `study.json` already.
        plan: What the study asks for.
        suggest: Turns a trial into the overrides that make it.

    Attributes:
        study: Optuna's study, for its attributes.
        study_id: Its name in the storage.
        storage_spec: Where it is kept.
    """

    def __init__(self, folder: StudyFolder, plan: StudyPlan, suggest: Suggest) -> None:
        self.study_id = folder.study_id
        self.storage_spec = plan.storage or folder.storage
        self._folder = folder
        self._plan = plan
        self._suggest = suggest
        self._pruner = build_pruner(plan)
        self._grid_size = grid_size(plan)
        self._settings = settings_in(plan)
        self._has_end = not plan.may_repeat
        self.storage = open_storage(self.storage_spec)
        with (
            study_lock(self.storage_spec, _OPEN_TIMEOUT_S, self.study_id),
            written_together(self.storage),
        ):
            self.study = begin_study(folder, plan, self.storage, suggest)
            self._look_for_more()

    def everything(self) -> list[FrozenTrial]:
        """Return all trials as they are now, in the order of their numbers."""
        return self.study.get_trials(deepcopy=False)

    def stored(self, number: int) -> FrozenTrial:
        """Return one trial as it is now."""
        return self.everything()[number]

    def may_start(self, trials: list[FrozenTrial]) -> bool:
        """Whether a waiting trial, or a new one, fits into the budget.

        Args:
            trials: Those of the budget, see `own_trials`.
        """
        waiting = sum(trial.state == TrialState.WAITING for trial in trials)
        if waiting:
            return len(trials) - waiting < self._plan.n_trials
        if len(trials) >= self._plan.n_trials or self._is_exhausted():
            return False
        return self._grid_size is None or grid_points(trials) < self._grid_size

    def budget(self, trials: list[FrozenTrial]) -> int:
        """Return how many trials there will be: those asked for, or fewer where settings run out.

        Args:
            trials: Those of the budget, see `own_trials`.
        """
        if self._is_exhausted():
            return min(self._plan.n_trials, len(trials))
        if self._settings is None:
            return self._plan.n_trials
        left = max(0, self._settings - len(tried_settings(trials)))
        return min(self._plan.n_trials, len(trials) + left)

    def _is_exhausted(self) -> bool:
        return bool(self.study.user_attrs.get(EXHAUSTED) == hash_json(self._plan.space))

    def start(self, everything: list[FrozenTrial]) -> optuna.Trial:
        """Return the first waiting trial, or a new one; its parameters are not drawn yet."""
        waiting = [trial.number for trial in everything if trial.state == TrialState.WAITING]
        return self._asking(min(waiting, default=len(everything))).ask()

    def again(self, stored: FrozenTrial) -> optuna.Trial:
        """Return a running trial as its new owner sees it."""
        key = self.storage.get_study_id_from_name(self.study_id)
        trial_id = self.storage.get_trial_id_from_study_id_trial_number(key, stored.number)
        return optuna.Trial(self._asking(stored.number), trial_id)

    def take(
        self, trial: optuna.Trial, controller: str, worker: str, attempts: list[Attempt], steps: int
    ) -> Claim:
        """Make a trial a controller's; one that was killed before it had words gets them now.

        Raises:
            TrialCreationError: The trial cannot be made; nothing is wrong with the storage.
        """
        trial.set_user_attr(OWNER, controller)
        if WORDS not in trial.user_attrs:
            trial, words = self._drawn(trial)
            run_dir = self._folder.run_dir(trial.number).relative_to(self._folder.path)
            trial.set_user_attr(RUN_DIR, str(run_dir))
            trial.set_user_attr(WORDS, words)
            self._look_for_more()
        attempts = begun(attempts, worker, controller, steps)
        trial.set_user_attr(ATTEMPTS, attempts)
        facts: Mapping[str, Any] = trial.user_attrs
        return Claim(
            trial.number,
            trial,
            list(facts[WORDS]),
            (self._folder.path / facts[RUN_DIR]).absolute(),
            attempt=len(attempts),
        )

    def give_back(self, trial: optuna.Trial, attempts: list[Attempt]) -> None:
        """Leave a trial to whoever claims it next."""
        trial.set_user_attr(ATTEMPTS, attempts)
        trial.set_user_attr(OWNER, None)

    def end(self, trial: optuna.Trial, outcome: Outcome, attempts: list[Attempt]) -> None:
        """Write all that is known of a trial, and at last its state.

        The attempts tell that the facts are complete: who finds them ended but the state not
        written has only that left to do.
        """
        facts = dict(attributes(outcome))
        # A controller that was killed here before may have left what no longer holds.
        stale = set(OF_OUTCOME) & set(trial.user_attrs) - set(facts)
        for name, fact in [*facts.items(), *((name, None) for name in sorted(stale))]:
            trial.set_user_attr(name, fact)
        trial.set_user_attr(ATTEMPTS, attempts)
        self.finish(trial, outcome)

    def finish(self, trial: optuna.Trial, outcome: Outcome) -> None:
        """Write the state of a trial whose other facts are written."""
        values = outcome.values if outcome.status == TrialEnd.FINISHED else None
        study = trial.study
        try:
            study.tell(trial, values, state=STATE_OF[outcome.status])
        except Exception:
            # Optuna writes the state, then lets go what its sampler stumbled over.
            if not self.stored(trial.number).state.is_finished():
                raise
            log.warning(
                "trial %d is recorded, but its sampler stumbled", trial.number, exc_info=True
            )
        if isinstance(study, BudgetStudy) and study.exhausted:
            self._set_exhausted()

    def _set_exhausted(self) -> None:
        self.study.set_user_attr(EXHAUSTED, hash_json(self._plan.space))

    def _look_for_more(self) -> None:
        """Write down that every setting was tried, where that is so."""
        if not self._has_end or self._is_exhausted():
            return
        try:
            left = untried(self._suggest, self.everything(), self._plan.seed)
        except ValueError:
            self._has_end = False
            return
        if left is None:
            self._set_exhausted()

    def _drawn(self, trial: optuna.Trial) -> tuple[optuna.Trial, list[str]]:
        """Return a trial with parameters, and its words."""
        try:
            return draw(trial, self._plan, self._suggest, self.everything())
        except (StorageInternalError, StorageUnreachableError):
            raise
        except NothingNewError as error:
            if not error.is_given:
                self._set_exhausted()
            raise TrialCreationError(str(error)) from error
        except Exception as error:
            # A function of the user, or a sampler that does not bear these very values.
            raise TrialCreationError(f"{type(error).__name__}: {error}") from error

    def _asking(self, number: int) -> BudgetStudy:
        sampler = build_sampler(self._plan, number)
        return study_with(self.storage, self.study_id, sampler, self._pruner)
