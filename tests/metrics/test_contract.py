"""Every score of a confusion matrix keeps the contract that users' metrics are held to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torchmetrics import Metric

from seglab.metrics import names, scores
from seglab.testing import MetricContract

CLASS_NAMES = ("a", "b", "c", "d")
OF_CONFUSION = [one.name for one in names.declared_scores() if one.function and one.better]


class TestScores(MetricContract):
    perfect = 1.0

    @pytest.fixture(autouse=True, params=OF_CONFUSION)
    def _score(self, request: pytest.FixtureRequest) -> None:
        self.key = names.metric_key("val", request.param)

    def build(self) -> Callable[[np.ndarray], float]:
        return lambda confusion: scores.score_dict(confusion, CLASS_NAMES, "val")[self.key]


class Share(Metric):
    """Share of right pixels, as a user writes it."""

    def __init__(self, ignore_index: int) -> None:
        super().__init__()
        self.ignore_index = ignore_index
        self.add_state("right", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("all", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, pred_mask: torch.Tensor, mask: torch.Tensor) -> None:
        valid = mask != self.ignore_index
        self.right += ((pred_mask == mask) & valid).sum()
        self.all += valid.sum()

    def compute(self) -> torch.Tensor:
        return self.right / self.all


class TestShare(MetricContract):
    perfect = 1.0

    def build(self, ignore_index: int) -> Metric:
        return Share(ignore_index)


class CountsVoid(Share):
    def update(self, pred_mask: torch.Tensor, mask: torch.Tensor) -> None:
        super().update(pred_mask, torch.where(mask == self.ignore_index, 0, mask))


class MeanOfBatches(Share):
    """Averages scores of batches instead of summing counts."""

    def update(self, pred_mask: torch.Tensor, mask: torch.Tensor) -> None:
        valid = mask != self.ignore_index
        self.right = self.right + ((pred_mask == mask) & valid).sum() / valid.sum()
        self.all = self.all + 1


class Remembers(Share):
    """Keeps its counts where neither reset nor other processes see them."""

    def __init__(self, ignore_index: int) -> None:
        super().__init__(ignore_index)
        self.kept = 0

    def update(self, pred_mask: torch.Tensor, mask: torch.Tensor) -> None:
        super().update(pred_mask, mask)
        self.kept += int((mask == 1).sum())

    def compute(self) -> torch.Tensor:
        return super().compute() + self.kept / 1000


def error_rate(confusion: np.ndarray) -> float:
    return float(1 - np.trace(confusion) / max(confusion.sum(), 1))


@pytest.mark.parametrize(
    ("build", "test", "words"),
    [
        (CountsVoid, "test_ignored_pixels_never_count", "whatever ignored pixels are, got"),
        (MeanOfBatches, "test_order_and_batches_change_nothing", "sum counts, not scores"),
        (Remembers, "test_reset_forgets_and_computing_does_not", "to forget all before it"),
        (Remembers, "test_processes_add_up", "dist_reduce_fx='sum'"),
        (lambda: error_rate, "test_right_is_better_than_wrong", "expected right > some > wrong"),
    ],
)
def test_fault_is_named(build: Callable[..., Any], test: str, words: str) -> None:
    with pytest.raises(AssertionError) as caught:
        MetricContract.check(build)
    _, _, text = str(caught.value).partition(f"\n- {test}: ")
    assert words in text.partition("\n- test_")[0]


def test_score_that_is_better_low_says_so() -> None:
    MetricContract.check(lambda: error_rate, higher_is_better=False, perfect=0.0)
