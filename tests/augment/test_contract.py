"""Every preset keeps the contract that users' steps are held to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from seglab.augment import AugmentSpec, Uint8Augment
from seglab.testing import AugmentContract


class TestPresets(AugmentContract):
    crop_hw = (40, 56)

    @pytest.fixture(autouse=True)
    def _preset(self, preset: Path) -> None:
        self.spec = AugmentSpec.read(yaml.safe_load(preset.read_text(encoding="utf-8")))

    def build(self, ignore_index: int) -> Uint8Augment:
        return Uint8Augment(self.spec, self.crop_hw, ignore_index)


def flip(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> Any:
    return (image[:, ::-1], mask[:, ::-1]) if rng.random() < 0.5 else (image, mask)


def roll(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> Any:
    """Shows black, labelled as class 0, where the image ends."""
    image[:, :5], mask[:, 5:], mask[:, :5] = 0, mask[:, :-5], 0
    return image, mask


def draws_elsewhere(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> Any:
    return np.random.permutation(image), mask


def widens(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> Any:
    return image.astype(np.float32) / 255, mask


def nothing(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> Any:
    return image, mask


def test_plain_function_passes() -> None:
    AugmentContract.check(lambda: flip)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (roll, "expected classes 3, 7 or 255 (ignored), got {0} as well"),
        (draws_elsewhere, "draw from the rng that is given"),
        (widens, "got (dtype('float32'), (48, 64, 3)"),
        (nothing, "expected a change in one of 20 draws"),
    ],
)
def test_fault_is_named(step: Callable[..., Any], words: str) -> None:
    with pytest.raises(AssertionError) as caught:
        AugmentContract.check(lambda: step)
    assert words in str(caught.value)
