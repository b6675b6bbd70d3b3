from __future__ import annotations

import math

import numpy as np
import pytest

from seglab.analysis.baseline import ColourBaseline, ConstantBaseline, baseline_scores
from seglab.core.errors import DataError, ShapeError
from seglab.core.labels import LabelSpace

LABELS = LabelSpace(("a", "b", "c"))
RED, BLUE = (250, 10, 10), (10, 10, 250)


def _image(*rows: tuple[tuple[int, int, int], ...]) -> np.ndarray:
    return np.asarray(rows, dtype=np.uint8)


def _mask(*rows: tuple[int, ...]) -> np.ndarray:
    return np.asarray(rows, dtype=np.uint8)


def test_constant_predicts_the_most_frequent_class_without_ignored_pixels():
    images = [_image((RED, RED, RED, RED, RED, RED))]
    baseline = ConstantBaseline().fit(images, [_mask((255, 255, 255, 1, 1, 0))], 3)
    assert baseline.class_index == 1
    predicted = baseline.predict(np.zeros((4, 5, 3), dtype=np.uint8))
    assert predicted.dtype == np.uint8
    np.testing.assert_array_equal(predicted, np.ones((4, 5)))


def test_colour_learns_what_colours_mean():
    image = _image((RED, RED, BLUE, BLUE))
    baseline = ColourBaseline(strength=0.5).fit([image], [_mask((0, 0, 2, 2))], 3)
    np.testing.assert_array_equal(baseline.predict(image), [[0, 0, 2, 2]])
    # A shade never seen falls back to its neighbours in colour, not to the most frequent class.
    near_blue = _image(((10, 10, 241), (26, 26, 250)))
    np.testing.assert_array_equal(baseline.predict(near_blue), [[2, 2]])


def test_unseen_colour_falls_back_to_the_most_frequent_class():
    image = _image((RED, RED, RED, BLUE))
    baseline = ColourBaseline().fit([image], [_mask((1, 1, 1, 2))], 3)
    green = np.full((1, 1, 3), (0, 250, 0), dtype=np.uint8)
    np.testing.assert_array_equal(baseline.predict(green), [[1]])


def test_rare_colour_needs_more_than_one_pixel_against_the_prior():
    image = np.zeros((1, 101, 3), dtype=np.uint8)
    mask = np.zeros((1, 101), dtype=np.uint8)
    image[0, 100], mask[0, 100] = BLUE, 2
    shy = ColourBaseline(strength=20.0).fit([image], [mask], 3)
    bold = ColourBaseline(strength=0.1).fit([image], [mask], 3)
    assert shy.predict(image)[0, 100] == 0
    assert bold.predict(image)[0, 100] == 2


def test_colour_ignores_ignored_pixels():
    image = _image((RED, RED, RED, BLUE))
    baseline = ColourBaseline(strength=0.5).fit([image], [_mask((255, 255, 1, 0))], 3)
    np.testing.assert_array_equal(baseline.predict(image), [[1, 1, 1, 0]])


def test_scores_match_a_hand_computed_matrix():
    train = [(_image((RED, RED, RED, BLUE)), _mask((0, 0, 0, 1)))] * 50
    # Class 1 is blue in training; here one of its two pixels is red, one pixel is ignored.
    evaluate = [(_image((RED, RED, BLUE, RED, RED)), _mask((0, 0, 1, 1, 255)))]
    scores = baseline_scores(train, evaluate, LABELS)
    # constant: class 0 has 2 hits of 4, class 1 none of 2; colour: 2/3 and 1/2; class c is absent.
    assert scores == pytest.approx({"constant": 0.25, "colour": (2 / 3 + 1 / 2) / 2})


def test_scores_pool_one_matrix_over_images():
    train = [(_image((RED, BLUE)), _mask((0, 1)))] * 50
    evaluate = [(_image((RED, RED, RED)), _mask((0, 0, 0))), (_image((BLUE,)), _mask((0,)))]
    scores = baseline_scores(train, evaluate, LABELS)
    # colour: class 0 hits 3 of 4, class 1 predicted once in vain; a mean over images would be 0.5.
    assert scores["colour"] == pytest.approx((3 / 4 + 0.0) / 2)


def test_scores_are_undefined_where_nothing_counts():
    train = [(_image((RED,)), _mask((0,)))]
    scores = baseline_scores(train, [(_image((RED,)), _mask((255,)))], LABELS)
    assert all(math.isnan(value) for value in scores.values())


@pytest.mark.parametrize("baseline", [ConstantBaseline(), ColourBaseline()])
def test_misuse_is_named(baseline: ConstantBaseline | ColourBaseline):
    image = _image((RED, BLUE))
    with pytest.raises(DataError, match="not fitted"):
        baseline.predict(image)
    with pytest.raises(DataError, match="all ignored"):
        baseline.fit([image], [_mask((255, 255))], 3)
    with pytest.raises(ShapeError, match=r"mask holds 7\.\.7"):
        baseline.fit([image], [_mask((7, 255))], 3)
    with pytest.raises(ShapeError, match="RGB uint8"):
        baseline.fit([image.astype(np.float32)], [_mask((0, 1))], 3)


def test_colour_refuses_odd_settings_and_sizes():
    with pytest.raises(ShapeError, match="bins"):
        ColourBaseline(bins=10)
    with pytest.raises(ShapeError, match="strength"):
        ColourBaseline(strength=0.0)
    with pytest.raises(ShapeError, match="its mask"):
        ColourBaseline().fit([_image((RED, BLUE))], [_mask((0,))], 3)
