"""The arms of the comparison: which Python, which words, and what a run of them leaves."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from sweep_bench.intervals import Interval, read_intervals

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
WORKERS = 2
TITLES = {
    "a": "(a) hydra-optuna-sweeper 1.3.0, joblib launcher",
    "b": "(b) seglab without pruning",
    "c": "(c) seglab with pruning",
}
# The sweeper asks for SQLAlchemy without a bound and crashes with 2.1; without `<1.4` pip installs a
# release candidate of Hydra, because the plugins' own requirement names a development version.
PEER_PACKAGES = (
    "hydra-optuna-sweeper==1.3.0",
    "hydra-joblib-launcher",
    "SQLAlchemy<2",
    "hydra-core<1.4",
    "numpy",
)
_SPACE = (
    "lr=tag(log,interval(1e-4,1e-1))",
    "batch_size=choice(4,8,16,32)",
    "loss_name=choice(ce,ce_dice,focal)",
)
_PEER = (
    "hydra/sweeper=optuna",
    "hydra/sweeper/sampler=tpe",
    "hydra/launcher=joblib",
    f"hydra.launcher.n_jobs={WORKERS}",
    f"hydra.sweeper.n_jobs={WORKERS}",
    "hydra.sweeper.direction=maximize",
)
# conf/study/asha.yaml with its pruner as it is; the sampler learns after as many random trials as the
# peer's. The objective needs nothing but Hydra, so nothing else is imported for all trials.
_SEGLAB = (
    "hydra/sweeper=seglab",
    "hydra/launcher=local",
    f"hydra.launcher.workers={WORKERS}",
    "hydra.launcher.preload=[seglab.sweep.workers.application]",
    "+study=asha",
    "study.name=bench",
    "~study.space",
    "study.objectives=[{metric:score,direction:maximize}]",
    "study.sampler.n_startup_trials=10",
)


@dataclass(frozen=True)
class Settings:
    """What all arms share.

    Attributes:
        trials: The budget.
        mean_s: Seconds a trial takes on average.
        work: What an epoch does: sleep or cpu.
        peer_python: The interpreter of the peer's environment.
    """

    trials: int
    mean_s: float
    work: str
    peer_python: Path


@dataclass(frozen=True)
class ArmRun:
    """One command and its trials.

    Attributes:
        start: When the command was started, on the same clock as the trials.
        end: When it had exited.
        cpu_s: Seconds of all its processes on a core; not more on a busy machine.
        trials: In the order in which they started.
    """

    start: float
    end: float
    cpu_s: float
    trials: list[Interval]

    @property
    def command_s(self) -> float:
        """Seconds from the start of the command to its exit."""
        return self.end - self.start

    @property
    def trials_s(self) -> float:
        """Seconds from the first trial's start to the last trial's end."""
        return max(trial.end for trial in self.trials) - self.trials[0].start

    @property
    def best(self) -> Interval:
        """The finished trial with the highest score."""
        done = [trial for trial in self.trials if trial.score is not None]
        return max(done, key=lambda trial: trial.score or 0.0)


def words(arm: str, seed: int, settings: Settings, folder: Path) -> list[str]:
    """Return the command of an arm."""
    shared = [
        f"seed={seed}",
        f"trials={settings.trials}",
        f"mean_s={settings.mean_s}",
        f"work={settings.work}",
        f"log={folder / 'trials.jsonl'}",
        f"hydra.sweep.dir={folder}",
    ]
    if arm == "a":
        own = [
            *_PEER,
            f"hydra.sweeper.n_trials={settings.trials}",
            f"hydra.sweeper.sampler.seed={seed}",
        ]
        python = str(settings.peer_python)
    else:
        own = _seglab_words(arm, seed, settings)
        python = sys.executable
    return [python, str(HERE / "objective.py"), "-m", *own, *_SPACE, *shared]


def _seglab_words(arm: str, seed: int, settings: Settings) -> list[str]:
    from seglab.config.language.locate import conf_dir

    return [
        f"hydra.searchpath=[file://{conf_dir()}]",
        *_SEGLAB,
        *(["study.pruner=null"] if arm == "b" else []),
        f"study.n_trials={settings.trials}",
        f"study.seed={seed}",
    ]


def run_arm(arm: str, seed: int, settings: Settings, folder: Path) -> ArmRun:
    """Run the command of an arm and read what its trials logged.

    Raises:
        SystemExit: It failed, or not every trial ran.
    """
    folder.mkdir(parents=True)
    # No arm has a use for a GPU; where this is unset, seglab's workers import torch to look for some.
    environment = {**os.environ, "HYDRA_FULL_ERROR": "1", "CUDA_VISIBLE_DEVICES": ""}
    with (folder / "command.log").open("wb") as stream:
        start, spent = time.monotonic(), _cpu_seconds()
        code = subprocess.run(
            words(arm, seed, settings, folder),
            cwd=folder,
            env=environment,
            stdout=stream,
            stderr=stream,
            stdin=subprocess.DEVNULL,
        ).returncode
        end = time.monotonic()
    log = folder / "trials.jsonl"
    trials = read_intervals(log) if log.exists() else []
    if code or len(trials) != settings.trials:
        tail = (folder / "command.log").read_text(encoding="utf-8", errors="replace")[-3000:]
        raise SystemExit(
            f"{TITLES[arm]}, seed {seed}: exit code {code}, {len(trials)} of {settings.trials} trials"
            f"\n{tail}"
        )
    return ArmRun(start, end, _cpu_seconds() - spent, trials)


def _cpu_seconds() -> float:
    """Return what the ended processes below this one have spent on cores."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def make_peer_python(folder: Path) -> Path:
    """Return the interpreter of the peer's environment; make the environment where it is missing.

    Raises:
        SystemExit: The folder is inside of the repository, or the packages cannot be installed.
    """
    if folder.resolve().is_relative_to(REPOSITORY):
        raise SystemExit(f"--peer-env: expected a folder outside of {REPOSITORY}, got {folder}")
    python = folder / "bin" / "python"
    probe = [str(python), "-c", "import hydra_plugins.hydra_optuna_sweeper.optuna_sweeper, joblib"]
    if python.exists() and not subprocess.run(probe, capture_output=True).returncode:
        return python
    print(f"making the environment of {PEER_PACKAGES[0]} in {folder}", flush=True)
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", *PEER_PACKAGES],
        probe,
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return python


def peer_versions(python: Path) -> str:
    """Return what the peer's environment has, in one line."""
    names = ["hydra-core", "hydra-optuna-sweeper", "hydra-joblib-launcher", "optuna", "joblib"]
    code = (
        "from importlib.metadata import version; "
        f"print(', '.join(name + ' ' + version(name) for name in {names}))"
    )
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()
