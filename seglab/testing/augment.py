"""The contract of an augmentation step: pixels move or change, labels are never made up."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from seglab.testing.contract import Contract

IGNORE = 255
Arrays = tuple[NDArray[np.uint8], NDArray[np.uint8]]


class AugmentContract(Contract):
    """What training asks of a step `step(image, mask, rng) -> (image, mask)` on one sample.

    `build` is supplied with `ignore_index` and returns the step.

    Attributes:
        crop_hw: Height and width of the result; None: those of the sample.
    """

    crop_hw: tuple[int, int] | None = None
    num_draws = 20

    def step(self) -> Callable[..., Arrays]:
        """Return the step under test."""
        made: Callable[..., Arrays] = self.build_with(ignore_index=IGNORE)
        return made

    def draw_sample(self) -> Arrays:
        """Return an image uint8 `(48, 64, 3)` and a mask uint8 `(48, 64)` of 3, 7 and 255."""
        rng = np.random.default_rng(0)
        image = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        mask = np.where(rng.random((48, 64)) < 0.5, 3, 7).astype(np.uint8)
        mask[:, :5] = IGNORE
        return image, mask

    def run(self, seed: int) -> Arrays:
        """Return the sample after a step with this seed."""
        image, mask = self.draw_sample()
        image, mask = self.step()(image, mask, np.random.default_rng(seed))
        return image, mask

    def test_shapes_and_types_stay(self) -> None:
        for seed in range(self.num_draws):
            image, mask = self.run(seed)
            size = self.crop_hw or (48, 64)
            got = (image.dtype, image.shape, mask.dtype, mask.shape)
            wanted = (np.dtype(np.uint8), (*size, 3), np.dtype(np.uint8), size)
            assert got == wanted, f"expected {wanted}, got {got}"

    def test_labels_come_from_the_sample_or_are_ignored(self) -> None:
        for seed in range(self.num_draws):
            made_up = set(np.unique(self.run(seed)[1]).tolist()) - {3, 7, IGNORE}
            assert not made_up, (
                f"expected classes 3, 7 or {IGNORE} (ignored), got {made_up} as well"
            )

    def test_mask_without_labels_stays_so(self) -> None:
        image, mask = self.draw_sample()
        void = np.full_like(mask, IGNORE)
        for seed in range(self.num_draws):
            _, labels = self.step()(image.copy(), void.copy(), np.random.default_rng(seed))
            assert (labels == IGNORE).all(), "expected a mask that is ignored to stay ignored"

    def test_result_follows_from_the_seed_alone(self) -> None:
        image, mask = self.run(5)
        random.seed(1)
        np.random.seed(1)
        again, marks = self.run(5)
        same = np.array_equal(image, again) and np.array_equal(mask, marks)
        assert same, "expected the same result of the same seed: draw from the rng that is given"

    def test_does_something(self) -> None:
        image, mask = self.draw_sample()
        for seed in range(self.num_draws):
            changed, labels = self.run(seed)
            if not (np.array_equal(image, changed) and np.array_equal(mask, labels)):
                return
        raise AssertionError(f"expected a change in one of {self.num_draws} draws, got none")
