"""The metric as state: batches, order, processes, devices and mistakes."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seglab.core.errors import DataError, LabelError, ShapeError
from seglab.metrics.confusion import confusion_matrices
from seglab.metrics.metric import SegmentationMetrics

NUM_CLASSES = 4
NUM_IMAGES = 7


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def make_masks() -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    rng = np.random.default_rng(3)
    mask = torch.from_numpy(rng.integers(0, NUM_CLASSES, (NUM_IMAGES, 5, 6)))
    mask[rng.random(mask.shape) < 0.2] = 255
    pred_mask = torch.from_numpy(rng.integers(0, NUM_CLASSES, mask.shape))
    return pred_mask, mask, [f"image_{index}" for index in range(NUM_IMAGES)]


def feed(metric: SegmentationMetrics, batches: list[list[int]]) -> None:
    pred_mask, mask, sample_ids = make_masks()
    for batch in batches:
        ids = [sample_ids[index] for index in batch]
        loss = mask[batch].ne(255).float().sum() / 100
        metric.update(pred_mask[batch], mask[batch], ids, loss)


def whole() -> torch.Tensor:
    pred_mask, mask, _ = make_masks()
    return confusion_matrices(pred_mask, mask, NUM_CLASSES).sum(0)


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(NUM_IMAGES)), st.integers(1, NUM_IMAGES))
def test_order_and_batches_change_nothing(order: list[int], size: int) -> None:
    metric = SegmentationMetrics(NUM_CLASSES, per_image=True)
    feed(metric, [order[start : start + size] for start in range(0, NUM_IMAGES, size)])
    assert torch.equal(metric.compute().confusion, whole())
    table = metric.per_image.gather()
    assert table.sample_ids == tuple(f"image_{index}" for index in range(NUM_IMAGES))
    # Summed over images the counts are those of the split.
    assert table.tp.sum(0).tolist() == whole().diagonal().tolist()
    assert (table.tp + table.fn).sum(0).tolist() == whole().sum(1).tolist()
    assert (table.tp + table.fp).sum(0).tolist() == whole().sum(0).tolist()


def test_compute_twice_gives_the_same() -> None:
    metric = SegmentationMetrics(NUM_CLASSES)
    feed(metric, [[0, 1]])
    first = metric.compute().confusion
    metric.update(*(tensor[2:3] for tensor in make_masks()[:2]))
    metric.compute()
    assert torch.equal(metric.compute().confusion, metric.compute().confusion)
    assert not torch.equal(metric.compute().confusion, first)


def test_reset_forgets_everything() -> None:
    metric = SegmentationMetrics(NUM_CLASSES, per_image=True)
    feed(metric, [[0, 1], [2]])
    metric.reset()
    assert (
        int(metric.confusion.sum()) == int(metric.loss_weights.sum()) == len(metric.per_image) == 0
    )


def test_loss_is_weighted_by_valid_pixels() -> None:
    metric = SegmentationMetrics(2)
    two, one, none = (torch.tensor([[row]]) for row in ([0, 1], [0, 255], [255, 255]))
    pred_mask = torch.zeros(1, 1, 2, dtype=torch.int64)
    metric.update(pred_mask, two, loss=torch.tensor(1.0))
    metric.update(pred_mask, one, loss=torch.tensor(4.0))
    metric.update(pred_mask, none, loss=torch.tensor(float("nan")))
    metric.update(pred_mask, two)
    scores = metric.scores(["a", "b"], "val")
    assert scores["val/loss"] == pytest.approx((2 * 1.0 + 1 * 4.0) / 3)


def test_diverged_loss_is_not_hidden_and_missing_loss_has_no_key() -> None:
    metric = SegmentationMetrics(2)
    mask = torch.zeros(1, 1, 2, dtype=torch.int64)
    metric.update(mask, mask)
    assert "val/loss" not in metric.scores(["a", "b"], "val")
    metric.update(mask, mask, loss=torch.tensor(float("nan")))
    assert np.isnan(metric.scores(["a", "b"], "val")["val/loss"])


def test_scores_of_a_split() -> None:
    metric = SegmentationMetrics(3, per_image=True)
    mask = torch.tensor([[[0, 0, 1, 255]]])
    metric.update(torch.tensor([[[0, 0, 0, 2]]]), mask, ["a"])
    scores = metric.scores(["a", "b", "c"], "val")
    assert scores["val/miou"] == pytest.approx((2 / 3 + 0) / 2)
    assert scores["val/num_classes_averaged"] == 2
    assert np.isnan(scores["val/iou/c"])


def test_overflow_counted_on_a_device_raises_at_compute() -> None:
    metric = SegmentationMetrics(2)
    metric.invalid += 3
    with pytest.raises(LabelError, match="3 pixels"):
        metric.compute()


def test_value_outside_classes_leaves_the_state_alone() -> None:
    metric = SegmentationMetrics(2, per_image=True)
    bad = torch.full((1, 1, 2), 2)
    with pytest.raises(LabelError):
        metric.update(torch.zeros_like(bad), bad, ["a"])
    assert int(metric.confusion.sum()) == len(metric.per_image) == 0


def test_same_image_twice_is_refused() -> None:
    metric = SegmentationMetrics(NUM_CLASSES, per_image=True)
    feed(metric, [[0, 1], [1]])
    with pytest.raises(DataError, match="image_1"):
        metric.per_image.gather()


def test_missing_sample_ids() -> None:
    mask = torch.zeros(1, 1, 1, dtype=torch.int64)
    with pytest.raises(ShapeError, match="sample id"):
        SegmentationMetrics(2, per_image=True).update(mask, mask)


def test_ignore_index_that_is_a_class() -> None:
    with pytest.raises(LabelError, match="ignore_index=1"):
        SegmentationMetrics(2, ignore_index=1)


def test_pickle_clone_and_half_keep_integers() -> None:
    metric = SegmentationMetrics(NUM_CLASSES, per_image=True)
    feed(metric, [[0, 1, 2]])
    copies = (pickle.loads(pickle.dumps(metric)), metric.clone(), metric.half())  # noqa: S301
    for copy in copies:
        assert copy.confusion.dtype == torch.int64
        assert torch.equal(copy.compute().confusion, metric.compute().confusion)
        assert copy.per_image.gather().sample_ids == ("image_0", "image_1", "image_2")
    assert metric.state_dict() == {}


def test_counts_beyond_32_bits_stay_exact() -> None:
    metric = SegmentationMetrics(2)
    metric.confusion += (1 << 40) + 1
    mask = torch.zeros(1, 1, 1, dtype=torch.int64)
    metric.update(mask, mask)
    assert int(metric.compute().confusion[0, 0]) == (1 << 40) + 2
