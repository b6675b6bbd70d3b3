"""Statistics of images and predictions against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from seglab.bundle.input_statistics import input_statistics, output_statistics, thinned
from seglab.bundle.loader import Prediction, softmax


def _prediction(height: int, width: int, classes: int = 5) -> Prediction:
    """Smooth probabilities, as a network gives them, of which class 3 is never the first."""
    rng = np.random.default_rng(0)
    coarse = rng.normal(size=(1, classes, -(-height // 16), -(-width // 16))).astype(np.float32) * 3
    logits = coarse.repeat(16, 2).repeat(16, 3)[..., :height, :width].copy()
    logits += rng.normal(size=logits.shape).astype(np.float32)
    logits[:, 3] = logits.min()
    probabilities = softmax(logits)[0]
    return Prediction(probabilities.argmax(0).astype(np.uint8), probabilities, None)


def test_images_are_measured_alike_whatever_their_type() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    image[:5] = 255
    as_bytes, as_floats = input_statistics(image), input_statistics(image.astype(np.float32))

    np.testing.assert_allclose(as_bytes["channel_mean"], image.mean((0, 1)), rtol=1e-6)
    np.testing.assert_allclose(as_bytes["channel_std"], image.std((0, 1)), rtol=1e-6)
    for name, value in as_bytes.items():
        np.testing.assert_allclose(value, as_floats[name], rtol=1e-6)
    grey = image.mean(2)
    change = np.mean([np.abs(np.diff(grey, axis=axis)).mean() for axis in (0, 1)])
    assert as_bytes["sharpness"] == pytest.approx(change / grey.std(), rel=1e-5)
    assert input_statistics(np.zeros((4, 4, 1), np.uint8))["sharpness"] == 0


def test_expected_confusion_is_the_probability_mass_by_class_given() -> None:
    found = _prediction(60, 80)
    confusion = output_statistics(found)["confusion"]

    wanted = np.stack([(found.probabilities * (found.mask == p)).sum((1, 2)) for p in range(5)], 1)
    np.testing.assert_allclose(confusion, wanted, rtol=1e-4, atol=1e-3)
    assert confusion.sum() == pytest.approx(found.mask.size, rel=1e-5)
    assert not confusion[:, 3].any()


def test_a_large_image_is_measured_on_some_of_its_pixels_with_the_same_outcome() -> None:
    found = _prediction(300, 400)
    numbers = output_statistics(found)
    few = Prediction(found.mask, thinned(found.probabilities), None)

    assert few.probabilities.shape == (5, 100, 134)
    for name, value in output_statistics(few).items():
        np.testing.assert_array_equal(value, numbers[name])
    exact = found.probabilities.max(0).mean()
    assert numbers["confidence"] == pytest.approx(exact, abs=0.005)
    whole = np.stack([(found.probabilities * (found.mask == p)).sum((1, 2)) for p in range(5)], 1)
    np.testing.assert_allclose(numbers["confusion"], whole, atol=0.003 * found.mask.size)
    shares = np.bincount(found.mask.reshape(-1), minlength=5) / found.mask.size
    np.testing.assert_allclose(numbers["class_shares"], shares, rtol=1e-6)
