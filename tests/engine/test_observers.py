"""Temperatures are fitted on other images than those they are judged on."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from seglab.core.labels import LabelSpace
from seglab.engine.step.evaluation import Evaluation, Evaluator
from seglab.engine.step.observers import (
    BoundaryObserver,
    ConfidenceObserver,
    Part,
    SliceObserver,
    cross_calibrated_ece,
)
from seglab.losses import CrossEntropyLoss, DiceLoss, WeightedSum
from seglab.metrics.confidence.calibration import CalibrationCounts


def overconfident(seed: int, factor: float = 8.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits whose true temperature is `factor`."""
    draws = torch.Generator().manual_seed(seed)
    logits = torch.randn(4000, 3, generator=draws)
    targets = torch.multinomial(logits.softmax(1), 1, generator=draws)[:, 0]
    return logits * factor, targets


def test_scaling_by_other_folds_mends_overconfidence() -> None:
    parts = [Part(overconfident(number), (0, number)) for number in range(3)]
    raw = CalibrationCounts(3, ignore_index=-1)
    for (logits, targets), _ in parts:
        raw.update(logits.softmax(1).T[None, :, :, None], targets[None, :, None])
    assert raw.ece() > 0.2
    assert cross_calibrated_ece(parts, 3) < 0.03


def test_what_shares_images_is_never_fitted_on() -> None:
    """Inner folds of one outer fold, and repeats, hold out the same images."""
    same_outer = [Part(overconfident(0), (0, 0)), Part(overconfident(1), (0, 0))]
    assert math.isnan(cross_calibrated_ece(same_outer, 3))
    repeats = [Part(overconfident(0), (0, 0)), Part(overconfident(1), (1, 1))]
    assert math.isnan(cross_calibrated_ece(repeats, 3))


def test_nothing_labelled_gives_nan_and_no_error() -> None:
    labels = LabelSpace(("road", "car"), ((0, 0, 0), (255, 0, 0)))
    observer = ConfidenceObserver(labels)
    batch = {"sample_id": ["a"], "mask": torch.full((1, 4, 4), 255)}
    observer.update(batch, torch.randn(1, 2, 4, 4), torch.zeros(1, 4, 4, dtype=torch.uint8))
    scores = observer.scores("val")
    assert math.isnan(scores["val/temperature"])
    assert math.isnan(scores["val/ece_calibrated"])


@pytest.mark.parametrize("name", ["boundary band", "interior"])
def test_slice_counts_by_hand(name: str) -> None:
    labels = LabelSpace(("road", "car"), ((0, 0, 0), (255, 0, 0)))
    observer = SliceObserver(labels)
    mask = torch.zeros(1, 8, 8, dtype=torch.int64)
    mask[:, :, 4:] = 1
    pred = torch.zeros(1, 8, 8, dtype=torch.uint8)
    pred[:, :, 5:] = 1  # one column beside the edge is wrong
    observer.update({"sample_id": ["a"], "mask": mask}, torch.zeros(1, 2, 8, 8), pred)
    tp, fp, fn = observer.counts[name][0]
    # The band is one pixel on both sides: columns 3 and 4.
    expected = {"boundary band": ([8, 0], [8, 0], [0, 8]), "interior": ([24, 24], [0, 0], [0, 0])}
    assert (tp.tolist(), fp.tolist(), fn.tolist()) == expected[name]


@pytest.mark.parametrize("num_classes", [3, 255])
def test_masks_as_stored_give_what_masks_of_int64_give(num_classes: int) -> None:
    """A step casts no mask: losses, their weights and all scores are the same to the bit."""
    labels = LabelSpace(tuple(f"c{number}" for number in range(num_classes)))
    rng = torch.Generator().manual_seed(0)
    mask = torch.randint(num_classes, (2, 12, 10), generator=rng, dtype=torch.uint8)
    mask[:, :2] = 255
    logits = torch.randn(2, num_classes, 12, 10, generator=rng)
    loss = WeightedSum({"ce": CrossEntropyLoss(), "dice": DiceLoss()}, {"ce": 1.0, "dice": 0.5})
    found = []
    for stored in (mask, mask.long()):
        batch = {"image": logits, "mask": stored, "sample_id": ["a", "b"]}
        boundary, confidence, slices = (
            BoundaryObserver(labels),
            ConfidenceObserver(labels),
            SliceObserver(labels),
        )
        seen = (boundary, confidence, slices)
        evaluation = Evaluation(observers=seen, predictor=lambda image, size: image)
        evaluator = Evaluator(labels, loss.num_terms, evaluation)
        evaluator.update(None, loss, batch)  # type: ignore[arg-type]
        result = evaluator.compute()
        counts = {name: np.stack(rows).tolist() for name, rows in slices.counts.items()}
        scores = result.scores | boundary.scores("val") | confidence.scores("val")
        found.append((str(scores), result.confusion.tolist(), counts))
    assert found[0] == found[1]
