from __future__ import annotations

import hashlib
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from seglab.core.errors import ConfigError, DataError, ShapeError
from seglab.core.labels import LabelSpace
from seglab.core.seeding import generator
from seglab.data.loading.cache import PackedCache
from seglab.data.loading.dataset import EvalCollate, SegmentationDataset, TrainCollate
from seglab.data.loading.sampler import SampleKey
from seglab.data.manifest import Manifest


@dataclass(frozen=True)
class Shift:
    rows: int
    image_hw: tuple[int, int]


def shift(
    image: np.ndarray, mask: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Crop 4 x 4 at a random place and flip: views with strides of every kind."""
    top, left = (int(rng.integers(0, size - 3)) for size in image.shape[:2])
    window = np.s_[top : top + 4, left : left + 4]
    return image[window][:, ::-1], mask[window][:, ::-1]


def sample_shift(
    rng: np.random.Generator, image_hw: tuple[int, int], mask: np.ndarray | None
) -> Shift:
    return Shift(int(rng.integers(0, 10**6)), image_hw)


def swap(
    images: torch.Tensor, masks: torch.Tensor, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    order = torch.from_numpy(rng.permutation(len(images)))
    return images[order], masks[order]


@pytest.fixture
def cache(tmp_path: Path) -> PackedCache:
    """Five samples of three sizes; the last has no mask."""
    rng = np.random.default_rng(1)
    rows = []
    for number, size in enumerate([(6, 8), (9, 5), (6, 8), (6, 8), (7, 7)]):
        path = tmp_path / f"{number}.png"
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)
        mask = rng.integers(0, 2, size, dtype=np.uint8)
        Image.fromarray(mask).save(tmp_path / f"{number}m.png")
        labelled = number < 4
        counts = [int((mask == value).sum()) for value in (0, 1, 255)]
        rows.append(
            [
                *(f"s{number}", path.name, f"{number}m.png" if labelled else None, *size),
                *("train" if labelled else "unlabeled", "g", None, []),
                *(hashlib.sha256(path.read_bytes()).hexdigest(), None),
                *(counts if labelled else [], [], True),
            ]
        )
    columns = "sample_id image mask height width split group annotator tags sha256 phash"
    table = pd.DataFrame(rows, columns=[*columns.split(), "class_pixels", "flags", "keep"])
    manifest = Manifest(table, LabelSpace(("a", "b")), tmp_path, "tiny", "index", {})
    return PackedCache.open(manifest, tmp_path / "cache")


def test_item_is_the_cached_sample_as_tensors(cache: PackedCache) -> None:
    dataset = SegmentationDataset(cache, [3, 1])
    assert len(dataset) == 2
    sample = dataset[1]
    assert set(sample) == {"image", "mask", "sample_id", "index"}
    assert (sample["sample_id"], sample["index"]) == ("s1", 1)
    assert sample["image"].shape == (3, 9, 5)
    assert sample["image"].dtype == sample["mask"].dtype == torch.uint8
    assert sample["image"].is_contiguous()
    np.testing.assert_array_equal(sample["image"].permute(1, 2, 0).numpy(), cache.image(1))
    np.testing.assert_array_equal(sample["mask"].numpy(), cache.mask(1))


def test_tensors_are_copies_that_can_be_written(cache: PackedCache) -> None:
    before = cache.image(0).copy()
    sample = SegmentationDataset(cache, [0])[0]
    sample["image"].zero_()
    sample["mask"].zero_()
    np.testing.assert_array_equal(cache.image(0), before)
    assert cache.mask(0).any()


def test_one_channel_images(cache: PackedCache, tmp_path: Path) -> None:
    cache.channels = 1
    cache.__dict__["_images"] = np.arange(48, dtype=np.uint8)
    sample = SegmentationDataset(cache, [0])
    cache._image_offsets = [0, 48]
    assert sample[0]["image"].tolist() == [np.arange(48).reshape(6, 8).tolist()]


def test_unlabelled_sample_has_no_mask(cache: PackedCache) -> None:
    assert "mask" not in SegmentationDataset(cache, [4])[0]


def test_transform_is_a_pure_function_of_the_key(cache: PackedCache) -> None:
    dataset = SegmentationDataset(cache, [0, 1, 2], transform=shift, seed=7)
    key = SampleKey(index=2, epoch=5, position=11)
    first, _, again = dataset[key], dataset[SampleKey(0, 5, 12)], dataset[key]
    assert torch.equal(first["image"], again["image"])
    rng = generator(7, "augment", 5, 11, "s2")
    image, mask = shift(cache.image(2), cache.mask(2), rng)
    np.testing.assert_array_equal(first["image"].permute(1, 2, 0).numpy(), image)
    np.testing.assert_array_equal(first["mask"].numpy(), mask)
    assert (first["epoch"], first["position"]) == (5, 11)


def test_transform_differs_by_epoch_position_and_seed(cache: PackedCache) -> None:
    keys = [SampleKey(0, epoch, position) for epoch in range(3) for position in range(3)]
    drawn = {
        SegmentationDataset(cache, [0], sample_params=sample_shift, seed=seed)[key]["params"]
        for key in keys
        for seed in (0, 1)
    }
    assert len(drawn) == 18


def test_params_travel_with_the_untouched_sample(cache: PackedCache) -> None:
    dataset = SegmentationDataset(cache, [1], sample_params=sample_shift, seed=3)
    sample = dataset[SampleKey(0, 2, 9)]
    expected = sample_shift(generator(3, "augment", 2, 9, "s1"), (9, 5), None)
    assert sample["params"] == expected
    np.testing.assert_array_equal(sample["image"].permute(1, 2, 0).numpy(), cache.image(1))


def test_transform_and_params_exclude_each_other(cache: PackedCache) -> None:
    with pytest.raises(ConfigError, match="got both"):
        SegmentationDataset(cache, [0], transform=shift, sample_params=sample_shift)


def test_augmenting_a_sample_without_mask_names_it(cache: PackedCache) -> None:
    with pytest.raises(DataError, match="s4 has no mask"):
        SegmentationDataset(cache, [4], transform=shift)[0]


def test_transform_that_returns_floats_is_refused(cache: PackedCache) -> None:
    dataset = SegmentationDataset(
        cache, [0], transform=lambda image, mask, rng: (image / 255, mask)
    )
    with pytest.raises(ShapeError, match=r"for s0 it returned float64 \(6, 8, 3\) and uint8"):
        dataset[0]


def test_train_collate_stacks(cache: PackedCache) -> None:
    dataset = SegmentationDataset(cache, [0, 1, 2], transform=shift)
    samples = [dataset[SampleKey(index, 4, 6 + index)] for index in range(3)]
    batch = TrainCollate()(samples)
    assert batch["image"].shape == (3, 3, 4, 4)
    assert batch["mask"].shape == (3, 4, 4)
    assert batch["image"].dtype == batch["mask"].dtype == torch.uint8
    assert torch.equal(batch["image"][1], samples[1]["image"])
    assert batch["sample_id"] == ["s0", "s1", "s2"]
    assert batch["index"].tolist() == [0, 1, 2]
    assert (batch["epoch"], batch["position"]) == (4, 6)


def test_train_collate_mixes_by_epoch_and_first_position(cache: PackedCache) -> None:
    dataset = SegmentationDataset(cache, [0, 2, 3])
    samples = [dataset[SampleKey(index, 4, 6 + index)] for index in range(3)]
    plain = TrainCollate()(samples)
    collate = pickle.loads(pickle.dumps(TrainCollate(swap, seed=5)))  # noqa: S301
    batch = collate(samples)
    expected = swap(plain["image"], plain["mask"], generator(5, "mix", 4, 6))
    assert torch.equal(batch["image"], expected[0])
    assert torch.equal(batch["mask"], expected[1])


def test_train_collate_pads_what_goes_to_the_device(cache: PackedCache) -> None:
    dataset = SegmentationDataset(cache, [0, 1], sample_params=sample_shift)
    batch = TrainCollate(ignore_index=200)([dataset[SampleKey(i, 0, i)] for i in range(2)])
    assert batch["image"].shape == (2, 3, 9, 8)
    assert batch["image_hw"].tolist() == batch["mask_hw"].tolist() == [[6, 8], [9, 5]]
    assert batch["image"].dtype == batch["mask"].dtype == torch.uint8
    for row, (height, width) in enumerate([(6, 8), (9, 5)]):
        image, mask = batch["image"][row], batch["mask"][row]
        np.testing.assert_array_equal(
            image[:, :height, :width].permute(1, 2, 0).numpy(), cache.image(row)
        )
        np.testing.assert_array_equal(mask[:height, :width].numpy(), cache.mask(row))
        assert (mask[height:] == 200).all()
        assert (mask[:, width:] == 200).all()
        assert not image[:, height:].any()
        assert not image[:, :, width:].any()
    assert [params.image_hw for params in batch["params"]] == [(6, 8), (9, 5)]


@pytest.mark.parametrize("collate", [TrainCollate(), EvalCollate()])
def test_other_sizes_are_never_padded(
    cache: PackedCache, collate: TrainCollate | EvalCollate
) -> None:
    dataset = SegmentationDataset(cache, [0, 1])
    with pytest.raises(ShapeError, match=r"\(3, 6, 8\), \(3, 9, 5\)\] for s0, s1; crop to one"):
        collate([dataset[0], dataset[1]])


def test_eval_collate(cache: PackedCache) -> None:
    dataset = SegmentationDataset(cache, [0, 2, 4])
    batch = EvalCollate()([dataset[1], dataset[0]])
    assert set(batch) == {"image", "mask", "sample_id", "index"}
    assert batch["sample_id"] == ["s2", "s0"]
    np.testing.assert_array_equal(batch["mask"][1].numpy(), cache.mask(0))
    assert set(EvalCollate()([dataset[2]])) == {"image", "sample_id", "index"}
