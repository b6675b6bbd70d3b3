"""Takes trials from the ledger, runs them in the pool, and records in the ledger how they end.

Several controllers may serve one study, on one machine or many; they meet only in the ledger.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from seglab.core.errors import SeglabError, TrainingError
from seglab.core.trial import FailureReason, TrialEnd
from seglab.engine.device.slots import Slot
from seglab.engine.process.events import Ended, Ending, Progress, Report
from seglab.engine.process.pool import Pool
from seglab.runs import RunRecord
from seglab.runs.locate import RECORD_FILE
from seglab.sweep.ask.plan import StudyPlan
from seglab.sweep.ledger.ledger import Claim, Ledger, Outcome
from seglab.sweep.watch.study_watch import StudyWatch

log = logging.getLogger(__name__)

# How long to wait for something to happen before looking for abandoned trials again.
_EVENT_WAIT_S = 0.5
_LOOK_AGAIN_S = 2.0
_FEWEST_FOR_A_RATE = 5

# Makes the work of a claim; raises where its configuration does not compose.
WorkOf = Callable[[Claim], Any]


class StudyGivenUpError(SeglabError, RuntimeError):
    """The study stopped early because too many trials failed; what ended is kept."""


@dataclass
class Controller:
    """Runs the trials of one study on the workers of this machine.

    Args:
        plan: What the study asks for.
        ledger: Which trials there are and whose they are.
        pool: Processes and slots.
        work_of: Turns a claim into the work of a process.
        values_of: Takes the values of the objectives from what a job returned.
        watch: Shows everything to people.
        stays: Whether to wait for trials of other controllers, which may be abandoned yet.
    """

    plan: StudyPlan
    ledger: Ledger
    pool: Pool
    work_of: WorkOf
    values_of: Callable[[Any], list[float]]
    watch: StudyWatch
    stays: bool = True
    _running: dict[int, tuple[Claim, Slot]] = field(default_factory=dict)
    _look_at: float = 0.0
    _stops: str | None = None

    def run_trials(self) -> None:
        """Run trials until the budget is used up and every trial has ended.

        Raises:
            StudyGivenUpError: `fail_fast` or `max_failure_rate` ended the study.
            KeyboardInterrupt: As asked for; trainings were saved and their trials released.
        """
        end = time.monotonic() + (self.plan.timeout_s or float("inf"))
        with self._released():
            while self._stops is None:
                in_time = time.monotonic() < end
                if in_time:
                    self._fill()
                if not self._running and not (in_time and self._may_come()):
                    break
                self._handle(self.pool.events(_EVENT_WAIT_S))
                self.ledger.beat()
        if self._stops is not None:
            raise StudyGivenUpError(self._stops)

    @contextmanager
    def _released(self) -> Iterator[None]:
        """Stop the processes and give their trials back, whatever ends the body."""
        try:
            yield
        finally:
            # What ended by itself in the meantime counts as such.
            for ended in self.pool.stop():
                claim, slot = self._running.pop(ended.number)
                if ended.ending.status in (TrialEnd.FINISHED, TrialEnd.PRUNED):
                    self._record(claim, slot, self._outcome(ended.ending))
                else:
                    self.ledger.release(claim)
                    self.watch.ended(claim.number, TrialEnd.RELEASED)
            for claim, _ in self._running.values():
                self.ledger.release(claim)
            self._running.clear()

    def _may_come(self) -> bool:
        return self.stays and self.ledger.is_open()

    def _fill(self) -> None:
        """Give each free slot a trial; with nothing to claim, look again a little later."""
        while self.pool.free and time.monotonic() >= self._look_at and self._stops is None:
            slot = self.pool.free[0]
            claim = self.ledger.claim(slot.name)
            if claim is None:
                self._look_at = time.monotonic() + _LOOK_AGAIN_S
                return
            self._start(claim, slot)

    def _start(self, claim: Claim, slot: Slot) -> None:
        self.watch.started(claim.number, slot.name, claim.words, claim.attempt)
        try:
            work = self.work_of(claim)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this trial's own failure
            failed = _failed(error)
            _write_log(claim.run_dir, failed.traceback or "")
            self._record(claim, slot, failed)
            return
        self._running[claim.number] = (claim, slot)
        timeout_s = self.plan.trial_timeout_s
        self.pool.start(claim.number, work, slot, log_of(claim.run_dir), timeout_s)
        self.watch.counts(self.ledger.counts())

    def _handle(self, events: list[Any]) -> None:
        for event in events:
            match event:
                case Report(number, step, value):
                    claim, _ = self._running[number]
                    self.pool.answer(number, self.ledger.report(claim, value, step))
                    self.watch.reported(number, step, value)
                case Progress(number, facts):
                    self.watch.progress(number, facts)
                case Ended(number, ending):
                    self._look_at = 0.0
                    self._end(*self._running.pop(number), ending)

    def _end(self, claim: Claim, slot: Slot, ending: Ending) -> None:
        """Write down how a process ended."""
        lost = ending.status == TrialEnd.DIED or ending.reason == FailureReason.INTERRUPTED
        if lost and self.ledger.retry(claim, ending.error):
            self.watch.ended(claim.number, TrialEnd.DIED, None, FailureReason.KILLED, ending.error)
            return
        outcome = self._outcome(ending)
        if ending.status == TrialEnd.DIED or ending.reason == FailureReason.TIMEOUT:
            # The process could not close its record itself.
            _mark_failed(claim.run_dir, ending.error)
        self._record(claim, slot, outcome)

    def _outcome(self, ending: Ending) -> Outcome:
        status = TrialEnd.FAILED if ending.status == TrialEnd.DIED else ending.status
        values = None
        if status == TrialEnd.FINISHED:
            try:
                values = self.values_of(ending.result)
            except TrainingError as error:
                return _failed(error)
        return Outcome(
            status, values, ending.reason, ending.error, ending.traceback, ending.first_step_s
        )

    def _record(self, claim: Claim, slot: Slot, outcome: Outcome) -> None:
        recorded = self.ledger.tell(claim, outcome)
        self.watch.ended(
            claim.number, recorded.status, recorded.values, recorded.reason, recorded.error
        )
        counts = self.ledger.counts()
        self.watch.counts(counts)
        if recorded.status != TrialEnd.FAILED:
            return
        ended = counts.finished + counts.pruned + counts.failed
        if self.plan.fail_fast:
            self._stops = (
                f"trial {claim.number} failed ({recorded.error}), and study.fail_fast is set"
            )
        elif ended >= _FEWEST_FOR_A_RATE and counts.failed / ended > self.plan.max_failure_rate:
            self._stops = (
                f"{counts.failed} of {ended} trials failed, more than study.max_failure_rate="
                f"{self.plan.max_failure_rate:g}; the last one: {recorded.error}"
            )


def log_of(run_dir: Path) -> Path:
    """Return the file that gets what the process of a trial prints."""
    return run_dir.with_name(f"{run_dir.name}.log")


def _write_log(run_dir: Path, text: str) -> None:
    """Write the log of a trial that never got a process: messages name this file."""
    path = log_of(run_dir)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as stream:
            stream.write(text)


def _mark_failed(run_dir: Path, error: str) -> None:
    """Close the record of a training that was killed, if there is one."""
    if not (run_dir / RECORD_FILE).is_file():
        return
    with FileLock(run_dir / ".lock", timeout=10):
        record = RunRecord.open(run_dir)
        if record.status in ("running", "interrupted"):
            record.finish("failed", TrainingError(error))


def _failed(error: Exception) -> Outcome:
    text = "".join(traceback.format_exception(error))
    return Outcome(
        TrialEnd.FAILED, reason=FailureReason.EXCEPTION, error=_first_line(error), traceback=text
    )


def _first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, or of its cause's where it has none."""
    cause: BaseException | None = error
    while cause is not None:
        lines = str(cause).strip().splitlines()
        if lines:
            return lines[0]
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__
