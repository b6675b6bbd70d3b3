"""A picture of what an augmentation does to real samples: look at it before training on it.

Takes plain arrays and draws with OpenCV; where the samples come from is the caller's business
(`seglab data preview`). The right back end and the mixing are run as training runs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from seglab.augment.device import DeviceAugment
from seglab.augment.mixing import BatchMixer
from seglab.augment.options import AugmentSpec
from seglab.augment.params import sample_params
from seglab.augment.uint8 import Uint8Augment
from seglab.core.bands import Bands
from seglab.core.errors import ShapeError
from seglab.core.labels import LabelSpace
from seglab.core.seeding import generator

Image = NDArray[Any]
_CAPTION_PX, _GAP_PX, _LEGEND_ROW_PX = 18, 4, 20
_INK, _PAPER = (20, 20, 20), (255, 255, 255)
_OPACITY = 0.55
# Stripes of no colour, for a colour is taken for that of a class.
_HATCH = np.array([[0, 0, 0], [255, 255, 255]], dtype=np.uint8)
_HATCH_PX = 4


@dataclass(frozen=True, eq=False)
class PreviewSample:
    """One sample to show: image uint8 `(H, W, 3)` or `(H, W)`, or bands; mask uint8 `(Hm, Wm)`."""

    sample_id: str
    image: Image
    mask: Image


@dataclass(frozen=True)
class PreviewOptions:
    """How the samples are augmented.

    Attributes:
        crop_hw: (H, W) of the crops.
        num_versions: Augmented versions a sample.
        seed: First part of the seed of every version.
        device_type: Where training would run; decides what `backend: auto` means.
        bands: What the images hold, and which of it to show; None for RGB and grey of 8 bits.
        class_frequency: Pixels of each class in the training part, for copy-paste of rare ones; None
            counts those of the samples shown.
    """

    crop_hw: tuple[int, int]
    num_versions: int = 4
    seed: int = 0
    device_type: str = "cpu"
    bands: Bands | None = None
    class_frequency: Sequence[float] | None = None


def preview_grid(
    samples: Sequence[PreviewSample], labels: LabelSpace, spec: AugmentSpec, options: PreviewOptions
) -> Image:
    """Draw samples and their augmented versions.

    One row per sample: the original first, then `num_versions` versions; in every cell the image with
    the coloured mask over it below. Void is hatched in black and white. Samples of one column are
    mixed as a batch when `spec.mixing` says so. Below the rows stand the names of the classes.

    Args:
        samples: At least one.
        labels: Label space of the masks.
        spec: The augmentation.
        options: Sizes, number of versions and seed.

    Returns:
        uint8 `(height, width, 3)` RGB, the same for the same arguments.

    Raises:
        ShapeError: There are no samples, or arrays of a wrong shape.
    """
    if not samples:
        raise ShapeError("a preview needs at least one sample, got none")
    columns = [
        augment_batch(samples, labels, spec, options, version)
        for version in range(options.num_versions)
    ]
    rows = []
    for index, sample in enumerate(samples):
        original = options.bands.picture(sample.image) if options.bands else sample.image
        cells = [_draw_cell(sample.sample_id, original, sample.mask, labels, options)]
        for version, column in enumerate(columns):
            caption = f"{sample.sample_id} #{version + 1}"
            cells.append(_draw_cell(caption, *column[index], labels, options))
        rows.append(np.concatenate(cells, axis=1))
    grid = np.concatenate(rows, axis=0)
    return np.concatenate([grid, _draw_legend(labels, grid.shape[1])], axis=0)


def augment_batch(
    samples: Sequence[PreviewSample],
    labels: LabelSpace,
    spec: AugmentSpec,
    options: PreviewOptions,
    version: int,
) -> list[tuple[Image, Image]]:
    """Return one augmented (picture `(h, w, 3)`, mask `(h, w)`) a sample, mixed as a batch."""
    images, masks = [], []
    for index, sample in enumerate(samples):
        rng = generator(options.seed, "augment", version, index, sample.sample_id)
        image, mask = _augment_one(sample, spec, options, labels.ignore_index, rng)
        images.append(image if options.bands else _to_rgb(image))
        masks.append(mask)
    batch = _to_tensor(np.stack(images)), torch.from_numpy(np.stack(masks))
    frequency = options.class_frequency
    mixer = BatchMixer(spec.mixing, labels.ignore_index, labels.num_classes, frequency)
    mixed = mixer(*batch, generator(options.seed, "mix", version))
    pictures, answers = mixed[0].permute(0, 2, 3, 1).numpy(), mixed[1].numpy()
    if options.bands is not None:
        pictures = np.stack([options.bands.picture(image) for image in pictures])
    return list(zip(pictures, answers, strict=True))


def _augment_one(
    sample: PreviewSample,
    spec: AugmentSpec,
    options: PreviewOptions,
    ignore_index: int,
    rng: np.random.Generator,
) -> tuple[Image, Image]:
    if spec.resolve_backend(options.device_type) == "uint8":
        one_band = options.bands is not None and sample.image.shape[-1] == 1
        augment = Uint8Augment(spec, options.crop_hw, ignore_index, options.bands)
        image = sample.image[..., 0] if one_band else sample.image
        image, mask = augment(image, sample.mask, rng)
        return image[..., None] if one_band else image, mask
    image_hw = sample.image.shape[0], sample.image.shape[1]
    params = sample_params(spec, rng, image_hw, options.crop_hw, sample.mask, ignore_index)
    planes = sample.image if sample.image.ndim == 3 else sample.image[..., None]
    images, masks = DeviceAugment(spec, options.crop_hw, ignore_index, options.bands)(
        _to_tensor(planes[None]), torch.from_numpy(sample.mask[None].copy()), [params]
    )
    return images[0].permute(1, 2, 0).numpy(), masks[0].numpy()


def overlay_mask(image: Image, mask: Image, labels: LabelSpace) -> Image:
    """Return RGB uint8 `(H, W, 3)`: the image with its mask in class colours, void hatched.

    Args:
        image: uint8 `(H, W, 3)`, `(H, W, 1)` or `(H, W)`.
        mask: uint8 `(Hm, Wm)`, brought to the size of the image by nearest neighbour.
        labels: Label space of the mask.
    """
    rgb = _to_rgb(image)
    height, width = rgb.shape[:2]
    if mask.shape != (height, width):
        mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)
    blended = cv2.addWeighted(rgb, 1 - _OPACITY, labels.colourise(mask), _OPACITY, 0)
    stripe = (np.add.outer(np.arange(height), np.arange(width)) // _HATCH_PX) % 2
    void = (mask == labels.ignore_index)[..., None]
    # The image shows through: void that was annotated looks different from void invented.
    hatched = cv2.addWeighted(rgb, 0.4, _HATCH[stripe], 0.6, 0)
    return np.asarray(np.where(void, hatched, blended), dtype=np.uint8)


def _to_tensor(images: Image) -> torch.Tensor:
    """Turn `(B, H, W, C)` into a tensor `(B, C, H, W)` with memory of its own."""
    return torch.from_numpy(images.copy()).permute(0, 3, 1, 2)


def _to_rgb(image: Image) -> Image:
    if image.ndim == 2 or image.shape[2] == 1:
        return np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    return np.ascontiguousarray(image)


def _draw_cell(
    caption: str, image: Image, mask: Image, labels: LabelSpace, options: PreviewOptions
) -> Image:
    """Stack caption, image and overlay; the longer side is shrunk into the crop, never grown."""
    height, width = options.crop_hw
    pictures = [_to_rgb(image), overlay_mask(image, mask, labels)]
    # The same width for every cell, so that captions line up; 160 px hold a usual sample id.
    cell_width = max(width, 160)
    cell = np.full(
        (_CAPTION_PX + 2 * (height + _GAP_PX), cell_width + _GAP_PX, 3), _PAPER, dtype=np.uint8
    )
    _write(cell, _shorten(caption, cell_width), (2, _CAPTION_PX - 5))
    for position, picture in enumerate(pictures):
        fitted = _fit(picture, height, width)
        top = _CAPTION_PX + position * (height + _GAP_PX)
        cell[top : top + fitted.shape[0], : fitted.shape[1]] = fitted
    return cell


def _fit(picture: Image, height: int, width: int) -> Image:
    factor = min(height / picture.shape[0], width / picture.shape[1])
    if factor >= 1:
        return picture
    size = max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[0] * factor))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _draw_legend(labels: LabelSpace, width: int) -> Image:
    entries = [*zip(labels.class_names, labels.palette, strict=True), ("void", None)]
    spots, x, row = [], 4, 0
    for name, colour in entries:
        need = 30 + _text_width(name)
        if x + need > width and x > 4:
            x, row = 4, row + 1
        spots.append((name, colour, x, row))
        x += need
    legend = np.full(((row + 1) * _LEGEND_ROW_PX, width, 3), _PAPER, dtype=np.uint8)
    stripe = (np.add.outer(np.arange(12), np.arange(12)) // _HATCH_PX) % 2
    for name, colour, x, row in spots:
        top = row * _LEGEND_ROW_PX + 4
        box = legend[top : top + 12, x : x + 12]
        box[...] = _HATCH[stripe][:, : box.shape[1]] if colour is None else colour
        _write(legend, name, (x + 16, top + 10))
    return legend


def _text_width(text: str) -> int:
    return int(cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.4, 1)[0][0])


def _shorten(text: str, width: int) -> str:
    """Cut a caption in its middle: both the start and the number of the version tell rows apart."""
    while _text_width(text) > width - 4 and len(text) > 8:
        middle = len(text) // 2
        text = text[: middle - 2] + "~" + text[middle + 1 :]
    return text


def _write(canvas: Image, text: str, place: tuple[int, int]) -> None:
    cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, _INK, 1, cv2.LINE_AA)
