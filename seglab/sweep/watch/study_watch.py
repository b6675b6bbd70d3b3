"""What a person sees while a study runs: a live table on a terminal, one line per trial elsewhere."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from seglab.core.disk.provenance import utc_now
from seglab.core.text.terminal import say
from seglab.core.trial import FailureReason, TrialEnd
from seglab.sweep.ask.plan import Counts, StudyPlan
from seglab.sweep.watch.tally import RunningTrial, Scored, Tally
from seglab.sweep.watch.trials_table import best_line, trials_table
from seglab.sweep.watch.wording import many, place, score, short_words, span, spent

_REFRESH_PER_S = 2
_WIDEST = 140
_LONGEST_ERROR = 200
# Lines of the terminal that the table leaves to its head, the counts and the prompt.
_LINES_KEPT = 8
_FEWEST_ROWS = 3
# What happened to a trial that has not ended, and what will.
_MANNERS: dict[TrialEnd, tuple[str, str]] = {
    TrialEnd.DIED: ("lost its process", "; it is resumed"),
    TrialEnd.RELEASED: ("was stopped", "; the same command resumes it"),
    TrialEnd.ABANDONED: ("was taken over", ""),
}


class StudyWatch:
    """Shows a study to people; the controller calls a method for everything that happens.

    On a terminal a table of the trials that run, counts, the best so far, the workers' idle share
    and the time left; each trial that ends leaves a line above it. Elsewhere plain lines, one where
    a trial starts and one where it ends. It never stops a study: odd numbers are shown as they are.

    Args:
        console: Where to write.
        plan: Names the study, its objectives and its budget.
        workers: Names of the workers of this controller.
        log_of: Returns the log of a trial, to be named where it failed.
        log_path: File every line is appended to, with its time.
        clock: Seconds that only go forward.
    """

    def __init__(
        self,
        console: Console,
        plan: StudyPlan,
        workers: Sequence[str],
        *,
        log_of: Callable[[int], Path] | None = None,
        log_path: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.console = console
        self.plan = plan
        self.is_live = console.is_terminal and not console.is_dumb_terminal
        self._log_of = log_of
        self._log_path = log_path
        self._clock = clock
        self._metric = plan.objectives[0].metric if plan.objectives else None
        self._tally = Tally(len(workers), plan.n_trials, plan.objectives, clock())
        # The table is drawn by a thread. Nothing is printed while this is held: printing waits for
        # the table, which waits for this.
        self._lock = threading.Lock()
        self._live: Live | None = None
        self._logs: list[logging.StreamHandler[Any]] = []

    def __enter__(self) -> StudyWatch:
        """Open the table."""
        if self.is_live:
            self._live = Live(
                get_renderable=self.table,
                console=self.console,
                transient=True,
                refresh_per_second=_REFRESH_PER_S,
            )
            before = sys.stderr
            self._live.start()
            # Log lines go above the table as well; their handlers know the stream from before.
            self._logs = [one for one in _log_handlers() if one.stream is before]
            for handler in self._logs:
                handler.setStream(sys.stderr)
        return self

    def __exit__(self, *error: object) -> None:
        """Take the table away; the lines stay."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()
        for handler in self._logs:
            handler.setStream(sys.stderr)
        self._logs = []

    def started(self, number: int, worker: str, words: Sequence[str], attempt: int = 1) -> None:
        """A trial begins on a worker; `attempt` 2 and later resume it from a checkpoint."""
        with self._lock:
            trial = RunningTrial(number, worker, tuple(words), attempt, self._clock())
            self._tally.started(trial)
        again = f" again (attempt {attempt})" if attempt > 1 else ""
        line = f"trial {number} starts{again} on {worker}: {short_words(words) or 'as it is'}"
        self._write(line, shown=not self.is_live)

    def progress(self, number: int, facts: Mapping[str, Any]) -> None:
        """Take how far a trial is; see `RunningTrial.update`."""
        with self._lock:
            trial = self._tally.running.get(number)
            if trial is not None:
                trial.update(facts, self._clock())

    def reported(self, number: int, step: int, value: float) -> None:
        """A trial reports the score that is optimised after a step, from 0."""
        with self._lock:
            trial = self._tally.running.get(number)
            if trial is None:
                return
            trial.value = value
            trial.metric = trial.metric or self._metric
            trial.where = trial.where or f"step {step + 1}"

    def ended(
        self,
        number: int,
        status: TrialEnd,
        value: float | Sequence[float] | None = None,
        reason: FailureReason | None = None,
        error: str | None = None,
    ) -> None:
        """A trial ended, or its process did.

        Args:
            number: Of the trial.
            status: How it ended; of a trial that has not, why it does not run here any more.
            value: One score an objective, of a finished trial.
            reason: Of a failure.
            error: Of a failure.
        """
        with self._lock:
            now = self._clock()
            trial = self._tally.stopped(number, status, now)
            values = _values(value)
            if status == TrialEnd.FINISHED:
                words = tuple(trial.words) if trial is not None else ()
                is_best = self._tally.best.add(Scored(number, values, words))
                how = f"finished{self._scores(values)}{spent(trial, now)}{self._compared(is_best)}"
            elif status == TrialEnd.PRUNED:
                how = f"pruned{place(trial)}{spent(trial, now)}{self._compared(False)}"
            else:
                how, outlook = _MANNERS.get(status, (status, ""))
                how += f"{spent(trial, now, 'after')}{self._why(number, reason, error)}{outlook}"
            counted = f"; {self._done(now)}" if status in self._tally.ended else ""
        self._write(f"trial {number} {how}{counted}")

    def counts(self, counts: Counts) -> None:
        """Take the numbers of the whole study; they tell of trials that run elsewhere."""
        with self._lock:
            self._tally.counts(counts, self._clock())

    def known(self, number: int, values: Sequence[float], words: Sequence[str]) -> None:
        """A trial that finished in an earlier session, or elsewhere; `counts` counts it."""
        with self._lock:
            self._tally.best.add(Scored(number, tuple(values), tuple(words)))

    def _write(self, line: str, shown: bool = True) -> None:
        if shown:
            say(self.console, line)
        if self._log_path is not None:
            # A full disk is reported where something that matters is written.
            with contextlib.suppress(OSError), _appended(self._log_path) as stream:
                stream.write(f"{utc_now()} {line}\n")

    def _scores(self, values: Sequence[float]) -> str:
        named = zip(self.plan.objectives, values, strict=False)
        text = ", ".join(f"{one.metric} {score(value)}" for one, value in named)
        return f" {text}" if text else ""

    def _compared(self, is_best: bool) -> str:
        best = self._tally.best
        if not best.trials:
            return ""
        if len(best.objectives) > 1:
            return f" ({'on' if is_best else 'beside'} the Pareto front of {len(best.trials)})"
        if is_best:
            return " (best so far)"
        leader = best.trials[0]
        return f" (best so far {score(leader.values[0])}, trial {leader.number})"

    def _why(self, number: int, reason: FailureReason | None, error: str | None) -> str:
        text = " ".join((error or "").split())
        if len(text) > _LONGEST_ERROR:
            text = f"{text[: _LONGEST_ERROR - 3]}..."
        why = f" ({reason})" if reason else ""
        why += f": {text}" if text else ""
        log = str(self._log_of(number)) if self._log_of is not None else ""
        return f"{why}; see {log}" if log and log not in (error or "") else why

    def _done(self, now: float) -> str:
        tally = self._tally
        left = tally.seconds_left(now) if tally.done < tally.budget else None
        text = f"{tally.done} of {tally.budget} done"
        return text if left is None else f"{text}, about {span(left)} left"

    def table(self) -> RenderableType:
        """Return what the terminal shows now."""
        with self._lock:
            now = self._clock()
            width = min(self.console.width, _WIDEST)
            trials = sorted(self._tally.running.values(), key=lambda one: one.number)
            most = max(_FEWEST_ROWS, self.console.height - _LINES_KEPT)
            parts: list[RenderableType] = [trials_table(trials[:most], self._metric, width, now)]
            if len(trials) > most:
                parts.append(Text(f"... and {len(trials) - most} more run", style="dim"))
            parts += self._summary(now, width)
        return Group(*parts)

    def _summary(self, now: float, width: int) -> list[Text]:
        tally = self._tally
        counts = ", ".join(f"{count} {status}" for status, count in tally.ended.items() if count)
        elsewhere = f", {tally.elsewhere} elsewhere" if tally.elsewhere else ""
        idle, left = tally.idle_share(now), tally.seconds_left(now)
        ended = Text.assemble(
            (f"{tally.done} of {tally.budget} done", "bold"),
            f": {counts}" if counts else "",
            f"; {len(tally.running)} running here{elsewhere}",
        )
        times = Text.assemble(
            f"{many(tally.workers, 'worker')}, idle {100 * (idle or 0):.1f} % of the time; ",
            ("time left unknown yet" if left is None else f"about {span(left)} left", "bold"),
            f", {span(now - tally.began)} so far",
        )
        if not tally.best.objectives:
            return [ended, times]
        best = best_line(tally.best, tally.ended[TrialEnd.FINISHED])
        best.truncate(width, overflow="ellipsis")
        return [ended, best, times]


def _appended(path: Path) -> IO[str]:
    return path.open("a", encoding="utf-8", errors="replace")


def _log_handlers() -> Iterator[logging.StreamHandler[Any]]:
    loggers = [logging.getLogger(), *map(logging.getLogger, logging.root.manager.loggerDict)]
    for handler in {one for logger in loggers for one in logger.handlers}:
        if isinstance(handler, logging.StreamHandler):
            yield handler


def _values(value: float | Sequence[float] | None) -> tuple[float, ...]:
    if value is None:
        return ()
    return tuple(value) if isinstance(value, Sequence) else (value,)
