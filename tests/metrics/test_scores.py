"""Scores: hand-computed values, references, and the traps in which public libraries differ."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import jaccard_score
from torchmetrics.classification import MulticlassJaccardIndex

from seglab.core.errors import ShapeError
from seglab.metrics import scores
from seglab.metrics.confusion import confusion_matrices

confusions = hnp.arrays(np.int64, (3, 3), elements=st.integers(0, 50))


def counts_of(matrices: np.ndarray) -> SimpleNamespace:
    tp, fp, fn = scores.class_counts(matrices)
    return SimpleNamespace(tp=tp, fp=fp, fn=fn)


@pytest.fixture
def two_image_case() -> tuple[torch.Tensor, torch.Tensor]:
    """A 50-pixel object found, a 1-pixel object missed, class 2 never present."""
    mask = torch.zeros(2, 10, 10, dtype=torch.int64)
    mask[0, :5] = 1
    mask[1, 0, 0] = 1
    pred_mask = mask.clone()
    pred_mask[1, 0, 0] = 0
    return pred_mask, mask


def test_two_by_two_by_hand() -> None:
    confusion = np.array([[3, 1], [2, 4]])
    assert scores.iou_per_class(confusion) == pytest.approx([3 / 6, 4 / 7])
    assert scores.dice_per_class(confusion) == pytest.approx([6 / 9, 8 / 11])
    assert scores.recall_per_class(confusion) == pytest.approx([3 / 4, 4 / 6])
    assert scores.precision_per_class(confusion) == pytest.approx([3 / 5, 4 / 5])
    assert scores.pixel_accuracy(confusion) == pytest.approx(7 / 10)
    assert scores.class_accuracy(confusion) == pytest.approx((3 / 4 + 4 / 6) / 2)
    assert scores.frequency_weighted_iou(confusion) == pytest.approx(0.4 * 3 / 6 + 0.6 * 4 / 7)


def test_three_by_three_with_absent_class_by_hand() -> None:
    confusion = [[5, 0, 0], [1, 2, 0], [0, 0, 0]]
    assert scores.iou_per_class(confusion) == pytest.approx([5 / 6, 2 / 3, np.nan], nan_ok=True)
    assert scores.miou(confusion) == pytest.approx((5 / 6 + 2 / 3) / 2)
    assert scores.num_classes_averaged(confusion) == 2


def test_two_image_case_is_0_987(two_image_case: tuple[torch.Tensor, torch.Tensor]) -> None:
    pred_mask, mask = two_image_case
    confusion = confusion_matrices(pred_mask, mask, num_classes=3).sum(0)
    assert scores.miou(confusion) == pytest.approx((149 / 150 + 50 / 51) / 2)
    assert scores.miou(confusion) == pytest.approx(0.987, abs=5e-4)
    assert scores.num_classes_averaged(confusion) == 2
    jaccard = MulticlassJaccardIndex(3, average="macro", ignore_index=255)
    assert scores.miou(confusion) == pytest.approx(float(jaccard(pred_mask, mask)), abs=1e-6)


def test_per_image_score_of_the_two_image_case(
    two_image_case: tuple[torch.Tensor, torch.Tensor],
) -> None:
    pred_mask, mask = two_image_case
    matrices = confusion_matrices(pred_mask, mask, num_classes=3).numpy()
    iou, dice = scores.per_image_scores(counts_of(matrices))
    # Averaged over the classes of each image, so class 2 is in neither mean.
    assert iou == pytest.approx([1.0, (99 / 100 + 0) / 2])
    assert dice == pytest.approx([1.0, (198 / 199 + 0) / 2])


def test_failed_class_is_zero_where_absent_class_is_nan() -> None:
    """torchmetrics' Jaccard(average=None) and MeanIoU cannot tell the two apart."""
    confusion = [[4, 0, 0], [3, 0, 0], [0, 0, 0]]
    iou = scores.iou_per_class(confusion)
    assert iou[1] == 0.0
    assert np.isnan(iou[2])
    predicted_only = [[4, 0, 1], [0, 3, 0], [0, 0, 0]]
    assert scores.iou_per_class(predicted_only)[2] == 0.0
    assert scores.num_classes_averaged(predicted_only) == 3


def test_pixel_accuracy_counts_no_true_negatives() -> None:
    """SMP's micro accuracy gives 0.8 here, for it also counts true negatives."""
    confusion = np.array([[7, 3, 0], [0, 0, 0], [0, 0, 0]])
    assert scores.pixel_accuracy(confusion) == pytest.approx(0.7)


def test_class_accuracy_leaves_out_classes_without_target() -> None:
    """A recall that divides by the ignored or absent class (torchmetrics 2441) would give 1/3."""
    assert scores.class_accuracy([[2, 0, 0], [0, 0, 0], [0, 0, 0]]) == 1.0


def test_mean_of_batches_is_not_the_score_of_the_split() -> None:
    first, second = np.array([[1, 0], [1, 0]]), np.array([[10, 0], [0, 10]])
    split = scores.miou(first + second)
    assert split == pytest.approx((11 / 12 + 10 / 11) / 2)
    assert (scores.miou(first) + scores.miou(second)) / 2 == pytest.approx(0.625)


def test_nothing_valid_is_nan_everywhere() -> None:
    confusion = np.zeros((3, 3), dtype=np.int64)
    result = scores.score_dict(confusion, ["a", "b", "c"], "val")
    assert result.pop("val/num_classes_averaged") == result.pop("val/num_classes_present") == 0
    assert all(np.isnan(value) for value in result.values())


def test_score_dict_has_exactly_the_promised_keys() -> None:
    result = scores.score_dict([[1, 0], [0, 1]], ["road", "wall/fence"], "test")
    assert list(result) == [
        "test/miou",
        "test/miou_present",
        "test/dice",
        "test/pixel_acc",
        "test/class_acc",
        "test/fwiou",
        "test/num_classes_averaged",
        "test/num_classes_present",
        "test/iou/road",
        "test/iou/wall_fence",
        "test/dice/road",
        "test/dice/wall_fence",
    ]
    assert set(result.values()) == {1.0, 2}
    assert all(isinstance(value, float | int) for value in result.values())


@settings(max_examples=60, deadline=None)
@given(confusions)
def test_iou_in_range_and_dice_is_its_function(confusion: np.ndarray) -> None:
    iou, dice = scores.iou_per_class(confusion), scores.dice_per_class(confusion)
    defined = ~np.isnan(iou)
    assert ((iou[defined] >= 0) & (iou[defined] <= 1)).all()
    np.testing.assert_allclose(dice, 2 * iou / (1 + iou), rtol=1e-12)
    assert np.array_equal(defined, (confusion.sum(0) + confusion.sum(1)) > 0)


@settings(max_examples=60, deadline=None)
@given(confusions, st.permutations(range(3)))
def test_class_order_permutes_scores_and_keeps_means(
    confusion: np.ndarray, order: list[int]
) -> None:
    permuted = confusion[np.ix_(order, order)]
    np.testing.assert_array_equal(
        scores.iou_per_class(permuted), scores.iou_per_class(confusion)[order]
    )
    for score in (
        scores.miou,
        scores.mean_dice,
        scores.class_accuracy,
        scores.pixel_accuracy,
        scores.frequency_weighted_iou,
    ):
        np.testing.assert_allclose(score(permuted), score(confusion), rtol=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    hnp.arrays(np.int64, 30, elements=st.sampled_from([0, 1, 2, 3, 255])),
    hnp.arrays(np.int64, 30, elements=st.integers(0, 3)),
)
def test_equals_sklearn_and_torchmetrics(target: np.ndarray, prediction: np.ndarray) -> None:
    valid = target != 255
    if not valid.any():
        return
    mask, pred_mask = torch.from_numpy(target)[None, None], torch.from_numpy(prediction)[None, None]
    confusion = confusion_matrices(pred_mask, mask, num_classes=4).sum(0)
    present = sorted(set(target[valid]) | set(prediction[valid]))
    reference = jaccard_score(
        target[valid], prediction[valid], labels=present, average=None, zero_division=0
    )
    np.testing.assert_allclose(scores.iou_per_class(confusion)[present], reference, rtol=1e-12)
    jaccard = MulticlassJaccardIndex(4, average="macro", ignore_index=255)
    assert scores.miou(confusion) == pytest.approx(float(jaccard(pred_mask, mask)), abs=1e-6)


def test_leading_dimensions_broadcast() -> None:
    matrices = np.array([[[3, 1], [2, 4]], [[5, 0], [0, 0]]])
    iou = scores.iou_per_class(matrices)
    assert iou.shape == (2, 2)
    np.testing.assert_array_equal(iou[1], scores.iou_per_class(matrices[1]))


def test_large_counts_do_not_overflow_or_lose_digits() -> None:
    pixels = 1 << 60
    assert scores.iou_per_class([[pixels, 0], [pixels, pixels]]) == pytest.approx([0.5, 0.5])
    one_in_many = scores.precision_per_class([[(1 << 31) * 4, 0], [1, 0]])
    assert 0 < 1 - one_in_many[0] < 1e-9


def test_per_image_means_leave_out_images_without_valid_pixels() -> None:
    matrices = np.array([[[4, 0], [0, 4]], [[0, 0], [0, 0]], [[1, 0], [1, 0]]])
    result = scores.per_image_score_dict(counts_of(matrices), "val")
    assert result == {
        "val/miou_per_image": pytest.approx((1.0 + 0.25) / 2),
        "val/dice_per_image": pytest.approx((1.0 + 1 / 3) / 2),
        "val/num_images_averaged": 2,
    }


@pytest.mark.parametrize(
    ("confusion", "message"),
    [
        ([[1, 2, 3], [4, 5, 6]], r"got shape \(2, 3\)"),
        ([[0.5, 1], [1, 1]], "integer counts, got dtype float64"),
        ([[-1, 0], [0, 1]], "counts >= 0, got -1"),
    ],
)
def test_what_is_no_confusion_matrix_is_refused(confusion: list, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        scores.miou(confusion)


def test_score_dict_refuses_another_number_of_names() -> None:
    with pytest.raises(ShapeError, match=r"shape \(3, 3\) for 3 class names, got \(2, 2\)"):
        scores.score_dict([[1, 0], [0, 1]], ["a", "b", "c"], "val")


class TestMeanOverClassesPresent:
    """Stray predictions of a class that the target lacks change `miou`, and hardly `miou_present`."""

    lacking = np.array([[90, 10, 0, 0], [5, 45, 0, 0], [0, 0, 50, 0], [0, 0, 0, 0]])

    def test_one_stray_pixel(self) -> None:
        iou = [90 / 105, 45 / 60, 1.0]
        stray = self.lacking.copy()
        stray[2, 2:] = 49, 1
        assert scores.miou(self.lacking) == pytest.approx(np.mean(iou))
        assert scores.miou(stray) == pytest.approx(np.mean([*iou[:2], 0.98, 0.0]))
        assert scores.miou_present(self.lacking) == pytest.approx(np.mean(iou))
        assert scores.miou_present(stray) == pytest.approx(np.mean([*iou[:2], 0.98]))
        counts = scores.num_classes_averaged, scores.num_classes_present
        assert [count(self.lacking) for count in counts] == [3, 3]
        assert [count(stray) for count in counts] == [4, 3]

    @given(confusions)
    def test_it_is_miou_of_the_classes_in_the_target(self, confusion: np.ndarray) -> None:
        present = confusion.sum(1) > 0
        expected = scores.iou_per_class(confusion)[present]
        assert np.isfinite(expected).all()
        found = scores.miou_present(confusion)
        assert found == pytest.approx(expected.mean()) if present.any() else np.isnan(found)
        if present.all():
            assert found == scores.miou(confusion)
