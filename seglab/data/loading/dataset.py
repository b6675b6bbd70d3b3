"""Samples from a store as tensors, and how they become batches.

Everything stays as it is stored until it is on the device: of uint8 a quarter of the bytes of float32
pass through worker queues and over the bus. Random choices come from the `SampleKey` alone, so a
sample is the same in whichever worker, and after whatever history, it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset, default_collate

from seglab.core.errors import ConfigError, DataError, ShapeError
from seglab.core.labels import DEFAULT_IGNORE_INDEX
from seglab.core.seeding import generator
from seglab.data.loading.sampler import SampleKey
from seglab.data.loading.store import SampleStore

# image (H, W, C) as stored, uint8 but for bands of more bits, mask uint8 (H, W), rng -> the same, of the crop
Transform = Callable[[np.ndarray, np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]
# rng, (H, W) of the image -> parameters of one augmentation, carried out on the device
ParamSampler = Callable[[np.random.Generator, tuple[int, int], np.ndarray | None], Any]
# images (B, C, H, W) as stored, masks uint8 (B, H, W), rng -> the same
Mixer = Callable[
    [torch.Tensor, torch.Tensor, np.random.Generator], tuple[torch.Tensor, torch.Tensor]
]


class SegmentationDataset(Dataset[dict[str, Any]]):
    """Samples of some rows of a cache.

    An item is a dict: `image` tensor `(C, H, W)` of the cache's type (uint8 but for bands of more
    bits), `mask` uint8 tensor `(H, W)` with class
    indices or `ignore_index` (no such entry for a sample without a mask), `sample_id`, `index` (the
    place in this data set); asked for by a `SampleKey` also `epoch` and `position`, and with
    `sample_params` also `params`. Image and mask can differ in size: the cache resizes only images.

    Args:
        cache: Where images and masks are.
        rows: Rows of the cache; the place in this list is the index of the data set.
        transform: `(image, mask, rng) -> (image, mask)`, NumPy `(H, W, C)` and uint8 `(H, W)`. Must
            not change its inputs, which are the cache itself. None leaves samples as they are.
        seed: Seed of the augmentation.
        sample_params: `(rng, (H, W), mask) -> params`, for augmentation on the device: the sample is left
            as it is and the parameters travel with it.

    Raises:
        ConfigError: Both `transform` and `sample_params` are given.
    """

    def __init__(
        self,
        cache: SampleStore,
        rows: Sequence[int],
        transform: Transform | None = None,
        seed: int = 0,
        sample_params: ParamSampler | None = None,
    ) -> None:
        if transform is not None and sample_params is not None:
            raise ConfigError(
                "expected `transform` (augments in the workers) or `sample_params` (augments on "
                "the device), got both"
            )
        self.cache = cache
        self.rows = list(rows)
        self.transform = transform
        self.seed = seed
        self.sample_params = sample_params

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.rows)

    def __getitem__(self, key: SampleKey | int) -> dict[str, Any]:
        """Return the sample of a key; a plain index stands for epoch 0 and the position `index`.

        Raises:
            DataError: A sample without a mask is to be augmented.
            ShapeError: The transform returned another type or rank than it was given.
        """
        index = key.index if isinstance(key, SampleKey) else key
        row = self.rows[index]
        sample_id = self.cache.sample_ids[row]
        image, mask = self.cache.image(row), self.cache.mask(row)
        sample: dict[str, Any] = {"sample_id": sample_id, "index": index}
        epoch, position = 0, index
        if isinstance(key, SampleKey):
            epoch, position = key.epoch, key.position
            sample.update(epoch=epoch, position=position)
        if self.sample_params is not None:
            rng = generator(self.seed, "augment", epoch, position, sample_id)
            sample["params"] = self.sample_params(rng, image.shape[:2], mask)
        elif self.transform is not None:
            if mask is None:
                raise DataError(f"sample {sample_id} has no mask, so it cannot be augmented")
            rng = generator(self.seed, "augment", epoch, position, sample_id)
            image, mask = self._augment(image, mask, rng, sample_id)
        sample["image"] = _channels_first(image)
        if mask is not None:
            # A copy of its own: the cache is read-only, which tensors cannot be.
            sample["mask"] = torch.from_numpy(np.array(mask, order="C"))
        return sample

    def _augment(
        self, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator, sample_id: str
    ) -> tuple[np.ndarray, np.ndarray]:
        # Transforms take grey images as planes.
        grey = image.shape[2] == 1
        image, mask = self.transform(image[..., 0] if grey else image, mask, rng)  # type: ignore[misc]
        image = image[..., None] if grey and image.ndim == 2 else image
        _check_transformed(image, mask, sample_id, self.cache.dtype)
        return image, mask


class TrainCollate:
    """Stacks training samples, then mixes them.

    A batch is a dict: `image` uint8 `(B, C, H, W)`, `mask` uint8 `(B, H, W)`, `sample_id` list of
    str, `index` int64 `(B,)`, and as int `epoch` and `position`, those of the first sample.

    Samples that carry `params` wait for augmentation on the device and may differ in size. They are
    padded at the bottom and the right to the largest of the batch, images with 0 and masks with
    `ignore_index`; `image_hw` and `mask_hw`, int64 `(B, 2)`, hold the true (H, W). `params` is a
    list.

    Args:
        mixer: `(images, masks, rng) -> (images, masks)`, on the stacked uint8 batch.
        seed: Seed of the mixing.
        ignore_index: Value of padded mask pixels.
    """

    def __init__(
        self, mixer: Mixer | None = None, seed: int = 0, ignore_index: int = DEFAULT_IGNORE_INDEX
    ) -> None:
        self.mixer = mixer
        self.seed = seed
        self.ignore_index = ignore_index

    def __call__(self, samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return the batch of these samples.

        Raises:
            ShapeError: Samples without `params` differ in size.
        """
        batch = _names(samples)
        batch["epoch"] = samples[0].get("epoch", 0)
        batch["position"] = samples[0].get("position", samples[0]["index"])
        images = [sample["image"] for sample in samples]
        masks = [sample["mask"] for sample in samples]
        if "params" in samples[0]:
            batch["params"] = [sample["params"] for sample in samples]
            batch["image_hw"] = torch.tensor([image.shape[-2:] for image in images])
            batch["mask_hw"] = torch.tensor([mask.shape for mask in masks])
            images, masks = _pad(images, 0), _pad(masks, self.ignore_index)
        image, mask = _stack(images, batch), _stack(masks, batch)
        if self.mixer is not None:
            rng = generator(self.seed, "mix", batch["epoch"], batch["position"])
            image, mask = self.mixer(image, mask, rng)
        return {"image": image, "mask": mask, **batch}


class EvalCollate:
    """Stacks evaluation samples, all of one size as `EvalBatchSampler` groups them.

    A batch is a dict: `image` uint8 `(B, C, H, W)`, `mask` uint8 `(B, Hm, Wm)` (no such entry for
    samples without masks), `sample_id` list of str, `index` int64 `(B,)`.
    """

    def __call__(self, samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return the batch of these samples.

        Raises:
            ShapeError: The samples differ in size.
        """
        batch = _names(samples)
        batch["image"] = _stack([sample["image"] for sample in samples], batch)
        if "mask" in samples[0]:
            batch["mask"] = _stack([sample["mask"] for sample in samples], batch)
        return batch


def _names(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "sample_id": [sample["sample_id"] for sample in samples],
        "index": torch.tensor([sample["index"] for sample in samples]),
    }


def _channels_first(image: np.ndarray) -> torch.Tensor:
    """Copy `(H, W, C)` into a contiguous `(C, H, W)` tensor."""
    height, width, channels = image.shape
    planes = np.empty((channels, height, width), dtype=image.dtype)
    # Ten times as fast as a transposed copy.
    cv2.split(np.ascontiguousarray(image), list(planes))
    return torch.from_numpy(planes)


def _check_transformed(
    image: np.ndarray, mask: np.ndarray, sample_id: str, dtype: np.dtype
) -> None:
    found = [(array.dtype.name, array.ndim) for array in (image, mask)]
    if found != [(dtype.name, 3), ("uint8", 2)]:
        raise ShapeError(
            f"the transform must return {dtype} image (H, W, C) and uint8 mask (H, W); for {sample_id} it "
            f"returned {image.dtype} {image.shape} and {mask.dtype} {mask.shape}"
        )


def _stack(tensors: Sequence[torch.Tensor], batch: dict[str, Any]) -> torch.Tensor:
    sizes = {tuple(tensor.shape) for tensor in tensors}
    if len(sizes) > 1:
        raise ShapeError(
            f"the samples of a batch must have one size, got {sorted(sizes)} for "
            f"{', '.join(batch['sample_id'])}; crop to one size or set data.image_size"
        )
    # In a worker this stacks right into shared memory.
    stacked: torch.Tensor = default_collate(list(tensors))
    return stacked


def _pad(tensors: Sequence[torch.Tensor], value: int) -> list[torch.Tensor]:
    """Pad `(..., H, W)` tensors at the bottom and the right to the largest H and the largest W."""
    height = max(tensor.shape[-2] for tensor in tensors)
    width = max(tensor.shape[-1] for tensor in tensors)
    return [
        torch.nn.functional.pad(
            tensor, (0, width - tensor.shape[-1], 0, height - tensor.shape[-2]), value=value
        )
        for tensor in tensors
    ]
