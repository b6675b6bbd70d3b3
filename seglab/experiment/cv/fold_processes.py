"""Trains folds side by side, each in its own process with its own device: a pool, as trials have it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from rich.console import Console

from seglab.core.errors import TrainingError, list_problems
from seglab.core.text.shell import shell_command
from seglab.core.text.terminal import say
from seglab.core.trial import TrialChannel, TrialEnd
from seglab.engine.device.slots import Slot
from seglab.engine.process.events import Ended, Ending
from seglab.engine.process.pool import Pool
from seglab.experiment.cv.collect import FoldRun

_WAIT_S = 10.0


def train_side_by_side(
    train: Callable[[FoldRun], None],
    cv_dir: Path,
    folds: list[FoldRun],
    slots: list[Slot],
    console: Console,
    on_finished: Callable[[FoldRun], None] | None = None,
) -> None:
    """Train folds; a slot takes the next fold as soon as it is free.

    What a fold prints is in `folds/<fold>.log`. Where one fails, the others are trained all the
    same: their work is kept, and a resume trains only what is left.

    Args:
        train: Trains a fold; called in the fold's own process.
        cv_dir: Folder of the cross-validation's record.
        folds: Those not finished yet.
        slots: What each process may use.
        console: Told of each start and end.
        on_finished: Called with each fold that is finished; what it raises stops the others.

    Raises:
        TrainingError: Folds failed; all are named with their reasons.
    """
    waiting, running, failed = list(enumerate(folds)), 0, list[str]()
    with Pool(slots) as pool:
        while waiting or running:
            for slot in pool.free[: len(waiting)]:
                number, fold = waiting.pop(0)
                pool.start(number, partial(_without_channel, train, fold), slot, _log_path(fold))
                running += 1
                say(console, f"fold {fold.name} starts on {slot.name}")
            for event in pool.events(_WAIT_S):
                if not isinstance(event, Ended):
                    continue
                running -= 1
                fold = folds[event.number]
                problems = _report(fold, event.ending, console)
                failed += problems
                if on_finished is not None and not problems:
                    on_finished(fold)
    if failed:
        raise TrainingError(
            list_problems(f"{len(failed)} of {len(folds)} folds failed", failed)
            + f"\n`{shell_command('seglab', 'train', f'resume={cv_dir}')}` trains those again"
        )


def _without_channel(
    train: Callable[[FoldRun], None], fold: FoldRun, channel: TrialChannel
) -> None:
    # A study hears of finished folds, and from the cross-validation.
    train(fold)


def _log_path(fold: FoldRun) -> Path:
    return fold.run_dir.with_suffix(".log")


def _report(fold: FoldRun, ending: Ending, console: Console) -> list[str]:
    if ending.status == TrialEnd.FINISHED and fold.is_finished():
        say(console, f"fold {fold.name} {fold.sentence()}")
        return []
    say(console, f"fold {fold.name} failed: {ending.error}")
    return [f"{fold.name}: {ending.error} (see {_log_path(fold)})"]
