"""The contract of a metric: ignored pixels never count, and batches make no difference."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from seglab.metrics import confusion_matrices
from seglab.metrics.wrapped import WrappedMetric
from seglab.testing.contract import Contract

NUM_CLASSES = 4
IGNORE = 255
NUM_IMAGES = 7


def draw_masks() -> tuple[Tensor, Tensor]:
    """Return predictions and targets, int64 `(7, 5, 6)`; the prediction is right on most pixels.

    Every class occurs in every image, a fifth of the targets is ignored.
    """
    rng = np.random.default_rng(3)
    mask = rng.integers(0, NUM_CLASSES, (NUM_IMAGES, 5, 6))
    mask[:, 0, :NUM_CLASSES] = np.arange(NUM_CLASSES)
    wrong = rng.random(mask.shape) < 0.3
    pred_mask = np.where(wrong, rng.integers(0, NUM_CLASSES, mask.shape), mask)
    mask[:, 1:][rng.random((NUM_IMAGES, 4, 6)) < 0.25] = IGNORE
    return torch.from_numpy(pred_mask), torch.from_numpy(mask)


class MetricContract(Contract):
    """What scoring asks of `score(confusion) -> float`, or of a torchmetrics `Metric`.

    `build` is supplied with `num_classes` and `ignore_index`, and returns the function, or a metric
    whose `update(pred_mask, mask)` takes int64 `(B, H, W)`.

    Attributes:
        higher_is_better: Whether a better prediction has a higher score.
        perfect: Score where every pixel is right; None: not known.
    """

    higher_is_better = True
    perfect: float | None = None

    def make(self) -> WrappedMetric:
        """Return the metric as scoring uses it."""
        made = self.build_with(num_classes=NUM_CLASSES, ignore_index=IGNORE)
        return WrappedMetric(type(self).__name__, made)

    def score(
        self, pred_mask: Tensor, mask: Tensor, batches: Sequence[Sequence[int]] | None = None
    ) -> float:
        """Return the score of some images, given in these batches (by default one of all)."""
        metric = self.make()
        for batch in [range(len(mask))] if batches is None else batches:
            metric.update(pred_mask[list(batch)], mask[list(batch)])
        return metric.compute(confusion(pred_mask, mask))

    def test_is_a_number(self) -> None:
        value = self.score(*draw_masks())
        assert isinstance(value, float), f"expected a float, got {type(value).__name__}"
        assert math.isfinite(value), f"expected a finite score, got {value}"

    def test_right_is_better_than_wrong(self) -> None:
        pred_mask, mask = draw_masks()
        right = self.score(torch.where(mask == IGNORE, 0, mask), mask)
        some = self.score(pred_mask, mask)
        wrong = self.score(torch.where(mask == IGNORE, 0, (mask + 1) % NUM_CLASSES), mask)
        sign = 1 if self.higher_is_better else -1
        ordered = sign * right > sign * some > sign * wrong
        order = "right > some > wrong" if self.higher_is_better else "right < some < wrong"
        assert ordered, f"expected {order}, got {right:g}, {some:g}, {wrong:g}"
        if self.perfect is not None:
            assert abs(right - self.perfect) < 1e-6, f"expected {self.perfect:g}, got {right:g}"

    def test_ignored_pixels_never_count(self) -> None:
        pred_mask, mask = draw_masks()
        expected = self.score(pred_mask, mask)
        other = torch.where(mask == IGNORE, (pred_mask + 1) % NUM_CLASSES, pred_mask)
        got = self.score(other, mask)
        assert got == expected, f"expected {expected} whatever ignored pixels are, got {got}"

    def test_order_and_batches_change_nothing(self) -> None:
        pred_mask, mask = draw_masks()
        expected = self.score(pred_mask, mask)
        for batches in (
            [[6, 5, 4, 3, 2, 1, 0]],
            [[0, 1, 2], [3, 4], [5, 6]],
            [[3], [0, 1, 2, 4, 5, 6]],
        ):
            got = self.score(pred_mask, mask, batches)
            assert math.isclose(got, expected, rel_tol=1e-6), (
                f"expected {expected:g} in batches {batches}, got {got:g}; sum counts, not scores"
            )

    def test_reset_forgets_and_computing_does_not(self) -> None:
        pred_mask, mask = draw_masks()
        metric = self.make()
        for _ in range(2):
            metric.reset()
            metric.update(pred_mask, mask)
            first = metric.compute(confusion(pred_mask, mask))
            assert first == metric.compute(confusion(pred_mask, mask)), "expected the same twice"
            assert first == self.score(pred_mask, mask), "expected reset() to forget all before it"

    def test_nothing_valid_is_no_failure(self) -> None:
        pred_mask, mask = draw_masks()
        value = self.score(pred_mask, torch.full_like(mask, IGNORE))
        assert isinstance(value, float), f"expected a float, such as NaN, got {value!r}"

    def test_processes_add_up(self) -> None:
        made = self.make().score
        if not isinstance(made, Metric):
            return
        pred_mask, mask = draw_masks()
        halves = [copy.deepcopy(made), made]
        halves[0].update(pred_mask[::2], mask[::2])
        halves[1].update(pred_mask[1::2], mask[1::2])
        # `merge_state` is this too, but refuses metrics that do not state `full_state_update`.
        halves[1]._reduce_states(halves[0].metric_state)
        got, expected = float(halves[1].compute()), self.score(pred_mask, mask)
        assert math.isclose(got, expected, rel_tol=1e-6), (
            f"expected {expected:g} of two processes together, got {got:g}; declare states with "
            "add_state(..., dist_reduce_fx='sum')"
        )


def confusion(pred_mask: Tensor, mask: Tensor) -> np.ndarray:
    """Return the confusion matrix of all images, int64 `(4, 4)`, rows = target."""
    matrices = confusion_matrices(pred_mask, mask, NUM_CLASSES, IGNORE)
    return np.asarray(matrices.sum(0).numpy())
