"""The back end for accelerators: a whole batch warped and coloured on its device with kornia.

Applies the very parameters that the uint8 back end applies; the two agree to a grey level or so.
What kornia gets wrong for segmentation is done here in plain torch: masks are gathered by index
(kornia fills what a warp invents with class 0, its issues 3090 and before), and validity is
computed from coordinates, so images padded to the size of the batch do not leak their padding.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from kornia.geometry.transform import warp_perspective
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from seglab.augment import device_effects, geometry
from seglab.augment.geometry import Size
from seglab.augment.options import AugmentSpec
from seglab.augment.params import AugmentParams
from seglab.augment.uint8 import FILL_STRIDE
from seglab.core.bands import Bands
from seglab.core.errors import ShapeError, list_problems
from seglab.core.labels import DEFAULT_IGNORE_INDEX


class DeviceAugment:
    """Apply drawn augmentations to a batch, on the device the batch is on.

    Convention:
        As `Uint8Augment`: image bilinear (boxes averaged first where the crop shrinks by 2 or
        more), mask nearest, invented pixels get the mean colour of their source and `ignore_index`.
        Every sample lies in the upper left corner of its batch; the rest of the plane is padding.

    Deviations from the uint8 back end: that one rounds after every step, this one only at the end,
    about one grey level apart; blur uses the widest kernel of the batch; JPEG is kornia's
    differentiable codec, which rounds softly and shows slightly milder artefacts.

    Args:
        spec: Kept for reference; what is applied comes with the call.
        crop_hw: (H, W) of the result.
        ignore_index: Void value of the masks.
        bands: What is known of the bands; None for RGB and grey of 8 bits.

    Raises:
        ShapeError: `crop_hw` is not positive.
    """

    def __init__(
        self,
        spec: AugmentSpec,
        crop_hw: Size,
        ignore_index: int = DEFAULT_IGNORE_INDEX,
        bands: Bands | None = None,
    ) -> None:
        if len(crop_hw) != 2 or min(crop_hw) < 1:
            raise ShapeError(f"crop_hw must be a positive (H, W), got {crop_hw}")
        self.spec = spec
        self.crop_hw = (int(crop_hw[0]), int(crop_hw[1]))
        self.ignore_index = ignore_index
        self.bands = None if bands is None or bands.like_rgb else bands

    @torch.no_grad()
    def __call__(
        self,
        images: Tensor,
        masks: Tensor,
        params: Sequence[AugmentParams],
        mask_hw: Sequence[Size] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Apply `params[i]` to sample i.

        Args:
            images: uint8 or float `(B, C, H, W)`, C 1 or 3, values 0..255, or the bands as they are
                stored; not changed. Sample i uses the upper left `params[i].image_hw` of the plane.
            masks: Integers `(B, Hm, Wm)`, class indices or `ignore_index`; not changed.
            params: One per sample, drawn by `sample_params`.
            mask_hw: True (H, W) of each mask. Default: the whole plane where images are not padded,
                and that of the image where planes of images and masks have one size.

        Returns:
            Images `(B, C, h, w)`, uint8, or float32 in stored units for bands of more bits; masks
            `(B, h, w)` of the dtype that came.

        Raises:
            ShapeError: Shapes, dtypes or sizes contradict each other; all problems are listed.
        """
        if mask_hw is None:
            mask_hw = _default_mask_hw(images, masks, params)
        self._check(images, masks, params, mask_hw)
        # Half precision cannot hold coordinates; kornia's own autocast rules differ by function.
        with torch.autocast(images.device.type, enabled=False):
            crops = warp_images(images.float(), params, self.crop_hw)
            labels, invented = warp_masks(masks, params, mask_hw, self.crop_hw)
            for index, item in enumerate(params):
                for top, left, bottom, right in item.erase:
                    invented[index, top:bottom, left:right] = True
            means = mean_colours(images, params, self.bands)
            crops = torch.where(invented[:, None], means, crops)
            labels.masked_fill_(invented, self.ignore_index)
            crops = device_effects.apply_effects(crops, params, means, self.bands)
            return self._as_stored(crops), labels

    def _as_stored(self, crops: Tensor) -> Tensor:
        if self.bands is not None and self.bands.dtype == "float32":
            return crops
        limit = 255.0 if self.bands is None else self.bands.full_scale
        rounded = crops.round_().clamp_(0, limit)
        # Of 16 bits torch can do little on a device.
        return rounded.to(torch.uint8) if limit == 255.0 else rounded

    def _check(
        self,
        images: Tensor,
        masks: Tensor,
        params: Sequence[AugmentParams],
        mask_hw: Sequence[Size],
    ) -> None:
        problems = []
        channels = (1, 3) if self.bands is None else (len(self.bands.numbers),)
        if images.ndim != 4 or images.shape[1] not in channels:
            wanted = " or ".join(str(count) for count in channels)
            problems.append(f"expected images (B, {wanted}, H, W), got {tuple(images.shape)}")
        if masks.ndim != 3 or masks.is_floating_point():
            problems.append(
                f"expected integer masks (B, H, W), got {masks.dtype} {tuple(masks.shape)}"
            )
        if not images.shape[0] == masks.shape[0] == len(params) > 0:
            problems.append(
                f"expected one mask and one set of parameters an image, got {images.shape[0]} "
                f"images, {masks.shape[0]} masks, {len(params)} sets"
            )
        for index, item in enumerate(params):
            if item.crop_hw != self.crop_hw:
                problems.append(
                    f"sample {index}: drawn for a crop of {item.crop_hw}, not {self.crop_hw}"
                )
            if not _fits(item.image_hw, _size(images)):
                problems.append(f"sample {index}: image of {item.image_hw} in {_size(images)}")
        if len(mask_hw) != len(params) or not all(_fits(s, _size(masks)) for s in mask_hw):
            problems.append(f"mask_hw does not fit masks of {_size(masks)}: {list(mask_hw)}")
        if problems:
            raise ShapeError(list_problems("DeviceAugment", problems))


def _default_mask_hw(
    images: Tensor, masks: Tensor, params: Sequence[AugmentParams]
) -> Sequence[Size]:
    image_hw = [item.image_hw for item in params]
    if _size(images) == _size(masks):
        return image_hw
    if all(size == _size(images) for size in image_hw):
        return [_size(masks)] * len(params)
    raise ShapeError("mask_hw is needed where images are padded and masks have another size")


def _size(tensor: Tensor) -> Size:
    return tensor.shape[-2], tensor.shape[-1]


def _fits(size: Size, plane: Size) -> bool:
    return 1 <= size[0] <= plane[0] and 1 <= size[1] <= plane[1]


def mean_colours(
    images: Tensor, params: Sequence[AugmentParams], bands: Bands | None = None
) -> Tensor:
    """Return the mean of every eighth row and column of each source, `(B, C, 1, 1)`; of integers rounded."""
    parts = [
        image[:, : item.image_hw[0] : FILL_STRIDE, : item.image_hw[1] : FILL_STRIDE]
        for image, item in zip(images, params, strict=True)
    ]
    means = torch.stack([part.float().mean(dim=(1, 2)) for part in parts])[..., None, None]
    return means if bands is not None and bands.dtype == "float32" else means.round()


def warp_images(images: Tensor, params: Sequence[AugmentParams], crop_hw: Size) -> Tensor:
    """Sample the crops of a batch bilinearly; outside a source its edge goes on for half a pixel.

    Args:
        images: float32 `(B, C, H, W)`.
        params: One per sample; `matrix` and `image_hw` are used.
        crop_hw: (h, w) of the crops.

    Returns:
        float32 `(B, C, h, w)`; meaningless where a pixel is not on the source.
    """
    images, sizes, matrices = _shrink(images, params, crop_hw)
    if any(size != _size(images) for size in sizes):
        images = _repeat_edges(images, sizes)
    to_image = np.stack([geometry.to_index_matrix(matrix) for matrix in matrices])
    to_crop = _to_device(np.linalg.inv(to_image), images.device)
    # kornia normalises by (W - 1), so pixel centres lie on whole numbers: align_corners=True.
    crops: Tensor = warp_perspective(
        images, to_crop, crop_hw, padding_mode="border", align_corners=True
    )
    return crops


def warp_masks(
    masks: Tensor, params: Sequence[AugmentParams], mask_hw: Sequence[Size], crop_hw: Size
) -> tuple[Tensor, Tensor]:
    """Gather the crops of a batch of masks by nearest neighbour.

    Args:
        masks: Integers `(B, Hm, Wm)`.
        params: One per sample; `matrix` and `image_hw` are used.
        mask_hw: True (H, W) of each mask.
        crop_hw: (h, w) of the crops.

    Returns:
        Masks `(B, h, w)` of the same dtype, and bool `(B, h, w)`: True where a pixel lies outside
        its source, and the mask says nothing.
    """
    device = masks.device
    matrices = [
        geometry.to_mask_matrix(item.matrix, item.image_hw, size)
        for item, size in zip(params, mask_hw, strict=True)
    ]
    m = _to_device(np.stack(matrices), device)[..., None, None]
    y = torch.arange(crop_hw[0], device=device)[:, None] + 0.5
    x = torch.arange(crop_hw[1], device=device)[None, :] + 0.5
    weight = m[:, 2, 0] * x + m[:, 2, 1] * y + m[:, 2, 2]
    column = ((m[:, 0, 0] * x + m[:, 0, 1] * y + m[:, 0, 2]) / weight).floor()
    row = ((m[:, 1, 0] * x + m[:, 1, 1] * y + m[:, 1, 2]) / weight).floor()
    size = _to_device(np.array(mask_hw), device)
    height, width = size[:, 0, None, None], size[:, 1, None, None]
    valid = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    index = (row * valid).long() * masks.shape[2] + (column * valid).long()
    return masks.flatten(1).gather(1, index.flatten(1)).view_as(index), ~valid


def _to_device(array: NDArray[np.generic], device: torch.device) -> Tensor:
    return torch.from_numpy(array.astype(np.float32)).to(device, non_blocking=True)


def _shrink(
    images: Tensor, params: Sequence[AugmentParams], crop_hw: Size
) -> tuple[Tensor, list[Size], list[geometry.Matrix]]:
    """Average boxes of those samples that the crop shows much smaller."""
    sizes = [item.image_hw for item in params]
    matrices = [item.matrix for item in params]
    factors = [
        1 if geometry.find_pixel_copy(matrix, crop_hw) else geometry.shrink_factor(matrix, crop_hw)
        for matrix in matrices
    ]
    if max(factors) == 1:
        return images, sizes, matrices
    images = images.clone()
    for index, factor in enumerate(factors):
        if factor == 1:
            continue
        height, width = sizes[index]
        missing = (0, -width % factor, 0, -height % factor)
        source = functional.pad(images[index : index + 1, :, :height, :width], missing, "replicate")
        small = functional.avg_pool2d(source, factor)
        sizes[index] = _size(small)
        images[index, :, : small.shape[2], : small.shape[3]] = small[0]
        matrices[index] = geometry.scaling(1 / factor, 1 / factor) @ matrices[index]
    return images, sizes, matrices


def _repeat_edges(images: Tensor, sizes: Sequence[Size]) -> Tensor:
    """Return the batch with the edge of every source continued over its padding."""
    device = images.device
    height, width = _size(images)
    # Not made on the device: that would wait for the copy.
    size = torch.tensor(sizes).to(device, non_blocking=True)[:, :, None]
    rows = torch.minimum(torch.arange(height, device=device)[None], size[:, 0] - 1)
    columns = torch.minimum(torch.arange(width, device=device)[None], size[:, 1] - 1)
    batch = torch.arange(images.shape[0], device=device)[:, None, None]
    return images[batch, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
