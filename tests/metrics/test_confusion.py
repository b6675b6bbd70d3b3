"""Counting pairs: hand-computed cells, independent references, and values that fit nowhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import confusion_matrix

from seglab.core.errors import LabelError, ShapeError
from seglab.metrics.confusion import _count_scattered, confusion_matrices, count_pairs

IGNORE = 255


@st.composite
def mask_pairs(draw: st.DrawFn, num_classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6)))
    target = draw(
        hnp.arrays(np.uint8, shape, elements=st.sampled_from([*range(num_classes), IGNORE]))
    )
    prediction = draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, num_classes - 1)))
    return prediction, target


def test_hand_computed_cells_per_image() -> None:
    mask = torch.tensor([[[0, 0, 1], [1, 2, IGNORE]], [[2, 2, 2], [2, 0, 0]]])
    pred_mask = torch.tensor([[[0, 1, 1], [1, 0, 2]], [[2, 2, 2], [1, 0, 0]]])
    matrices = confusion_matrices(pred_mask, mask, num_classes=3)
    assert matrices.dtype == torch.int64
    assert matrices.tolist() == [
        [[1, 1, 0], [0, 2, 0], [1, 0, 0]],
        [[2, 0, 0], [0, 0, 0], [0, 1, 3]],
    ]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_every_integer_dtype_counts_alike(dtype: torch.dtype) -> None:
    mask = torch.tensor([[[0, 1, 2, 100]]]).to(dtype)
    pred_mask = torch.tensor([[[0, 2, 2, 1]]]).to(dtype)
    matrices = confusion_matrices(pred_mask, mask, num_classes=3, ignore_index=100)
    assert matrices.tolist() == [[[1, 0, 0], [0, 0, 1], [0, 0, 1]]]


@settings(max_examples=60, deadline=None)
@given(mask_pairs())
def test_equals_sklearn_on_valid_pixels(pair: tuple[np.ndarray, np.ndarray]) -> None:
    prediction, target = pair
    ours = confusion_matrices(torch.from_numpy(prediction), torch.from_numpy(target), 4).sum(0)
    valid = target != IGNORE
    theirs = np.zeros((4, 4), dtype=np.int64)
    if valid.any():
        theirs = confusion_matrix(target[valid], prediction[valid], labels=list(range(4)))
    assert np.array_equal(ours.numpy(), theirs)


@settings(max_examples=60, deadline=None)
@given(mask_pairs())
def test_device_path_counts_the_same(pair: tuple[np.ndarray, np.ndarray]) -> None:
    prediction, target = (torch.from_numpy(array) for array in pair)
    matrices, invalid = _count_scattered(prediction, target, 4, IGNORE)
    assert torch.equal(matrices, count_pairs(prediction, target, 4)[0])
    assert int(invalid) == 0


@settings(max_examples=40, deadline=None)
@given(mask_pairs(), st.integers(0, 3))
def test_ignored_pixels_never_matter(pair: tuple[np.ndarray, np.ndarray], value: int) -> None:
    prediction, target = pair
    changed = np.where(target == IGNORE, np.uint8(value), prediction)
    before = confusion_matrices(torch.from_numpy(prediction), torch.from_numpy(target), 4)
    after = confusion_matrices(torch.from_numpy(changed), torch.from_numpy(target), 4)
    assert torch.equal(before, after)


@settings(max_examples=40, deadline=None)
@given(mask_pairs(), st.permutations(range(4)))
def test_relabelling_classes_permutes_the_matrix(
    pair: tuple[np.ndarray, np.ndarray], order: list[int]
) -> None:
    prediction, target = pair
    table = np.arange(256, dtype=np.uint8)
    table[:4] = order
    before = confusion_matrices(torch.from_numpy(prediction), torch.from_numpy(target), 4)
    after = confusion_matrices(
        torch.from_numpy(table[prediction]), torch.from_numpy(table[target]), 4
    )
    assert torch.equal(after[:, order][:, :, order], before)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
@pytest.mark.parametrize(
    ("prediction", "target"),
    [([0, 3], [0, 1]), ([0, 1], [0, 3]), ([0, 1], [254, 1]), ([0, 7], [0, IGNORE])],
    ids=["prediction", "target", "unknown target", "prediction at an ignored pixel"],
)
def test_value_outside_classes_raises(
    prediction: list[int], target: list[int], dtype: torch.dtype
) -> None:
    pred_mask = torch.tensor([[prediction]], dtype=dtype)
    mask = torch.tensor([[target]], dtype=dtype)
    with pytest.raises(LabelError, match=r"1 pixels hold values .* 0\.\.2 .* ignore_index 255"):
        confusion_matrices(pred_mask, mask, num_classes=3)
    # The device path counts them instead, and none of them lands in a cell.
    matrices, invalid = _count_scattered(pred_mask, mask, 3, IGNORE)
    assert int(invalid) == 1
    assert int(matrices.sum()) == 2 - 1 - int(IGNORE in target and prediction[1] < 3)


@pytest.mark.parametrize("value", [-1, 256, 1 << 40])
def test_value_outside_a_byte_raises(value: int) -> None:
    good = torch.zeros(1, 1, 2, dtype=torch.int64)
    bad = torch.tensor([[[0, value]]])
    with pytest.raises(LabelError, match=r"values in 0\.\.255"):
        confusion_matrices(good, bad, num_classes=3)
    with pytest.raises(LabelError, match=r"pred_mask values in 0\.\.255"):
        confusion_matrices(bad, good, num_classes=3)


def test_negative_ignore_index_takes_the_general_path() -> None:
    mask = torch.tensor([[[0, -100, 1]]])
    pred_mask = torch.tensor([[[0, 0, 0]]])
    assert confusion_matrices(pred_mask, mask, 2, ignore_index=-100).tolist() == [[[1, 0], [1, 0]]]
    with pytest.raises(LabelError, match="1 pixels"):
        confusion_matrices(pred_mask, mask, 2, ignore_index=-1)


@pytest.mark.parametrize("num_classes", [2, 128, 255, 300])
def test_number_of_classes_up_to_and_beyond_a_byte(num_classes: int) -> None:
    ignore_index = 255 if num_classes < 256 else 1000
    last = num_classes - 1
    mask = torch.tensor([[[0, last, last, ignore_index]]])
    pred_mask = torch.tensor([[[last, last, 0, 0]]])
    matrix = confusion_matrices(pred_mask, mask, num_classes, ignore_index)[0]
    assert matrix[0, last] == matrix[last, last] == matrix[last, 0] == 1
    assert int(matrix.sum()) == 3


def test_all_ignored_is_all_zero() -> None:
    mask = torch.full((2, 3, 4), IGNORE)
    matrices = confusion_matrices(torch.zeros(2, 3, 4, dtype=torch.int64), mask, 3)
    assert matrices.shape == (2, 3, 3)
    assert int(matrices.sum()) == 0


def test_strided_masks() -> None:
    mask = torch.tensor([[[0, 1], [1, 0], [1, 1]]]).transpose(1, 2)
    assert confusion_matrices(mask, mask, 2).tolist() == [[[2, 0], [0, 4]]]


def test_wrong_shapes_and_dtypes_say_what_came() -> None:
    mask = torch.zeros(1, 2, 2, dtype=torch.int64)
    with pytest.raises(ShapeError, match=r"\(1, 3, 2, 2\) and \(1, 2, 2\)"):
        confusion_matrices(torch.zeros(1, 3, 2, 2, dtype=torch.int64), mask, 3)
    with pytest.raises(ShapeError, match=r"pred_mask of an integer dtype, got torch\.float32"):
        confusion_matrices(mask.float(), mask, 3)
    with pytest.raises(LabelError, match=r"ignore_index outside 0\.\.2"):
        confusion_matrices(mask, mask, 3, ignore_index=2)
