"""Every wrong pixel has one kind of mistake; each kind by a hand-made case."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from seglab.metrics.shape.errors import KINDS, classify_errors

SIZE = (80, 80)


def scene() -> np.ndarray:
    """Road 0 below, sky 1 above, a car 2 in the road."""
    mask = np.zeros(SIZE, dtype=np.int64)
    mask[:40] = 1
    mask[50:70, 10:30] = 2
    return mask


def test_nothing_wrong_has_no_kind() -> None:
    errors = classify_errors(scene(), scene(), 255)
    assert (errors.wrong, errors.valid, errors.main_kind) == (0, 6400, None)
    assert errors.pairs == {}


def test_object_that_is_not_found_is_missed() -> None:
    pred = scene()
    pred[pred == 2] = 0
    errors = classify_errors(pred, scene(), 255)
    assert errors.pixels == {"boundary": 0, "missed": 400, "hallucination": 0, "confusion": 0}
    assert errors.pairs == {"missed": (2, 0)}


def test_object_that_is_not_there_is_a_hallucination() -> None:
    pred = scene()
    pred[5:15, 50:60] = 2
    errors = classify_errors(pred, scene(), 255)
    assert errors.main_kind == "hallucination"
    assert errors.pixels["hallucination"] == 100
    assert errors.pairs["hallucination"] == (1, 2)


def test_edge_that_is_off_by_one_is_a_boundary_error() -> None:
    pred = scene()
    pred[40] = 1
    errors = classify_errors(pred, scene(), 255)
    assert errors.pixels == {"boundary": 80, "missed": 0, "hallucination": 0, "confusion": 0}
    assert errors.pairs == {"boundary": (0, 1)}


def test_part_of_an_object_taken_for_another_class_is_a_confusion() -> None:
    pred = scene()
    pred[20:40, :40] = 0  # the sky above the road, connected to true road
    errors = classify_errors(pred, scene(), 255)
    assert errors.main_kind == "confusion"
    # The row beside the true edge lies in the band; the rest does not.
    assert (errors.pixels["boundary"], errors.pixels["confusion"]) == (40, 19 * 40)
    assert errors.pairs["confusion"] == (1, 0)


def test_one_class_alone() -> None:
    pred = scene()
    pred[pred == 2] = 0
    pred[5:15, 50:60] = 0
    assert classify_errors(pred, scene(), 255, only_class=2).wrong == 400
    assert classify_errors(pred, scene(), 255, only_class=1).wrong == 100


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31))
def test_kinds_add_up_and_ignored_pixels_count_nowhere(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.choice([0, 1, 2, 255], size=(24, 24))
    pred = rng.choice([0, 1, 2], size=(24, 24))
    errors = classify_errors(pred, mask, 255)
    assert set(errors.pixels) == set(KINDS)
    assert sum(errors.pixels.values()) == errors.wrong == ((pred != mask) & (mask != 255)).sum()
    assert errors.valid == (mask != 255).sum()
    changed = np.where(mask == 255, 1 - np.minimum(pred, 1), pred)
    assert classify_errors(changed, mask, 255).wrong == errors.wrong
