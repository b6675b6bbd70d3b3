"""Studies as a sweep leaves them: study.json, a journal of Optuna's, attempts in the attributes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from seglab.runs.studies.study import StudyFolder
from seglab.runs.studies.study_storage import open_storage

START = 1_760_000_000.0
SPACE: dict[str, BaseDistribution] = {
    "optimizer.lr": FloatDistribution(1e-4, 1e-1, log=True),
    "data.batch_size": CategoricalDistribution((2, 4, 8, 16)),
    "loss": CategoricalDistribution(("cross_entropy", "dice", "focal_dice")),
}
MIOU = (("val/miou", "maximize"),)


@dataclass
class Trial:
    """One trial to be written; times are seconds after START.

    An attempt is (worker, started, ended), and may have a fourth part: further fields.
    """

    values: Sequence[float] | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    steps: Sequence[float] = ()
    attempts: Sequence[tuple[Any, ...]] = ()
    state: TrialState = TrialState.COMPLETE
    space: Mapping[str, BaseDistribution] = field(default_factory=lambda: SPACE)
    host: str = "node1"
    attrs: Mapping[str, Any] = field(default_factory=dict)

    def frozen(self, number: int, study_id: str) -> FrozenTrial:
        begun, over = self.state != TrialState.WAITING, self.state.is_finished()
        attrs: dict[str, Any] = {"run_dir": f"trials/{study_id}-t{number:04d}"}
        if self.attempts:
            attrs["attempts"] = [self._attempt(*one) for one in self.attempts]
        now = datetime.fromtimestamp(START)
        return FrozenTrial(
            number=number,
            trial_id=number,
            state=self.state,
            value=None,
            values=None if self.values is None else list(self.values),
            datetime_start=now if begun else None,
            datetime_complete=now if over else None,
            params=dict(self.params),
            distributions={name: self.space[name] for name in self.params},
            user_attrs={**attrs, **self.attrs},
            system_attrs={},
            intermediate_values=dict(enumerate(self.steps)),
        )

    def _attempt(
        self, worker: str, start: float, end: float | None, more: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        ended = None if end is None else START + end
        return {
            "worker": worker,
            "host": self.host,
            "started": START + start,
            "ended": ended,
            **(more or {}),
        }


def write_study(
    path: Path,
    trials: Sequence[Trial],
    objectives: Sequence[tuple[str, str]] = MIOU,
    attrs: Mapping[str, Any] | None = None,
    **asked: Any,
) -> StudyFolder:
    """Write a study's folder and its journal."""
    folder = StudyFolder(path)
    study_id = f"{path.name}-ab12cd"
    content = {
        "study_id": study_id,
        "name": path.name,
        "experiment": "toy",
        "created": "2026-11-22T10:00:00+00:00",
        "git": {"commit": "0123456789abcdef", "dirty": False},
        "packages": {"seglab": "0.1.0"},
        "words": ["study=lr_batch", "trainer.max_epochs=10"],
        "base_config": {
            "cv": None,
            "notes": "Does the best rate grow with the batch? By the mean.",
        },
        "fingerprint": "f1",
        "space": {"optimizer.lr": "tag(log, interval(1e-4, 1e-1))"},
        "objectives": [{"metric": metric, "direction": way} for metric, way in objectives],
        "sampler": {"_target_": "optuna.samplers.TPESampler"},
        "pruner": {"_target_": "optuna.pruners.MedianPruner"},
        "seed": 0,
        "n_trials": len(trials),
        "storage": f"journal:{folder.journal_path}",
        "confirm": 0,
        "test": True,
    }
    folder.path.mkdir(parents=True)
    folder.write({**content, **asked})
    study = optuna.create_study(
        study_name=study_id,
        storage=open_storage(folder.storage),
        directions=[way for _, way in objectives],
    )
    for number, trial in enumerate(trials):
        study.add_trial(trial.frozen(number, study_id))
    for key, value in (attrs or {}).items():
        study.set_user_attr(key, value)
    return folder


def simulate(count: int = 40, workers: int = 2, seed: int = 0) -> list[Trial]:
    """Learning rate, batch size and loss over 10 epochs: bad trials are pruned, trial 17 fails, the
    process of trial 12 dies and is started again."""
    rng = np.random.default_rng(seed)
    free = {f"gpu{place}": place * 0.05 for place in range(workers)}
    trials: list[Trial] = []
    fourth: list[float] = []
    for number in range(count):
        worker = min(free, key=lambda name: free[name])
        lr, size = float(10 ** rng.uniform(-4, -1)), int(rng.choice([2, 4, 8, 16]))
        loss = str(rng.choice(["cross_entropy", "dice", "focal_dice"]))
        top = 0.68 - 0.12 * (math.log10(lr) + 2.4 - 0.3 * math.log2(size / 4)) ** 2
        top += {"cross_entropy": -0.03, "dice": 0.0, "focal_dice": 0.02}[loss] + rng.normal(0, 0.01)
        curve = [
            float(top * (1 - math.exp(-0.5 * (k + 1))) + rng.normal(0, 0.008)) for k in range(10)
        ]
        pace = float(rng.uniform(20, 60)) * (1.2 - 0.05 * size)
        state = TrialState.COMPLETE
        if number == 17:
            state, curve = TrialState.FAIL, curve[:2]
        elif number > 8 and curve[3] < np.median(fourth):
            state, curve = TrialState.PRUNED, curve[:4]
        fourth.append(curve[min(3, len(curve) - 1)])
        start = free[worker]
        end = start + 0.4 + pace * len(curve)
        attempts = [(worker, start, end)]
        if number == 12:
            attempts = [(worker, start, start + 60.0), (worker, start + 61.0, end + 61.0)]
        failed = {
            "reason": "exception",
            "error": "RuntimeError: no",
            "traceback": "Traceback\n  no",
        }
        attrs = {"first_step_s": 0.4, **(failed if state == TrialState.FAIL else {})}
        params = {"optimizer.lr": lr, "data.batch_size": size, "loss": loss}
        values = None if state == TrialState.FAIL else [curve[-1]]
        trials.append(Trial(values, params, curve, attempts, state, attrs=attrs))
        free[worker] = attempts[-1][2] + 0.5
    return trials


def numeric(count: int = 40, outlier: bool = True) -> list[Trial]:
    """Losses over three numbers; trial 20 is a disaster."""
    space = {
        "optimizer.lr": SPACE["optimizer.lr"],
        "model.depth": IntDistribution(2, 6),
        "optimizer.weight_decay": FloatDistribution(0, 0.2),
    }
    rng = np.random.default_rng(1)
    made = []
    for number in range(count):
        power, decay = float(rng.uniform(-4, -1)), float(rng.uniform(0, 0.2))
        params = {
            "optimizer.lr": 10**power,
            "optimizer.weight_decay": decay,
            "model.depth": int(rng.integers(2, 7)),
        }
        value = 0.3 + 0.08 * (power + 2.5) ** 2 + decay
        value += 50.0 if outlier and number == 20 else 0.0
        attempts = [(f"cpu{number % 4}", number, number + 3)]
        made.append(Trial([value], params, attempts=attempts, space=space))
    return made


def conditional(count: int = 24) -> list[Trial]:
    """Every other trial has a momentum; the encoders have long names."""
    encoders = ("tu-mobilenetv3_small_100", "resnet18", None)
    space = {
        "optimizer": CategoricalDistribution(("sgd", "adamw")),
        "optimizer.momentum": FloatDistribution(0.5, 1.0),
        "model.encoder_name": CategoricalDistribution(encoders),
    }
    made = []
    for number in range(count):
        params = {
            "optimizer": ("sgd", "adamw")[number % 2],
            "model.encoder_name": encoders[number % 3],
        }
        momentum = {"optimizer.momentum": 0.5 + number / 50} if number % 2 == 0 else {}
        attempts = [("w", number, number + 1)]
        value = 0.5 + (number * 7 % 13) / 50
        made.append(Trial([value], {**params, **momentum}, attempts=attempts, space=space))
    return made


def fronts(objectives: int) -> list[Trial]:
    """A wider model is better and slower."""
    space = {
        "model.width": IntDistribution(8, 64, log=True),
        "loss": CategoricalDistribution(("ce", "dice")),
    }
    rng = np.random.default_rng(2)
    made = []
    for number in range(30):
        width = int(np.exp(rng.uniform(np.log(8), np.log(64))))
        values = [
            0.5 + 0.08 * np.log2(width / 8) + 0.04 * rng.normal(),
            5 + 0.6 * width + 3 * abs(rng.normal()),
            0.01 * width**1.5,
        ]
        params = {"model.width": width, "loss": ("ce", "dice")[number % 2]}
        attempts = [("gpu0", number, number + 1)]
        kept = [float(value) for value in values[:objectives]]
        made.append(Trial(kept, params, attempts=attempts, space=space))
    return made


class Maker:
    """Writes studies below a folder of its own."""

    trial = Trial
    simulate = staticmethod(simulate)
    numeric = staticmethod(numeric)
    conditional = staticmethod(conditional)
    fronts = staticmethod(fronts)
    start = START

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, trials: Sequence[Trial], name: str = "lr_batch", **more: Any) -> StudyFolder:
        return write_study(self.root / "toy" / name, trials, **more)


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    return Maker(tmp_path / "runs")


@pytest.fixture(scope="session")
def swept(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """The simulated study of 40 trials; tests read it and write nothing into it."""
    return write_study(tmp_path_factory.mktemp("runs") / "toy" / "lr_batch", simulate())
