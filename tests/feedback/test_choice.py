"""What is drawn and what is chosen: without bias where it is random, and of many kinds where it is not."""

from __future__ import annotations

import numpy as np
import pytest

from seglab.feedback.queue.choice import Rules, choose, draw_control, percentiles, weighted
from seglab.feedback.queue.scores import drift_distances

IDS = [f"r{number:04}" for number in range(400)]


def test_the_random_share_estimates_quality_without_bias_and_the_chosen_part_does_not() -> None:
    """Images that the model is unsure of are worse, and frames of one stream are alike."""
    rng = np.random.default_rng(0)
    stream = np.repeat(rng.normal(size=20), 20)
    entropy = 1 / (1 + np.exp(-stream - 0.3 * rng.normal(size=400)))
    right = rng.binomial(1000, 1 - 0.8 * entropy) / 1000
    truth, count = right.mean(), 40
    means, hard, hits = [], [], np.zeros(400)
    for seed in range(1500):
        drawn = draw_control(IDS, 0.5, count, seed)
        means.append(right[drawn].mean())
        hits[drawn] += 1
    rest = np.argsort(-entropy, kind="stable")
    drawn = draw_control(IDS, 0.5, count, 0)
    hard = [place for place in rest if place not in drawn][: count // 2]
    # The standard error of a mean of so many draws, without replacement.
    error = right.std(ddof=1) * np.sqrt((1 - 20 / 400) / 20 / 1500)
    assert abs(np.mean(means) - truth) < 3 * error
    assert abs(np.std(means) / (error * np.sqrt(1500)) - 1) < 0.07
    assert truth - right[hard].mean() > 0.2
    # Each image is drawn with the probability that its item tells, 20 of 400.
    chance = 20 / 400
    worst = np.abs(hits / 1500 - chance).max()
    assert worst < 4.5 * np.sqrt(chance * (1 - chance) / 1500)


def test_the_draw_does_not_depend_on_the_order_of_the_log() -> None:
    shuffled = np.random.default_rng(1).permutation(400)
    drawn = draw_control(IDS, 0.2, 50, 7)
    other = draw_control([IDS[place] for place in shuffled], 0.2, 50, 7)
    assert [IDS[one] for one in drawn] == [IDS[shuffled[one]] for one in other]
    assert len(set(drawn.tolist())) == 10
    assert drawn.tolist() != draw_control(IDS, 0.2, 50, 8).tolist()
    assert len(draw_control(IDS[:3], 1.0, 50, 0)) == 3
    assert len(draw_control(IDS, 0.001, 50, 0)) == 1, "there always is a random share"


def chosen(
    scores: np.ndarray, looks: np.ndarray, streams: list[str], rules: Rules, bad: set[int]
) -> list[int]:
    order = np.argsort(-scores, kind="stable")
    return choose(
        order,
        np.array(streams),
        rules,
        lambda places: scores[places],
        lambda places: looks[places],
        lambda place: place not in bad,
    )


def test_frames_of_one_scene_are_not_all_taken() -> None:
    scores = np.linspace(1, 0.5, 40)
    looks = np.zeros((40, 2))
    looks[30:] = np.random.default_rng(0).normal(size=(10, 2)) * 5
    streams = [""] * 40
    alike = chosen(scores, looks, streams, Rules(6, None, 0.0, 8), set())
    assert alike == [0, 1, 2, 3, 4, 5]
    apart = chosen(scores, looks, streams, Rules(6, None, 1.0, 8), set())
    assert apart[0] == 0
    assert sum(one < 30 for one in apart) == 1


def test_a_stream_gives_no_more_than_its_cap_and_the_next_ones_fill_up() -> None:
    scores = np.linspace(1, 0, 40)
    looks = np.random.default_rng(0).normal(size=(40, 3))
    streams = ["a"] * 20 + ["b"] * 10 + [""] * 10
    found = chosen(scores, looks, streams, Rules(12, 3, 0.2, 2), {0, 21})
    names = [streams[place] for place in found]
    assert (names.count("a"), names.count("b"), names.count("")) == (3, 3, 6)
    assert not {0, 21} & set(found)
    assert len(chosen(scores, looks, streams, Rules(30, 3, 0.2, 2), set())) == 16


def test_scores_count_by_rank_and_weight() -> None:
    np.testing.assert_allclose(percentiles(np.array([5.0, 1, 5, 9])), [0.5, 0.125, 0.5, 0.875])
    scores = {"uncertainty": np.array([1.0, 2, 3, 4]), "drift": np.array([900.0, 1, 2, 3])}
    even = weighted(scores, {"uncertainty": 1, "drift": 1, "disagreement": 5})
    np.testing.assert_allclose(even, [0.5, 0.25, 0.5, 0.75])
    mostly = weighted(scores, {"uncertainty": 1, "drift": 3})
    assert mostly.argmax() == 0


def test_drift_is_the_distance_to_the_nearest_of_the_reference_each_feature_in_its_own_unit() -> (
    None
):
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(50, 3)) * [1, 100, 0]
    near, far = drift_distances(np.array([[0.0, 0, 0], [0, 1000, 0]]), reference)
    assert far > 4 > 1 > near
    (alone,) = drift_distances(np.array([[2.0, 0]]), np.array([[0.0, 0], [1, 0]]))
    assert alone == pytest.approx((2 + 4) / 2), "deviation 0.5; fewer than five are all of them"
