"""Shows what workers elsewhere do, from what they write into the study's storage."""

from __future__ import annotations

import optuna
from optuna.trial import FrozenTrial, TrialState

from seglab.runs.studies.study import ATTEMPTS, ERROR, REASON, WORDS, StudyFolder
from seglab.runs.studies.study_storage import open_study, own_trials
from seglab.sweep.ledger.outcome import END_OF
from seglab.sweep.watch.study_watch import StudyWatch
from seglab.sweep.workers.sweep import Sweep


class Follower:
    """Shows trials that start, report and end on other machines.

    Args:
        sweep: The study.
        watch: For people.
    """

    def __init__(self, sweep: Sweep, watch: StudyWatch) -> None:
        self.sweep = sweep
        self.watch = watch
        self._ledger = sweep.open_ledger()
        self._study: optuna.Study | None = None
        self._seen: dict[int, tuple[str, int]] = {}
        self._ended: set[int] = set()

    def look(self) -> bool:
        """Show what is new since the last look; return whether anything is."""
        if self._study is None:
            self._study = open_study(StudyFolder(self.sweep.folder), self.sweep.plan.storage)
        news = False
        for trial in own_trials(self._study.get_trials(deepcopy=False)):
            if trial.number not in self._ended:
                news |= self._show(trial)
        if news:
            self.watch.counts(self._ledger.counts())
        return news

    def is_done(self) -> bool:
        """Whether the budget is used up and every trial has ended."""
        return not self._ledger.is_open()

    def _show(self, trial: FrozenTrial) -> bool:
        attempts = trial.user_attrs.get(ATTEMPTS, [])
        known, steps = self._seen.get(trial.number, ("", -1))
        stage = f"{trial.state.name}-{len(attempts)}"
        if trial.state == TrialState.RUNNING and attempts and stage != known:
            where = f"{attempts[-1]['host']} {attempts[-1]['worker']}"
            words = trial.user_attrs.get(WORDS, [])
            self.watch.started(trial.number, where, words, len(attempts))
        newest = max(trial.intermediate_values, default=-1)
        if newest > steps:
            self.watch.reported(trial.number, newest, trial.intermediate_values[newest])
        if trial.state in END_OF:
            self._ended.add(trial.number)
            values = trial.values if trial.state == TrialState.COMPLETE else None
            facts = trial.user_attrs
            self.watch.ended(
                trial.number, END_OF[trial.state], values, facts.get(REASON), facts.get(ERROR)
            )
        self._seen[trial.number] = (stage, newest)
        return stage != known or newest > steps
