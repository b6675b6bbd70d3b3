from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from seglab.augment.mixing import BatchMixer
from seglab.augment.options import MixingSpec
from seglab.core.errors import ShapeError
from seglab.core.seeding import generator

ALL = MixingSpec(cutmix=0.25, classmix=0.25, mosaic=0.25, copy_paste=0.25)
METHODS = [
    MixingSpec(cutmix=1.0),
    MixingSpec(classmix=1.0),
    MixingSpec(mosaic=1.0),
    MixingSpec(copy_paste=1.0),
]
NAMES = ["cutmix", "classmix", "mosaic", "copy_paste"]


def _make_batch(
    batch_size: int, num_classes: int, seed: int, void: int = 255
) -> tuple[Tensor, Tensor]:
    """Masks of blobs with void; channel 0 of the image holds the label, channel 1 the sample."""
    rng = np.random.default_rng(seed)
    blobs = rng.integers(0, num_classes + 1, (batch_size, 6, 8))
    blobs[blobs == num_classes] = void
    masks = torch.from_numpy(np.repeat(np.repeat(blobs, 4, 1), 4, 2))
    owner = torch.arange(batch_size)[:, None, None].expand_as(masks)
    column = torch.arange(32)[None, None, :].expand_as(masks)
    return torch.stack([masks, owner, column], dim=1).float(), masks


@pytest.mark.parametrize("spec", METHODS, ids=NAMES)
def test_image_and_label_come_together_and_void_is_never_pasted(spec: MixingSpec) -> None:
    images, masks = _make_batch(6, 5, 0)
    changed = 0
    for seed in range(20):
        mixed, labels = BatchMixer(spec, 255, 5)(images, masks, generator(seed))
        assert torch.equal(mixed[:, 0], labels.float())
        foreign = mixed[:, 1] != images[:, 1]
        assert not (foreign & (labels == 255)).any()
        assert torch.equal(mixed.movedim(1, -1)[~foreign], images.movedim(1, -1)[~foreign])
        changed += int(foreign.sum())
    assert changed > 0


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    batch_size=st.integers(1, 5),
    classes=st.sets(st.integers(0, 6), min_size=1),
    void=st.sampled_from([7, 255, -100]),
)
def test_no_label_appears_that_was_not_there(
    seed: int, batch_size: int, classes: set[int], void: int
) -> None:
    rng = np.random.default_rng(seed)
    masks = torch.from_numpy(rng.choice([*classes, void], size=(batch_size, 9, 11)))
    images = torch.rand(batch_size, 3, 9, 11)
    _, labels = BatchMixer(ALL, void, 7)(images, masks, generator(seed))
    assert set(labels.unique().tolist()) <= set(masks.unique().tolist())
    assert ((labels == void) <= (masks == void)).all()


def test_pure_seeded_and_any_dtype() -> None:
    images, masks = _make_batch(4, 5, 1)
    before = images.clone(), masks.clone()
    first = BatchMixer(ALL, 255, 5)(images, masks, generator(3))
    small = BatchMixer(ALL, 255, 5)(images.to(torch.uint8), masks.to(torch.uint8), generator(3))
    other = BatchMixer(ALL, 255, 5)(images, masks, generator(4))
    assert torch.equal(images, before[0])
    assert torch.equal(masks, before[1])
    assert small[0].dtype == small[1].dtype == torch.uint8
    assert torch.equal(first[0].to(torch.uint8), small[0])
    assert torch.equal(first[1].to(torch.uint8), small[1])
    assert not torch.equal(first[1], other[1])


def test_nothing_to_mix_returns_the_inputs() -> None:
    images, masks = _make_batch(3, 5, 2)
    mixed = BatchMixer(MixingSpec(), 255, 5)(images, masks, generator(0))
    assert mixed[0] is images
    single = BatchMixer(ALL, 255, 5)(images[:1], masks[:1], generator(0))
    assert torch.equal(single[1], masks[:1])


def test_probability_is_the_share_of_samples_mixed() -> None:
    images = torch.arange(8.0)[:, None, None, None].expand(8, 1, 16, 16)
    masks = torch.zeros(8, 16, 16, dtype=torch.int64)
    touched = 0
    for seed in range(100):
        mixed, _ = BatchMixer(MixingSpec(mosaic=0.3), 255, 2)(images, masks, generator(seed))
        touched += int((mixed != images).flatten(1).any(dim=1).sum())
    assert 0.24 < touched / 800 < 0.36


def test_cutmix_pastes_one_box_of_one_sample() -> None:
    images = torch.arange(5.0)[:, None, None, None].expand(5, 1, 40, 60)
    masks = torch.zeros(5, 40, 60, dtype=torch.int64)
    areas = []
    for seed in range(60):
        mixed, _ = BatchMixer(MixingSpec(cutmix=1.0), 255, 2)(images, masks, generator(seed))
        for index in range(5):
            rows, columns = torch.where(mixed[index, 0] != index)
            areas.append(len(rows) / 2400)
            if not len(rows):
                continue
            box = mixed[index, 0, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
            assert box.unique().numel() == 1
    # The clipped box of CutMix covers less than the mean of 1 - lambda, which is a half.
    assert 0.2 < np.mean(areas) < 0.5


def test_classmix_pastes_half_of_the_classes_whole() -> None:
    images, masks = _make_batch(2, 6, 3)
    mixed, _ = BatchMixer(MixingSpec(classmix=1.0), 255, 6)(images, masks, generator(1))
    for index in range(2):
        partner = masks[1 - index]
        foreign = mixed[index, 1] != index
        pasted = partner[foreign].unique()
        assert len(pasted) == len(partner[partner != 255].unique()) // 2
        assert torch.equal(foreign, torch.isin(partner, pasted))


def test_classmix_of_a_single_class_pastes_nothing() -> None:
    images = torch.arange(2.0)[:, None, None, None].expand(2, 1, 8, 8)
    masks = torch.full((2, 8, 8), 3)
    mixed, _ = BatchMixer(MixingSpec(classmix=1.0), 255, 6)(images, masks, generator(0))
    assert torch.equal(mixed, images)


def test_mosaic_shows_windows_of_the_others_beside_its_own_quarter() -> None:
    images, masks = _make_batch(5, 4, 4)
    masks = masks.clamp(max=3)
    mixed, _ = BatchMixer(MixingSpec(mosaic=1.0), 255, 4)(images, masks, generator(0))
    for index in range(5):
        own = mixed[index, 1] == index
        assert 1 / 16 <= own.float().mean() <= 9 / 16
        # Within a window neighbours stay neighbours: the stored column grows by one, but at a seam.
        steps = mixed[index, 2].diff(dim=1) == 1
        assert (~steps).sum() <= 2 * steps.shape[0]


def test_copy_paste_prefers_rare_classes() -> None:
    rng = np.random.default_rng(0)
    masks = torch.from_numpy(rng.choice(3, p=[0.9, 0.09, 0.01], size=(4, 40, 40)))
    images = torch.arange(4.0)[:, None, None, None].expand(4, 1, 40, 40)
    counts = np.zeros(3)
    for seed in range(50):
        mixed, labels = BatchMixer(MixingSpec(copy_paste=1.0), 255, 3)(
            images, masks, generator(seed)
        )
        for index in range(4):
            pasted = labels[index][mixed[index, 0] != index].unique().tolist()
            assert len(pasted) == 1
            counts[pasted[0]] += 1
    # Inverse frequencies 1.1 : 11 : 100, so 89 % for the rarest.
    assert counts[2] / counts.sum() > 0.8


def test_copy_paste_follows_the_given_frequencies() -> None:
    masks = torch.tensor([0, 1]).repeat(2, 20, 10)
    images = torch.arange(2.0)[:, None, None, None].expand(2, 1, 20, 20)
    mixer = BatchMixer(MixingSpec(copy_paste=1.0), 255, 2, class_frequency=[1e-7, 1.0])
    for seed in range(10):
        mixed, labels = mixer(images, masks, generator(seed))
        assert set(labels[0][mixed[0, 0] != 0].tolist()) == {0}


@pytest.mark.parametrize("spec", METHODS, ids=NAMES)
def test_all_void_partners_change_nothing(spec: MixingSpec) -> None:
    images, masks = _make_batch(2, 3, 5)
    masks[1] = 255
    mixed, labels = BatchMixer(spec, 255, 3)(images, masks, generator(0))
    assert torch.equal(labels[0], masks[0])
    assert torch.equal(mixed[0], images[0])


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ShapeError, match="ignore_index 3 is one of the 5 classes"):
        BatchMixer(ALL, 3, 5)
    with pytest.raises(ShapeError, match="expected 5 class frequencies"):
        BatchMixer(ALL, 255, 5, [0.5, 0.5])
    with pytest.raises(ShapeError, match="expected images"):
        BatchMixer(ALL, 255, 5)(torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 5).long(), generator(0))
