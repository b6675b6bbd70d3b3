"""Times the stages of a training, as a callback of Hydra that does the same in every process.

`hydra.callbacks.stages._target_=sweep_bench.stages.Stages` makes Hydra call it where jobs start: in a
fresh process and in the process of a trial alike. It wraps the functions below with a clock; they do
what they did. Each line of the log is one span on the clock that all processes share.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback

JOB_START, JOB_END, FIRST_STEP = "job start", "job end", "first step"
IMPORTS, LOOP = "imports", "loop set-up"
# Where the name is looked up when it is called -> stage.
OF_A_JOB = {
    "seglab.experiment.train:start_record": "record",
    "seglab.experiment.train:start_view": "logger",
    "seglab.experiment.train:make_plan": "plan",
    "seglab.experiment.train:open_dataset_of": "data",
    "seglab.experiment.fit:build_datamodule": "data",
    "seglab.experiment.fit:build_module": "model",
    "seglab.experiment.fit:build_trainer": "trainer",
    "seglab.engine.step.module:SegmentationModule.training_step": FIRST_STEP,
}
OF_A_CONTROLLER = {
    "seglab.sweep.ledger.ledger:Ledger.tell": "tell",
    "seglab.sweep.ledger.ledger:Ledger.claim": "ask",
    "seglab.sweep.workers.sweep:Sweep.work": "compose",
    "seglab.engine.process.pool:Pool.start": "fork",
}


class Stages(Callback):
    """Wraps functions when a job or a multirun starts, and logs when each was at work.

    Args:
        log: File to add lines to.
    """

    def __init__(self, log: str) -> None:
        self.log = Path(log)
        self.seen: set[str] = set()

    def on_multirun_start(self, config: Any, **kwargs: Any) -> None:
        """Time what a controller does between two trials."""
        for place, stage in OF_A_CONTROLLER.items():
            self.wrap(place, stage, once=False)

    def on_job_start(self, config: Any, **kwargs: Any) -> None:
        """Note the start of a job, and time what it does until its first step."""
        start = time.monotonic()
        self.note(JOB_START, start, start)
        for place, stage in OF_A_JOB.items():
            self.wrap(place, stage, once=True)
        # The training would import the same modules a moment later.
        self.note(IMPORTS, start, time.monotonic())

    def on_job_end(self, config: Any, job_return: Any, **kwargs: Any) -> None:
        """Note the end of a job."""
        now = time.monotonic()
        self.note(JOB_END, now, now)

    def wrap(self, place: str, stage: str, once: bool) -> None:
        """Put a clock around a function or a method."""
        module, _, path = place.partition(":")
        *parents, name = path.split(".")
        owner = functools.reduce(getattr, parents, importlib.import_module(module))
        setattr(owner, name, self.timed(getattr(owner, name), place, stage, once))

    def timed(
        self, function: Callable[..., Any], place: str, stage: str, once: bool
    ) -> Callable[..., Any]:
        """Return the function with a clock around it, around the first call alone if `once`."""

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if once and place in self.seen:
                return function(*args, **kwargs)
            self.seen.add(place)
            start = time.monotonic()
            try:
                return function(*args, **kwargs)
            finally:
                self.note(stage, start, time.monotonic())

        return call

    def note(self, stage: str, start: float, end: float) -> None:
        """Add a line to the log."""
        line = {"pid": os.getpid(), "stage": stage, "start": start, "end": end}
        with self.log.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
