from __future__ import annotations

import cv2
import numpy as np
import pytest

from seglab.curation.audit import audit
from seglab.curation.mask_fit import MaskFit, fit_mask, least_gain
from seglab.curation.registry import AuditInputs
from tests.curation.conftest import Make, picture

QUALITY = ["blank", "dark", "over_exposed", "blurred"]
MASKS = ["empty_mask", "specks", "holes", "shifted_mask", "unused_class", "odd_shares"]


def test_images_that_show_nothing_are_named(make: Make) -> None:
    images = {f"good{place}": picture(place) for place in range(5)}
    images["blank"] = np.full((48, 64, 3), 128, np.uint8)
    images["dark"] = images["good0"] // 6
    images["over_exposed"] = 255 - images["good1"] // 6
    images["blurred"] = cv2.GaussianBlur(images["good2"], (0, 0), 4)
    found = audit(AuditInputs(make(images)), QUALITY).table
    assert sorted(zip(found["kind"], found["sample_id"], strict=True)) == sorted(
        (name, name) for name in QUALITY
    )


def _scene(seed: int) -> tuple[np.ndarray, np.ndarray]:
    mask = np.zeros((64, 80), np.uint8)
    rng = np.random.default_rng(seed)
    for index in (1, 2):
        y, x = rng.integers(10, 34), rng.integers(10, 50)
        mask[y : y + 18, x : x + 18] = index
    image = np.array([[60, 80, 60], [150, 140, 90], [220, 60, 70]], np.int16)[mask]
    return np.clip(image + rng.normal(0, 5, image.shape), 0, 255).astype(np.uint8), mask


def test_masks_that_are_wrong_in_themselves_or_beside_the_image_are_named(make: Make) -> None:
    scenes = {f"good{place}": _scene(place) for place in range(20)}
    image, mask = _scene(20)
    scenes["moved"] = (image, np.roll(mask, (3, -3), (0, 1)))
    image, mask = _scene(21)
    dotted = mask.copy()
    dotted[2:8:2, 3:70:6] = 2
    scenes["specked"] = (image, dotted)
    scenes["empty"] = (_scene(22)[0], np.zeros_like(mask))
    scenes["odd"] = (_scene(23)[0], np.where(np.arange(80) < 76, 2, 1).repeat(64).reshape(80, 64).T)
    scenes["odd"] = (scenes["odd"][0], scenes["odd"][1].astype(np.uint8))
    images = {name: one[0] for name, one in scenes.items()}
    masks = {name: one[1] for name, one in scenes.items()}
    found = audit(AuditInputs(make(images, masks)), MASKS).table
    named = {kind: sorted(rows["sample_id"]) for kind, rows in found.groupby("kind")}
    assert named["shifted_mask"] == ["moved"]
    assert named["empty_mask"] == ["empty"]
    assert named["odd_shares"] == ["odd"]
    detail = found.loc[found["kind"] == "odd_shares", "detail"].item()
    assert detail == "95 % of the pixels are car, where 6 % are usual"
    assert named["holes"] == ["specked"]
    assert (
        found.loc[found["kind"] == "holes", "detail"].item().endswith(" holes of at most 4 pixels")
    )
    assert "unused_class" not in named


def test_the_move_back_is_found(make: Make) -> None:
    image, mask = _scene(3)
    assert fit_mask(image, mask, 3).move is None
    gain, move = fit_mask(image, np.roll(mask, (3, -4), (0, 1)), 3)
    assert gain > 1.5
    assert move is not None
    assert np.abs(np.array(move) - (-3, 4)).max() <= 1


def test_edges_at_the_border_of_the_search_are_no_better_place() -> None:
    """A faint border where the mask has it, and strong texture just beyond what is searched."""
    mask = np.zeros((180, 240), np.uint8)
    mask[90:] = 1
    rng = np.random.default_rng(0)
    image = np.full((180, 240, 3), 100, np.float64)
    image[90:] += 8
    image[:77] += 60 * rng.standard_normal((77, 240, 1))
    image = np.clip(image + rng.normal(0, 2, image.shape), 0, 255).astype(np.uint8)
    assert fit_mask(image, mask, 2).move is None
    move = fit_mask(image, np.roll(mask, 7, 0), 2).move
    assert move is not None
    assert abs(move[0] + 7) <= 1, "what is really off is found beside the texture"


@pytest.mark.parametrize(
    ("move", "words"),
    [
        ((-13, 0), "13 pixels up"),
        ((0, 1), "1 pixel to the right"),
        ((4, -2), "4 pixels down and 2 to the left"),
    ],
)
def test_a_move_is_said_by_its_direction(move: tuple[int, int], words: str) -> None:
    assert MaskFit(1.5, move).in_words() == words


def test_a_mask_that_stands_out_from_masks_that_fit_is_shifted_though_it_gains_less_than_the_limit() -> (
    None
):
    fit = [1.0, 1.01, 1.02] * 7
    assert least_gain(fit, 1.25) == pytest.approx(1.01 * np.exp(6 * 0.015))
    assert least_gain([*fit, 1.4, 1.5, 1.6, 1.7], 1.25) < 1.16, (
        "a few shifted ones do not hide each other"
    )
    assert least_gain([1.4, 1.5, 1.6] * 7, 1.25) == 1.25, "where all are off, the limit counts"
    assert least_gain(fit[:11], 1.25) == 1.25, "few say nothing of what is usual"


def test_a_class_no_mask_holds_is_named(make: Make) -> None:
    half = np.zeros((48, 64), np.uint8)
    half[:20] = 1
    found = audit(AuditInputs(make({"a": picture(0)}, {"a": half})), ["unused_class"]).table
    assert found["detail"].tolist() == ["no mask holds car"]
