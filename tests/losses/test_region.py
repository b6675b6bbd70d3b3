"""Losses of regions against SMP where the meanings meet, and by hand where they do not."""

from __future__ import annotations

import pytest
import torch
from segmentation_models_pytorch import losses as smp

from seglab.core.errors import ConfigError
from seglab.losses import DiceLoss, JaccardLoss, TverskyLoss

NUM_CLASSES = 4
NUM_PRESENT = 3


def make_batch(void: float = 0.2) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(2)
    logits = 2 * torch.randn(3, NUM_CLASSES, 6, 5, generator=rng)
    mask = torch.randint(0, NUM_PRESENT, (3, 6, 5), generator=rng)
    mask[torch.rand(mask.shape, generator=rng) < void] = 255
    return logits, mask


def test_hard_dice_and_jaccard_by_hand() -> None:
    """Logits so large that probabilities are 0 or 1: counts of pixels, as in the metrics."""
    mask = torch.tensor([[[0, 0, 0, 1, 1, 255]]])
    pred_mask = torch.tensor([[[0, 0, 1, 1, 0, 1]]])
    logits = 100 * torch.nn.functional.one_hot(pred_mask, 3).movedim(-1, 1).float()
    assert float(DiceLoss()(logits, mask)) == pytest.approx(1 - (4 / 6 + 2 / 4) / 2)
    assert float(JaccardLoss()(logits, mask)) == pytest.approx(1 - (2 / 4 + 1 / 3) / 2)
    tversky = TverskyLoss(alpha=0.2, beta=0.6)(logits, mask)
    # Class 0: tp 2, fp 1, fn 1; class 1: tp 1, fp 1, fn 1.
    assert float(tversky) == pytest.approx(1 - (2 / 2.8 + 1 / 1.8) / 2)
    weighted = DiceLoss(class_weights=[3.0, 1.0, 5.0])(logits, mask)
    assert float(weighted) == pytest.approx(1 - (3 * 4 / 6 + 2 / 4) / 4)


def test_dice_and_tversky_are_smps_without_its_share_of_absent_classes() -> None:
    """SMP divides by all classes, so with 3 of 4 present its loss cannot exceed 0.75."""
    logits, mask = make_batch()
    scale = NUM_CLASSES / NUM_PRESENT
    theirs = smp.DiceLoss("multiclass", ignore_index=255)(logits, mask)
    torch.testing.assert_close(DiceLoss()(logits, mask), theirs * scale)
    theirs = smp.TverskyLoss("multiclass", ignore_index=255, alpha=0.3, beta=0.7)(logits, mask)
    torch.testing.assert_close(TverskyLoss(alpha=0.3, beta=0.7)(logits, mask), theirs * scale)


def test_jaccard_is_smps_without_void() -> None:
    logits, mask = make_batch(void=0.0)
    theirs = smp.JaccardLoss("multiclass")(logits, mask)
    torch.testing.assert_close(JaccardLoss()(logits, mask), theirs * NUM_CLASSES / NUM_PRESENT)


def test_special_cases_of_tversky() -> None:
    logits, mask = make_batch()
    torch.testing.assert_close(
        TverskyLoss(alpha=0.5, beta=0.5)(logits, mask), DiceLoss()(logits, mask)
    )
    torch.testing.assert_close(
        TverskyLoss(alpha=1, beta=1)(logits, mask), JaccardLoss()(logits, mask)
    )


def test_focal_exponent_acts_on_each_class() -> None:
    mask = torch.tensor([[[0, 0, 1, 1]]])
    pred_mask = torch.tensor([[[0, 0, 1, 2]]])
    logits = 100 * torch.nn.functional.one_hot(pred_mask, 3).movedim(-1, 1).float()
    # Class 0 is perfect, class 1 has tp 1 and fn 1.
    value = TverskyLoss(alpha=0.5, beta=0.5, gamma=2.0)(logits, mask)
    assert float(value) == pytest.approx((1 - 2 / 3) ** 2 / 2)


def test_per_image_is_the_mean_over_pairs_of_image_and_class() -> None:
    logits, mask = make_batch()
    mask[0, mask[0] == 1] = 0
    singles, pairs = [], []
    for index in range(len(mask)):
        one = slice(index, index + 1)
        singles.append(float(DiceLoss()(logits[one], mask[one])))
        pairs.append(len({int(v) for v in mask[one].unique()} - {255}))
    expected = sum(v * n for v, n in zip(singles, pairs, strict=True)) / sum(pairs)
    assert pairs == [2, 3, 3]
    assert float(DiceLoss(per_image=True)(logits, mask)) == pytest.approx(expected)


def test_absent_classes_count_when_asked_for() -> None:
    logits, mask = make_batch(void=0.0)
    every = DiceLoss(present_only=False, smooth=1.0)(logits, mask)
    probs = logits.softmax(1)
    scores = []
    for index in range(NUM_CLASSES):
        target = (mask == index).float()
        both = float((probs[:, index] * target).sum())
        scores.append((2 * both + 2) / (float(probs[:, index].sum() + target.sum()) + 2))
    assert float(every) == pytest.approx(1 - sum(scores) / NUM_CLASSES, rel=1e-5)


def test_false_positives_of_an_absent_class_cost() -> None:
    mask = torch.zeros(1, 1, 4, dtype=torch.int64)
    logits = torch.zeros(1, 3, 1, 4)
    logits[:, 0] = 10
    stray = logits.clone()
    stray[0, 2, 0, 0] = 20
    assert float(DiceLoss()(stray, mask)) > float(DiceLoss()(logits, mask)) + 0.1


def test_all_mistakes_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        TverskyLoss(alpha=-1, beta=-2, gamma=0, smooth=-3)
    assert caught.value.problems == [
        "TverskyLoss.smooth: expected a number (0 or more), got -3",
        "TverskyLoss.alpha: expected a number (0 or more), got -1",
        "TverskyLoss.beta: expected a number (0 or more), got -2",
        "TverskyLoss.gamma: expected a number (more than 0), got 0",
    ]
    with pytest.raises(ConfigError, match=r"DiceLoss\.smooth: expected a number"):
        DiceLoss(smooth=-1)
