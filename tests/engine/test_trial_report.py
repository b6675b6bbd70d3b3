"""What a study hears of an epoch, and when its answer ends the training."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from seglab.core.labels import LabelSpace
from seglab.core.trial import TrialPrunedError
from seglab.engine.loop.trial_report import TrialReport
from seglab.engine.step.evaluation import EvalResult
from seglab.engine.step.micro_batch import MicroBatcher
from seglab.engine.step.module import SegmentationModule, StepSettings
from seglab.losses import CrossEntropyLoss, WeightedSum
from seglab.models import SegNetBasic
from tests.listening import Channel


@pytest.fixture(scope="module")
def module() -> SegmentationModule:
    """A module that was validated once: val/miou 0.25."""
    return SegmentationModule(
        SegNetBasic(num_classes=2, width=4, kernel_size=3),
        WeightedSum({"ce": CrossEntropyLoss()}, {"ce": 1.0}),
        LabelSpace(("road", "car")),
        (None, None),  # type: ignore[arg-type]
        StepSettings(),
        MicroBatcher(),
    )


def _validated(module: SegmentationModule, score: float) -> SegmentationModule:
    result = EvalResult("val", {"val/miou": score}, np.zeros((2, 2), np.int64), pd.DataFrame())
    module.results = {"val": result}
    return module


def _trainer(epoch: int = 0, every: int = 1, stopping: bool = False) -> Any:
    asked: list[bool] = []

    def broadcast(answer: bool) -> bool:
        asked.append(answer)
        return answer

    return SimpleNamespace(
        current_epoch=epoch,
        max_epochs=5,
        check_val_every_n_epoch=every,
        should_stop=stopping,
        strategy=SimpleNamespace(broadcast=broadcast),
        asked=asked,
    )


def _end_epoch(report: TrialReport, module: SegmentationModule, trainer: Any) -> None:
    report.on_train_epoch_end(trainer, module)


def test_each_validated_epoch_is_reported_and_told(module: SegmentationModule) -> None:
    channel = Channel()
    report = TrialReport(channel, "val/miou")
    for epoch in range(4):
        _end_epoch(report, _validated(module, epoch / 8), _trainer(epoch, every=2))
    assert channel.reports == [(1, 0.125), (3, 0.375)]
    assert [fact["epoch"] for fact in channel.facts] == [0, 1, 2, 3]
    assert channel.facts[1] == {"epoch": 1, "max_epochs": 5, "metric": "val/miou", "value": 0.125}
    assert "value" not in channel.facts[0]


def test_first_step_is_told_once(module: SegmentationModule) -> None:
    channel = Channel()
    report = TrialReport(channel, "val/miou")
    for step in range(3):
        report.on_train_batch_end(_trainer(), module, {}, {}, step)
    assert channel.facts == [{"epoch": 0, "max_epochs": 5, "first_step": True}]


def test_answer_ends_the_training_but_not_after_the_last_epoch(module: SegmentationModule) -> None:
    scored = _validated(module, 0.25)
    with pytest.raises(TrialPrunedError, match=r"after epoch 2: val/miou 0\.2500"):
        _end_epoch(TrialReport(Channel(2), "val/miou"), scored, _trainer(2))
    for trainer in (_trainer(4), _trainer(2, stopping=True)):
        channel = Channel(trainer.current_epoch)
        _end_epoch(TrialReport(channel, "val/miou"), scored, trainer)
        assert channel.reports == [(trainer.current_epoch, 0.25)]


def test_ranks_ask_together_whoever_has_a_channel(module: SegmentationModule) -> None:
    scored, other = _validated(module, 0.25), _trainer(1)
    _end_epoch(TrialReport(None, "val/miou"), scored, other)
    assert other.asked == [False]
    told_to_stop = _trainer(1)
    told_to_stop.strategy.broadcast = lambda answer: True
    with pytest.raises(TrialPrunedError):
        _end_epoch(TrialReport(None, "val/miou"), scored, told_to_stop)


def test_undefined_score_is_no_report(module: SegmentationModule) -> None:
    channel, trainer = Channel(0), _trainer()
    _end_epoch(TrialReport(channel, "val/miou"), _validated(module, math.nan), trainer)
    assert channel.reports == []
    assert trainer.asked == []
    assert len(channel.facts) == 1


def test_epochs_of_a_fold_are_progress_only(module: SegmentationModule) -> None:
    channel, trainer = Channel(0), _trainer()
    report = TrialReport(channel, "val/miou", prunes=False)
    _end_epoch(report, _validated(module, 0.25), trainer)
    assert channel.reports == []
    assert trainer.asked == []
    assert channel.facts[0]["value"] == 0.25
