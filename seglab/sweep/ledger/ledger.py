"""Gives the trials of a study to controllers, and records how they end.

Trials change hands under one lock, so however many controllers serve a study, on one machine or
many, no trial is run twice and none beyond the budget. A trial whose controller dies stays in the
state RUNNING; the next controller takes it over under its number and resumes its run. Nothing a
controller knows is only in its memory: it may be killed between any two lines.
"""

from __future__ import annotations

import logging
import math
import time
import traceback
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from seglab.core.trial import FailureReason, TrialEnd
from seglab.runs.studies.study import ATTEMPTS, OWNER, StudyFolder
from seglab.runs.studies.study_lock import StudyBusyError, study_lock
from seglab.runs.studies.study_storage import own_trials, written_together
from seglab.sweep.ask.plan import Counts, StudyPlan
from seglab.sweep.ask.prior_trials import Suggest
from seglab.sweep.ledger.attempts import Attempt, ended, fault
from seglab.sweep.ledger.outcome import STATE_OF, Outcome, outcome_of, recordable
from seglab.sweep.ledger.ownership import Presence
from seglab.sweep.ledger.patience import patient
from seglab.sweep.ledger.trials import Claim, TrialCreationError, Trials

__all__ = ["Claim", "Ledger", "Outcome"]

log = logging.getLogger(__name__)

# When so many trials in a row cannot be created, none can.
MOST_FAILED_CREATIONS = 3
# How long a result waits for the lock before it gives up; a claim comes again instead.
_BUSY_PATIENCE_S = 600.0


class Ledger:
    """The trials of a study, for one controller.

    Args:
        folder: Of the study; has `study.json` already.
        plan: What the study asks for.
        controller: Id of this controller; no other ever has the same.
        suggest: Turns a trial into the overrides that make it, by asking it for parameters.

    Raises:
        ConfigError: Sampler, pruner, space, storage or the settings to try first are wrong.
        StorageUnreachableError: The server of the storage does not let us in.
        DataError: The journal is damaged, or the storage lost the study.
    """

    def __init__(
        self, folder: StudyFolder, plan: StudyPlan, controller: str, suggest: Suggest
    ) -> None:
        self.plan = plan
        self.controller = controller
        self._trials = Trials(folder, plan, suggest)
        self._presence = Presence(self._trials.study, controller, plan.grace_s)
        self._held: dict[int, Claim] = {}
        self._reported: dict[int, set[int]] = {}
        self._lost: set[int] = set()
        self._failed_creations = 0

    @property
    def patience_s(self) -> float:
        """How long to wait for a storage that does not answer; later others take the trials over."""
        return self.plan.grace_s

    @patient
    def claim(self, worker: str) -> Claim | None:
        """Take a trial: an abandoned one, else a waiting one, else a new one within the budget.

        Args:
            worker: Name of the slot that will run it.

        Returns:
            The trial; None where there is nothing to do, or another controller is at it just now.

        Raises:
            TrialCreationError: Several trials in a row could not be made from what the sampler drew.
        """
        try:
            with self._alone(patience_s=0.0):
                return self._claim(worker)
        except StudyBusyError as error:
            log.debug("%s", error)
            return None

    @patient
    def is_open(self) -> bool:
        """Whether anything may still be to do, now or when another controller dies."""
        trials = own_trials(self._trials.everything())
        running = {trial.number for trial in trials if trial.state == TrialState.RUNNING}
        return bool(running - self._held.keys()) or self._trials.may_start(trials)

    @patient
    def counts(self) -> Counts:
        """Return how many trials of the budget are in which state."""
        trials = own_trials(self._trials.everything())
        states = Counter(trial.state for trial in trials)
        return Counts(
            states[TrialState.RUNNING],
            states[TrialState.COMPLETE],
            states[TrialState.PRUNED],
            states[TrialState.FAIL],
            states[TrialState.WAITING],
            self._trials.budget(trials),
        )

    @patient
    def report(self, claim: Claim, value: float, step: int) -> bool:
        """Keep a score, and say whether the trial should be given up.

        Args:
            claim: The trial.
            value: NaN and infinity are not kept.
            step: One that was reported before keeps its first score.

        Returns:
            What the pruner says; True also where another controller has taken the trial over.
        """
        self.beat()
        if claim.number in self._lost:
            return True
        if len(self.plan.objectives) > 1 or not math.isfinite(value):
            return False
        try:
            if step not in self._reported[claim.number]:
                claim.trial.report(value, step)
                self._reported[claim.number].add(step)
        except UpdateFinishedTrialError:
            return True
        return bool(claim.trial.should_prune())

    @patient
    def tell(self, claim: Claim, outcome: Outcome) -> Outcome:
        """Record how a trial ended.

        Args:
            claim: The trial.
            outcome: Its end; values that are no finite numbers, or too few, make it a failure.

        Returns:
            The outcome as recorded. Where the trial is no longer this controller's, nothing is
            recorded, and the answer is how it ended elsewhere, or `ABANDONED` where it has not.
        """
        outcome = recordable(outcome, self.plan.objectives)
        with self._alone():
            stored = self._trials.stored(claim.number)
            attempts = self._ours(claim, stored)
            if attempts is None:
                return outcome_of(stored)
            self._end(claim, outcome, ended(attempts, outcome.status))
            return outcome

    @patient
    def retry(self, claim: Claim, reason: str) -> bool:
        """Record that the process of a trial died, though this controller lives.

        Args:
            claim: The trial.
            reason: What was seen of its death, in one line.

        Returns:
            Whether it will be tried again: it can be claimed anew. Else it is recorded as failed.
        """
        with self._alone():
            attempts = self._ours(claim, self._trials.stored(claim.number))
            if attempts is None:
                return True
            attempts = ended(attempts, TrialEnd.DIED, error=reason)
            problem = fault(attempts, len(self._reported[claim.number]), self.plan.retries)
            if problem is None:
                self._give_back(claim, attempts)
            else:
                self._end(claim, _killed(problem), attempts)
            return problem is None

    @patient
    def release(self, claim: Claim) -> None:
        """Give a trial back because this controller stops; the next one resumes it."""
        with self._alone():
            attempts = self._ours(claim, self._trials.stored(claim.number))
            if attempts is not None:
                self._give_back(claim, ended(attempts, TrialEnd.RELEASED))

    @patient
    def beat(self) -> None:
        """Say that this controller is alive, if it is time to; also notices trials it lost."""
        if self._presence.beat() and self._held:
            everything = self._trials.everything()
            for claim in [*self._held.values()]:
                if self._ours(claim, everything[claim.number]) is None:
                    self._lost.add(claim.number)

    def close(self) -> None:
        """Give back all trials, and say that this controller is gone, though its process may stay."""
        for claim in [*self._held.values()]:
            self.release(claim)
        self._presence.leave()

    @contextmanager
    def _alone(self, patience_s: float = _BUSY_PATIENCE_S) -> Iterator[None]:
        """Hold the study's lock, and keep beating while waiting for it."""
        trials, at_once = self._trials, self.plan.grace_s / 4
        end = time.monotonic() + patience_s
        with ExitStack() as stack:
            while True:
                self._presence.beat()
                try:
                    stack.enter_context(study_lock(trials.storage_spec, at_once, trials.study_id))
                    break
                except StudyBusyError:
                    if time.monotonic() >= end:
                        raise
            with written_together(trials.storage):
                yield
                # A sampler may take long; others see the beat before they can take anything.
                self._presence.beat()

    def _claim(self, worker: str) -> Claim | None:
        self._presence.register()
        everything = self._trials.everything()
        controllers = self._presence.others()
        for stored in own_trials(everything):
            if stored.state != TrialState.RUNNING or stored.number in self._held:
                continue
            owner = stored.user_attrs.get(OWNER)
            if owner == self.controller or not controllers.is_alive(owner):
                claim = self._adopt(stored, worker, controllers.last_sign(owner))
                if claim is not None:
                    return claim
        if not self._trials.may_start(own_trials(everything)):
            return None
        return self._take(self._trials.start(everything), worker, [], {})

    def _adopt(self, stored: FrozenTrial, worker: str, last_sign: float | None) -> Claim | None:
        """Take over a trial; None if it is ended instead."""
        steps = len(stored.intermediate_values)
        before = stored.user_attrs.get(ATTEMPTS, [])
        attempts = ended(before, TrialEnd.ABANDONED, when=last_sign)
        trial = self._trials.again(stored)
        ending = attempts[-1]["ending"] if attempts else None
        if ending in STATE_OF:
            self._trials.finish(trial, outcome_of(stored, TrialEnd(ending)))
            return None
        problem = fault(attempts, steps, self.plan.retries)
        if problem:
            log.warning("trial %d is given up: %s", stored.number, problem)
            self._trials.end(trial, _killed(problem), attempts)
            return None
        return self._take(trial, worker, attempts, stored.intermediate_values)

    def _take(
        self, trial: optuna.Trial, worker: str, attempts: list[Attempt], reported: Collection[int]
    ) -> Claim | None:
        """Make a trial ours; one that cannot be created is recorded as failed."""
        try:
            claim = self._trials.take(trial, self.controller, worker, attempts, len(reported))
        except TrialCreationError as error:
            log.warning("trial %d cannot be made: %s", trial.number, error, exc_info=True)
            text = "".join(traceback.format_exception(error))
            failed = Outcome(TrialEnd.FAILED, None, FailureReason.EXCEPTION, str(error), text)
            self._trials.end(trial, recordable(failed, self.plan.objectives), attempts)
            self._failed_creations += 1
            if self._failed_creations >= MOST_FAILED_CREATIONS:
                raise
            return None
        self._failed_creations = 0
        self._held[claim.number] = claim
        self._reported[claim.number] = set(reported)
        self._lost.discard(claim.number)
        return claim

    def _ours(self, claim: Claim, stored: FrozenTrial) -> list[Attempt] | None:
        """Return a trial's attempts if this controller still has it; else forget it."""
        owner, attempts = stored.user_attrs.get(OWNER), stored.user_attrs.get(ATTEMPTS, [])
        taken = owner != self.controller or len(attempts) != claim.attempt
        if stored.state == TrialState.RUNNING and not taken:
            return list(attempts)
        if self._held.get(claim.number) is not claim or not taken:
            log.info("trial %d has ended already; this end of it is ignored", claim.number)
        else:
            log.warning(
                "trial %d was taken over by another controller, because this one had not been heard "
                "of for %g s; what comes of it here is ignored",
                claim.number,
                self.plan.grace_s,
            )
        if self._held.get(claim.number) is claim:
            del self._held[claim.number]
        return None

    def _give_back(self, claim: Claim, attempts: list[Attempt]) -> None:
        self._trials.give_back(claim.trial, attempts)
        self._held.pop(claim.number, None)

    def _end(self, claim: Claim, outcome: Outcome, attempts: list[Attempt]) -> None:
        self._trials.end(claim.trial, outcome, attempts)
        self._held.pop(claim.number, None)


def _killed(error: str) -> Outcome:
    return Outcome(TrialEnd.FAILED, reason=FailureReason.KILLED, error=error)
