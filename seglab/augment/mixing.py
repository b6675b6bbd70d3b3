"""Mixing the samples of a batch: CutMix, ClassMix, mosaic and copy-paste of rare classes.

All four are one operation, choosing where a pixel comes from, under one rule: image and label
always come together from the same pixel of one sample of the batch, and void pixels are never
pasted. So no label appears that was not there, and nothing that augmentation invented spreads to
another sample.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seglab.augment.options import MixingSpec
from seglab.core.errors import ShapeError
from seglab.core.labels import DEFAULT_IGNORE_INDEX

Draws = NDArray[np.float64]
# Image (C, h, w) and mask (h, w) that belong together.
_Pair = tuple[Tensor, Tensor]


class BatchMixer:
    """Mix the samples of a batch, each with at most one of the four methods.

    Decisions are drawn in NumPy and depend on the batch size only; what they need to know of the
    masks (which classes a sample shows) stays on the device, so a training step never waits for it.

    Args:
        spec: Probabilities.
        ignore_index: Void value of the masks.
        num_classes: Number of classes.
        class_frequency: Share of pixels of each class in the training fold, `(num_classes,)`; used
            by copy-paste to prefer rare classes. None counts the pixels of each batch instead.

    Raises:
        ShapeError: `ignore_index` is a class, or `class_frequency` has another length or is
            negative.
    """

    def __init__(
        self,
        spec: MixingSpec,
        ignore_index: int = DEFAULT_IGNORE_INDEX,
        num_classes: int = 2,
        class_frequency: Sequence[float] | None = None,
    ) -> None:
        if 0 <= ignore_index < num_classes:
            raise ShapeError(f"ignore_index {ignore_index} is one of the {num_classes} classes")
        if class_frequency is not None and (
            len(class_frequency) != num_classes or min(class_frequency) < 0
        ):
            raise ShapeError(
                f"expected {num_classes} class frequencies >= 0, got {list(class_frequency)}"
            )
        self.spec = spec
        self.ignore_index = ignore_index
        self.num_classes = num_classes
        self.class_frequency = None if class_frequency is None else tuple(class_frequency)

    @torch.no_grad()
    def __call__(
        self, images: Tensor, masks: Tensor, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Mix a batch.

        Args:
            images: `(B, C, H, W)`, any dtype and device; not changed.
            masks: Integers `(B, H, W)`, class indices or `ignore_index`; not changed.
            rng: Source of all randomness.

        Returns:
            Images and masks of the same shapes and dtypes. The very tensors that came where nothing
            was mixed, which is always so for a batch of one.

        Raises:
            ShapeError: The shapes do not belong together.
        """
        same = images.ndim == 4 and masks.shape == (images.shape[0], *images.shape[2:])
        if not same or masks.is_floating_point():
            raise ShapeError(
                f"expected images (B, C, H, W) and integer masks (B, H, W), got "
                f"{tuple(images.shape)} and {masks.dtype} {tuple(masks.shape)}"
            )
        if images.dtype == torch.uint16:
            # Pixels are only moved, which torch does for any 16 bits but not for unsigned ones.
            mixed_bits, mixed_masks = self(images.view(torch.int16), masks, rng)
            return mixed_bits.view(torch.uint16), mixed_masks
        plan = _draw_plan(self.spec, images.shape[0], self.num_classes, rng)
        if not any(plan.methods):
            return images, masks
        chosen = self._choose_classes(plan, masks)
        mixed = images.clone(), masks.clone()
        for index, method in enumerate(plan.methods):
            target = mixed[0][index], mixed[1][index]
            sources = [(images[other], masks[other]) for other in plan.partners[index]]
            if method == "cutmix":
                self._paste_box(target, sources[0], plan.draws[index])
            elif method == "mosaic":
                self._paste_tiles(target, sources, plan.draws[index])
            elif method:
                flip = method == "copy_paste" and plan.draws[index][0] < 0.5
                self._paste_classes(target, sources[0], chosen[index], flip)
        return mixed

    def _choose_classes(self, plan: _Plan, masks: Tensor) -> Tensor:
        """Return bool `(B, num_classes + 1)`: what to paste of each partner; void comes last."""
        device = masks.device
        count = torch.stack(
            [(masks == index).flatten(1).sum(dim=1) for index in range(self.num_classes)], dim=1
        )
        # None is made on the device itself: that would wait for the copy.
        partners = torch.tensor([row[0] for row in plan.partners]).to(device, non_blocking=True)
        present = count[partners] > 0
        scores = torch.from_numpy(plan.scores).to(device, non_blocking=True)
        # ClassMix: the lower half of the scores among the classes present, rounded down.
        ranks = scores.masked_fill(~present, torch.inf).argsort(dim=1).argsort(dim=1)
        half = ranks < present.sum(dim=1, keepdim=True) // 2
        # Copy-paste: one class with probability proportional to 1 / frequency (Gumbel-max trick).
        if self.class_frequency is None:
            frequency = count.sum(dim=0).float()
        else:
            frequency = torch.tensor(self.class_frequency).to(device, non_blocking=True)
        gumbel = -torch.log(-torch.log(scores.clamp(1e-6, 1 - 1e-6)))
        rarity = (gumbel - torch.log(frequency.clamp(min=1e-9))).masked_fill(~present, -torch.inf)
        one = torch.zeros_like(present).scatter(1, rarity.argmax(dim=1, keepdim=True), True)
        single = torch.tensor([m == "copy_paste" for m in plan.methods])
        single = single.to(device, non_blocking=True)[:, None]
        chosen = torch.where(single, one, half) & present
        return torch.cat([chosen, torch.zeros_like(chosen[:, :1])], dim=1)

    def _paste(self, target: _Pair, source: _Pair, region: Tensor | None = None) -> None:
        """Overwrite `target` (views of the result) by the valid pixels of `source` in `region`."""
        use = source[1] != self.ignore_index
        if region is not None:
            use = use & region
        target[0].copy_(torch.where(use, source[0], target[0]))
        target[1].copy_(torch.where(use, source[1], target[1]))

    def _paste_classes(self, target: _Pair, source: _Pair, chosen: Tensor, flip: bool) -> None:
        # Void above the classes meets the last entry, which is never chosen; _paste drops the rest.
        region = chosen[source[1].long().clamp(0, self.num_classes)]
        if flip:
            source, region = (source[0].flip(-1), source[1].flip(-1)), region.flip(-1)
        self._paste(target, source, region)

    def _paste_box(self, target: _Pair, source: _Pair, draws: Draws) -> None:
        """CutMix: lambda ~ Beta(1, 1), a box of area 1 - lambda around a random centre, clipped."""
        height, width = target[1].shape
        side = math.sqrt(1.0 - draws[0])
        middle_y, middle_x = draws[1] * height, draws[2] * width
        rows = slice(
            max(0, round(middle_y - side * height / 2)),
            min(height, round(middle_y + side * height / 2)),
        )
        columns = slice(
            max(0, round(middle_x - side * width / 2)),
            min(width, round(middle_x + side * width / 2)),
        )
        self._paste(_cut(target, rows, columns), _cut(source, rows, columns))

    def _paste_tiles(self, target: _Pair, sources: Sequence[_Pair], draws: Draws) -> None:
        """Mosaic: four quarters around a point.

        The target keeps one, the others show windows of the partners from random places, unscaled.
        """
        height, width = target[1].shape
        y = round(height * (0.25 + 0.5 * draws[0]))
        x = round(width * (0.25 + 0.5 * draws[1]))
        quarters = [
            (rows, columns)
            for rows in (slice(0, y), slice(y, height))
            for columns in (slice(0, x), slice(x, width))
        ]
        del quarters[int(draws[2] * 4)]
        for number, ((rows, columns), source) in enumerate(zip(quarters, sources, strict=True)):
            tall, wide = rows.stop - rows.start, columns.stop - columns.start
            top = int(draws[3 + 2 * number] * (height - tall + 1))
            left = int(draws[4 + 2 * number] * (width - wide + 1))
            window = _cut(source, slice(top, top + tall), slice(left, left + wide))
            self._paste(_cut(target, rows, columns), window)


@dataclass(frozen=True)
class _Plan:
    """All decisions that do not depend on what the masks show.

    Attributes:
        methods: Name of the method of each sample, empty for none.
        partners: Three other samples for each, possibly repeated.
        draws: Uniform values in 0..1, `(B, 9)`, for boxes, windows and flips.
        scores: Uniform values in 0..1, float32 `(B, num_classes)`, to choose classes by.
    """

    methods: list[str]
    partners: list[list[int]]
    draws: Draws
    scores: NDArray[np.float32]


def _draw_plan(
    spec: MixingSpec, batch_size: int, num_classes: int, rng: np.random.Generator
) -> _Plan:
    shares = [spec.cutmix, spec.classmix, spec.mosaic, spec.copy_paste]
    names = ["cutmix", "classmix", "mosaic", "copy_paste", ""]
    choice = np.searchsorted(np.cumsum(shares), rng.random(batch_size), side="right")
    steps = rng.integers(0, max(1, batch_size - 1), size=(batch_size, 3))
    partners = (np.arange(batch_size)[:, None] + 1 + steps) % batch_size
    return _Plan(
        methods=[names[index] if batch_size > 1 else "" for index in choice],
        partners=partners.tolist(),
        draws=rng.random((batch_size, 9)),
        scores=rng.random((batch_size, num_classes), dtype=np.float32),
    )


def _cut(pair: _Pair, rows: slice, columns: slice) -> _Pair:
    return pair[0][:, rows, columns], pair[1][rows, columns]
