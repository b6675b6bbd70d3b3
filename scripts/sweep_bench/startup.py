"""How long it takes from a trial's end to the next trial's first training step, and where it goes.

The same small trainings on `synth`, with the same clock inside (`stages`): as trials of a study, one
after another on one worker, and each in a fresh Python process (`python -m seglab.cli train ...`).
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sweep_bench.arms import HERE
from sweep_bench.stages import FIRST_STEP, IMPORTS, JOB_END, JOB_START, OF_A_CONTROLLER, OF_A_JOB
from sweep_bench.verdict import Bar, bars_table, table

LIMIT = 0.2
_TRAINING = (
    "data=synth",
    "data.options.num_images=40",
    "data.options.image_size=[96,128]",
    "data.crop_size=[96,128]",
    "data.batch_size=4",
    "model=unet",
    "model.encoder_name=mobilenetv3_small_100",
    "augment=light",
    "callbacks.progress=off",
    "trainer.max_epochs=1",
    "trainer.limit_train_batches=2",
    "trainer.limit_val_batches=1",
    "metrics.train_images=0",
)
_PROCESS, _NOTICED, _CHILD = "Python, words, composing", "process ends, is noticed", "child starts"
_LOOP, _OTHER = "loop set-up, first batch", "other"
_STAGES = (
    _PROCESS,
    _NOTICED,
    *dict.fromkeys(OF_A_CONTROLLER.values()),
    _CHILD,
    IMPORTS,
    *[stage for stage in dict.fromkeys(OF_A_JOB.values()) if stage != FIRST_STEP],
    _LOOP,
    _OTHER,
)


@dataclass(frozen=True)
class Span:
    """One line of the log of `stages`."""

    pid: int
    stage: str
    start: float
    end: float


@dataclass(frozen=True)
class Start:
    """How one training came to its first step.

    Attributes:
        begins_s: Seconds until the first training step begins.
        ends_s: Seconds until it has ended.
        stages: Seconds of each stage; together they are `begins_s`.
    """

    begins_s: float
    ends_s: float
    stages: dict[str, float]


@dataclass(frozen=True)
class Starts:
    """What was measured.

    Attributes:
        fresh: In fresh processes.
        study: In a study, of all trials but the first.
        recorded: The same seconds as the study's own records have them: from the end of an attempt
            to the first training step of the next.
    """

    fresh: list[Start]
    study: list[Start]
    recorded: list[float]


def measure(folder: Path, starts: int, logger: str) -> Starts:
    """Run the trainings, each in a fresh process, then all in a study."""
    training = [
        *_TRAINING,
        f"logger={logger}",
        *(["logger.wandb.mode=offline"] if logger == "wandb" else []),
        f"paths.data_dir={folder / 'data'}",
        f"paths.cache_dir={folder / 'cache'}",
        f"paths.runs_dir={folder / 'runs'}",
    ]
    _run(
        folder, "first", training
    )  # draws the scenes; files come from the system's cache from now on
    fresh = []
    for number in range(starts):
        began, spans = _run(folder, f"fresh-{number}", training)
        fresh.append(start_of(_job(spans), began))
    study = [
        "-m",
        *training,
        "study=random",
        "study.space={}",
        "study.name=startup",
        f"study.n_trials={starts + 1}",
        "study.test=false",
        "hydra.launcher.workers=1",
        "optimizer.lr=tag(log,interval(1e-4,1e-2))",
    ]
    _, spans = _run(folder, "study", study)
    return Starts(fresh, starts_in_study(spans), _recorded(folder / "runs"))


def _recorded(runs_dir: Path) -> list[float]:
    from seglab.runs.studies.study import ATTEMPTS, FIRST_STEP_S, STUDY_FILE, StudyFolder
    from seglab.runs.studies.study_storage import open_study

    (path,) = runs_dir.rglob(STUDY_FILE)
    trials = [trial.user_attrs for trial in open_study(StudyFolder(path.parent)).trials]
    return [
        now[ATTEMPTS][0]["started"] + now[FIRST_STEP_S] - before[ATTEMPTS][-1]["ended"]
        for before, now in itertools.pairwise(trials)
    ]


def _run(folder: Path, name: str, words: Sequence[str]) -> tuple[float, list[Span]]:
    """Run `seglab train`; return when it was started, and the spans it logged."""
    log = folder / f"{name}.spans"
    own = [
        "+hydra.callbacks.stages._target_=sweep_bench.stages.Stages",
        f"+hydra.callbacks.stages.log={log}",
    ]
    command = [sys.executable, "-m", "seglab.cli", "train", *words, *own]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    start = time.monotonic()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    (folder / f"{name}.log").write_text(done.stdout + done.stderr, encoding="utf-8")
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\nexit code {done.returncode}\n{done.stderr[-3000:]}")
    lines = log.read_text(encoding="utf-8").splitlines()
    return start, [Span(**json.loads(line)) for line in lines]


def starts_in_study(spans: Sequence[Span]) -> list[Start]:
    """Return the starts of all trials of one worker but the first."""
    pids = [span.pid for span in spans if span.stage == JOB_START]
    jobs = [[span for span in spans if span.pid == pid] for pid in pids]
    others = [span for span in spans if span.pid not in pids]
    ends = [span.end for span in spans if span.stage == JOB_END]
    return [start_of(_job(job), end, others) for job, end in zip(jobs[1:], ends, strict=False)]


def _job(spans: Sequence[Span]) -> list[Span]:
    """Return the spans of a job until the end of its first step."""
    first = next(span for span in spans if span.stage == FIRST_STEP)
    return [span for span in spans if span.end <= first.end]


def start_of(job: Sequence[Span], origin: float, controller: Sequence[Span] = ()) -> Start:
    """Return how a training came to its first step.

    Args:
        job: What it did until the end of its first step.
        origin: When the one before it ended, or its process was started.
        controller: What the controller did; only what lies before the job's start counts.
    """
    begins = next(span.start for span in job if span.stage == JOB_START)
    first = next(span for span in job if span.stage == FIRST_STEP)
    stages = dict.fromkeys(_STAGES, 0.0)
    for span in job:
        if span.stage in stages:
            stages[span.stage] += span.end - span.start
    stages[_LOOP] = first.start - max(span.end for span in job if span is not first)
    between = [span for span in controller if origin <= span.start < begins]
    for span in between:
        stages[span.stage] += min(span.end, begins) - span.start
    if between:
        stages[_NOTICED] = between[0].start - origin
        stages[_CHILD] = max(0.0, begins - between[-1].end)
    else:
        stages[_PROCESS] = begins - origin
    stages[_OTHER] = first.start - origin - sum(stages.values())
    return Start(first.start - origin, first.end - origin, stages)


def report(starts: Starts) -> list[Bar]:
    """Print both kinds of start, stage by stage, and return the bars."""
    kinds = (starts.fresh, starts.study)
    rows = []
    for stage in _STAGES:
        means = [statistics.mean(one.stages[stage] for one in kind) for kind in kinds]
        if max(means) >= 0.0005:
            rows.append([stage, *[f"{mean:.3f}" for mean in means]])
    medians = {}
    for name, of in (("begins", lambda one: one.begins_s), ("has ended", lambda one: one.ends_s)):
        values = [[of(one) for one in kind] for kind in kinds]
        rows.append(
            [
                f"until the first step {name}",
                *[f"{statistics.mean(of_kind):.3f}" for of_kind in values],
            ]
        )
        rows.append(
            [
                f"the same, median ({len(values[0])} and {len(values[1])} starts)",
                *[f"{statistics.median(of_kind):.3f}" for of_kind in values],
            ]
        )
        medians[name] = [statistics.median(of_kind) for of_kind in values]
    print(f"\n{table(['seconds (mean)', 'fresh process', 'next trial of a study'], rows)}\n")
    print(
        "By the study's own records, from the end of an attempt until the next one's first step has "
        f"ended: median {statistics.median(starts.recorded):.2f} s\n"
    )
    bars = [
        Bar(
            f"next trial <= {LIMIT} of a fresh process, until the first step {name}",
            f"{trial:.2f} s of {alone:.2f} s: {trial / alone:.3f}",
            trial / alone <= LIMIT,
        )
        for name, (alone, trial) in medians.items()
    ]
    print(bars_table(bars))
    return bars
