"""Boundary loss: distances by brute force over all pairs of pixels, then the mean by hand."""

from __future__ import annotations

import math

import pytest
import torch

from seglab.losses import BoundaryLoss, LossInputs
from seglab.losses.boundary import signed_distances

NUM_CLASSES = 4


def brute_force(mask: torch.Tensor, index: int) -> torch.Tensor:
    height, width = mask.shape
    places = [(r, c, int(mask[r, c])) for r in range(height) for c in range(width)]
    out = torch.zeros(height, width)
    present = {value for *_, value in places} - {255}
    if index not in present or len(present) < 2:
        return out
    for row, column, value in places:
        if value == 255:
            continue
        others = [
            math.dist((row, column), (r, c))
            for r, c, v in places
            if v != 255 and (v == index) != (value == index)
        ]
        out[row, column] = -(min(others) - 1) if value == index else min(others)
    return out


def test_signed_distances_by_brute_force() -> None:
    rng = torch.Generator().manual_seed(4)
    mask = torch.randint(0, 3, (2, 3, 4), generator=rng).repeat_interleave(3, 1)
    mask = mask.repeat_interleave(2, 2)
    mask[torch.rand(mask.shape, generator=rng) < 0.2] = 255
    distances = signed_distances(LossInputs(torch.zeros(2, NUM_CLASSES, 9, 8), mask))
    for image in range(2):
        for index in range(NUM_CLASSES):
            expected = brute_force(mask[image], index)
            torch.testing.assert_close(distances[image, index], expected)


def test_row_of_pixels_by_hand() -> None:
    mask = torch.tensor([[[0, 0, 0, 1, 1, 255]]])
    pixels = LossInputs(torch.zeros(1, 2, 1, 6), mask)
    assert signed_distances(pixels)[0, :, 0].tolist() == [[-2, -1, 0, 1, 2, 0], [3, 2, 1, 0, -1, 0]]
    # Probability 1/2 everywhere; five valid pixels; the mean of two classes.
    assert float(BoundaryLoss()(torch.zeros(1, 2, 1, 6), mask)) == pytest.approx(
        0.5 * (0 + 5) / 5 / 2
    )
    weighted = BoundaryLoss(class_weights=[1.0, 3.0])(torch.zeros(1, 2, 1, 6), mask)
    assert float(weighted) == pytest.approx(0.5 * (0 * 0.25 + 5 * 0.75) / 5)


def test_edge_of_void_is_no_outline() -> None:
    mask = torch.tensor([[[0, 0, 255, 255]]])
    assert not signed_distances(LossInputs(torch.zeros(1, 2, 1, 4), mask)).any()


def test_mistake_far_from_the_outline_costs_more() -> None:
    mask = torch.zeros(1, 1, 9, dtype=torch.int64)
    mask[..., 0] = 1
    right = 20 * torch.nn.functional.one_hot(mask, 2).movedim(-1, 1).float()
    losses = []
    for place in (1, 4, 8):
        logits = right.clone()
        logits[0, :, 0, place] = logits[0, :, 0, place].flip(0)
        losses.append(float(BoundaryLoss()(logits, mask)))
    assert losses == sorted(losses)
    assert losses[0] < losses[1] < losses[2]
