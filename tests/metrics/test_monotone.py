"""No score gets better when a model finds less: what was found is taken out of a prediction."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seglab.core.labels import LabelSpace
from seglab.engine.step.observers import BoundaryObserver, ConfidenceObserver, SliceObserver
from seglab.metrics import SegmentationMetrics, mean_defined, per_image_score_dict
from seglab.metrics.scores import iou_from_counts
from seglab.metrics.shape.slices import SIZES
from seglab.metrics.shape.surface import surface_scores

CLASSES, IMAGES = 3, 3
LABELS = LabelSpace(tuple(f"c{index}" for index in range(CLASSES)))
HIGH = (
    "miou",
    "dice",
    "pixel_acc",
    "class_acc",
    "fwiou",
    "miou_per_image",
    "dice_per_image",
    "boundary_iou",
    "boundary_f1",
    "surface_dice",
    "small_objects",
)
LOW = ("hd95", "aurc")
Found = list[tuple[int, slice, slice]]


def _draw(
    rng: np.random.Generator, grid: tuple[int, int], cell: int, most_off: int
) -> tuple[np.ndarray, np.ndarray, Found]:
    """Draw targets and predictions `(N, H, W)`, one object a cell, and where objects were found.

    Of the predicted objects at least half is right; their outlines are off by up to `most_off`. Some
    are missed, some cells are empty or hold a hallucination.
    """
    target = np.zeros((IMAGES, grid[0] * cell, grid[1] * cell), dtype=np.int64)
    pred, found = target.copy(), []
    for image, row, column in np.ndindex(IMAGES, *grid):
        size, index = rng.integers(14, 21, 2), int(rng.integers(1, CLASSES))
        top, left = np.array([row, column]) * cell + rng.integers(4, cell - 24, 2)
        off = rng.integers(-most_off, most_off + 1, 4)
        rows = slice(top + off[0], top + size[0] + off[1])
        columns = slice(left + off[2], left + size[1] + off[3])
        kind = rng.choice(["found", "missed", "hallucinated", "empty"], p=[0.7, 0.1, 0.1, 0.1])
        if kind in ("found", "missed"):
            target[image, top : top + size[0], left : left + size[1]] = index
        if kind in ("found", "hallucinated"):
            pred[image, rows, columns] = index
        if kind == "found":
            found.append((image, rows, columns))
    return target, pred, found


def _scores(target: np.ndarray, pred: np.ndarray) -> dict[str, float]:
    """Return the scores of a split as the product's own observers have them."""
    ids, pred_mask = [str(number) for number in range(len(target))], torch.from_numpy(pred)
    batch = {"mask": torch.from_numpy(target), "sample_id": ids}
    logits = 4.0 * torch.nn.functional.one_hot(pred_mask, CLASSES).movedim(-1, 1)
    metrics = SegmentationMetrics(CLASSES, per_image=True)
    metrics.update(pred_mask, batch["mask"], ids)
    assert metrics.per_image is not None
    scores = metrics.scores(LABELS.class_names, "val")
    scores |= per_image_score_dict(metrics.per_image.gather(), "val")
    for observer in (BoundaryObserver(LABELS), ConfidenceObserver(LABELS)):
        observer.update(batch, logits, pred_mask)
        scores |= observer.scores("val")
    slices = SliceObserver(LABELS)
    slices.update(batch, logits, pred_mask)
    counts = np.sum(slices.counts[SIZES[0]], axis=0)
    return {**scores, "val/small_objects": mean_defined(iou_from_counts(*counts))}


@pytest.mark.parametrize(
    ("grid", "cell", "most_off"),
    [
        # Alone in its image, however badly its outline is drawn.
        ((1, 1), 44, 2),
        # Beside others, its outline within the tolerance of boundaries.
        ((2, 3), 60, 1),
    ],
)
@given(seed=st.integers(0, 10**6))
@settings(max_examples=12, deadline=None)
def test_taking_out_a_found_object_improves_no_score(
    grid: tuple[int, int], cell: int, most_off: int, seed: int
) -> None:
    target, pred, found = _draw(np.random.default_rng(seed), grid, cell, most_off)
    if not found:
        return
    before = _scores(target, pred)
    pred[found[seed % len(found)]] = 0
    after = _scores(target, pred)
    for key in HIGH:
        assert after[f"val/{key}"] <= before[f"val/{key}"] + 1e-12, key
    for key in LOW:
        assert after[f"val/{key}"] >= before[f"val/{key}"] - 1e-12, key
    assert after["val/hd95_missed"] >= before["val/hd95_missed"]


@given(seed=st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_taking_a_class_out_of_any_prediction_never_improves_its_surface_scores(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pred, target = (np.kron(one, np.ones((3, 2), int)) for one in rng.integers(0, 3, (2, 4, 5)))
    before = surface_scores(pred, target, 3)
    for index in set(np.unique(pred)) & set(np.unique(target)):
        left = surface_scores(np.where(pred == index, (index + 1) % 3, pred), target, 3)
        assert left.missed[index]
        assert not left.hd95[index] < before.hd95[index]
        assert not left.surface_dice[index] > before.surface_dice[index]
