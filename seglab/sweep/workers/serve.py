"""Runs the trials of a sweep on the workers of this machine until nothing is left to do."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from types import FrameType
from typing import Any, Self

from omegaconf import DictConfig, OmegaConf
from optuna.trial import TrialState
from rich.console import Console

from seglab.engine.device.slots import Slot, make_slots
from seglab.engine.process.pool import PRELOAD, Pool
from seglab.runs.studies.study import WORDS, StudyFolder
from seglab.runs.studies.study_storage import open_study, own_trials
from seglab.sweep.watch.study_watch import StudyWatch
from seglab.sweep.workers.controller import Controller, log_of
from seglab.sweep.workers.sweep import Sweep


class LocalWorkers:
    """The workers of this machine; their server warms up as soon as the context is entered.

    Args:
        config: Of the application; `trainer` may say which devices there are to use.
        options: The node `hydra.launcher`: workers, devices_per_trial, trials_per_gpu, memory_gb,
            preload.
    """

    def __init__(self, config: DictConfig, options: Mapping[str, Any]) -> None:
        self.slots, self.replaced = slots_of(config, options)
        asked = options.get("preload")
        self.pool = Pool(self.slots, PRELOAD if asked is None else asked, options.get("memory_gb"))

    def __enter__(self) -> Self:
        self.pool.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.pool.__exit__(*error)

    def serve(self, sweep: Sweep, console: Console, stays: bool = True) -> None:
        """Run trials of a sweep until nothing is left to do.

        Args:
            sweep: What to run.
            console: Where people watch.
            stays: Whether to wait for trials that run elsewhere and may be abandoned yet.

        Raises:
            StudyGivenUpError: Too many trials failed.
            KeyboardInterrupt: Ctrl-C or SIGTERM; trainings were saved, the same command resumes.
        """
        self.pool.study = StudyFolder(sweep.folder).study_id
        here = replace(sweep, replaced=self.replaced)
        with stopped_by_sigterm(), ExitStack() as stack:
            ledger = here.open_ledger()
            stack.callback(ledger.close)
            names = [slot.name for slot in self.slots]
            watch = stack.enter_context(open_watch(here, names, console))
            watch.counts(ledger.counts())
            show_known(here, watch)
            Controller(
                here.plan, ledger, self.pool, here.work, here.values, watch, stays
            ).run_trials()


def open_watch(sweep: Sweep, workers: Sequence[str], console: Console) -> StudyWatch:
    """Return what shows a sweep to people, and keeps what it showed in the folder of the study."""
    folder = StudyFolder(sweep.folder)
    # The jobs of a grid have no score in common.
    plan = sweep.plan if sweep.is_study else replace(sweep.plan, objectives=())
    return StudyWatch(
        console,
        plan,
        workers,
        log_path=folder.log_path,
        log_of=lambda number: log_of(folder.run_dir(number)),
    )


def show_known(sweep: Sweep, watch: StudyWatch) -> None:
    """Show the trials that finished in earlier sessions of a study."""
    if not sweep.is_study:
        return
    study = open_study(StudyFolder(sweep.folder), sweep.plan.storage)
    for trial in own_trials(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))):
        watch.known(trial.number, trial.values, trial.user_attrs.get(WORDS, []))


def slots_of(config: DictConfig, options: Mapping[str, Any]) -> tuple[list[Slot], list[str]]:
    """Return the slots of this machine, and the overrides that a trial needs for its devices.

    Args:
        config: Of the application; `trainer` may say which devices and how many a training uses.
        options: The node `hydra.launcher`.

    Raises:
        ConfigError: More is asked for than this machine has.
    """
    devices = OmegaConf.select(config, "trainer.devices", default=1)
    accelerator = OmegaConf.select(config, "trainer.accelerator", default="auto")
    only = [int(place) for place in devices] if OmegaConf.is_list(devices) else None
    each = options.get("devices_per_trial", "auto")
    if each == "auto":
        each = devices if isinstance(devices, int) and devices > 0 else 1
    workers, per_gpu = options.get("workers", "auto"), int(options.get("trials_per_gpu") or 1)
    slots = make_slots(accelerator, workers, int(each), only, per_gpu)
    # A list says which devices the sweep may use; a trial sees its own alone, counted from 0.
    return slots, ([f"trainer.devices={each}"] if only is not None else [])


@contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """Let SIGTERM (a cluster that wants its node back) end the body like Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
