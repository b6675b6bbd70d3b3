"""Trains folds side by side, each in its own process with its own device."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rich.console import Console

from seglab.core.errors import TrainingError, list_problems
from seglab.core.text.shell import shell_command
from seglab.core.text.terminal import say
from seglab.engine.device.slots import Slot
from seglab.experiment.cv.collect import FoldRun

_POLL_S = 0.2
# A training that is asked to stop saves a checkpoint first.
_PATIENCE_S = 60.0


@dataclass
class _Running:
    fold: FoldRun
    slot: Slot
    process: subprocess.Popen[bytes]


def train_side_by_side(
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
        cv_dir: Folder of the cross-validation's record.
        folds: Those not finished yet.
        slots: What each process may use.
        console: Told of each start and end.
        on_finished: Called with each fold that is finished; what it raises stops the others.

    Raises:
        TrainingError: Folds failed; all are named with their reasons.
    """
    waiting, free, failed = list(folds), list(slots), list[str]()
    with _stopped_with_us() as running:
        while waiting or running:
            while waiting and free:
                running.append(_start(cv_dir, waiting.pop(0), free.pop(0), console))
            for one in [one for one in running if one.process.poll() is not None]:
                running.remove(one)
                free.append(one.slot)
                problems = _report(one, console)
                failed += problems
                if on_finished is not None and not problems:
                    on_finished(one.fold)
            time.sleep(_POLL_S)
    if failed:
        raise TrainingError(
            list_problems(f"{len(failed)} of {len(folds)} folds failed", failed)
            + f"\n`{shell_command('seglab', 'train', f'resume={cv_dir}')}` trains those again"
        )


def _log_path(fold: FoldRun) -> Path:
    return fold.run_dir.with_suffix(".log")


def _start(cv_dir: Path, fold: FoldRun, slot: Slot, console: Console) -> _Running:
    fold.run_dir.parent.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "seglab.experiment.fold_process",
        str(cv_dir),
        str(fold.run_dir),
        str(os.getpid()),
    ]
    stream: IO[bytes]
    with _log_path(fold).open("ab") as stream:
        # A group of its own: Ctrl-C reaches us alone, and we ask the folds to stop.
        process = subprocess.Popen(
            command,
            env={**os.environ, **slot.variables},
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    say(console, f"fold {fold.name} starts on {slot.name}")
    return _Running(fold, slot, process)


def _report(one: _Running, console: Console) -> list[str]:
    if one.process.returncode == 0 and one.fold.is_finished():
        say(console, f"fold {one.fold.name} {one.fold.sentence()}")
        return []
    log = _log_path(one.fold)
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    reason = lines[-1] if lines else f"exit code {one.process.returncode}"
    say(console, f"fold {one.fold.name} failed: {reason}")
    return [f"{one.fold.name}: {reason} (see {log})"]


@contextmanager
def _stopped_with_us() -> Iterator[list[_Running]]:
    """Yield the list of running folds; whoever is in it when the body is left by an error stops."""
    running: list[_Running] = []
    try:
        yield running
    finally:
        for one in running:
            one.process.send_signal(signal.SIGTERM)
        for one in running:
            try:
                one.process.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                one.process.kill()
                one.process.wait()
