from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, label

from seglab.core.errors import DataError, ShapeError
from seglab.curation.audit import audit
from seglab.curation.labels.confident import ClassStatistics, Usual, score_labels
from seglab.curation.labels.ranking import rank_labels, read_ranking, write_ranking
from seglab.curation.labels.scenes import ImageNumbers, image_scores
from seglab.curation.predictions import kept_predictions
from seglab.curation.registry import AuditInputs
from seglab.runs.predictions import write_probabilities
from tests.curation.conftest import Make, picture

Pair = tuple[np.ndarray, np.ndarray]


def noisy(seed: int, size: tuple[int, int] = (12, 10), num_classes: int = 4) -> Pair:
    """Random labels and probabilities that mostly agree with them."""
    rng = np.random.default_rng(seed)
    mask = rng.integers(0, num_classes, size).astype(np.uint8)
    logits = rng.normal(0, 1.5, (num_classes, *size))
    np.put_along_axis(logits, mask[None].astype(int), 1.5, axis=0)
    shares = np.exp(logits)
    return mask, (shares / shares.sum(axis=0)).astype(np.float32)


def usual_of(pairs: list[Pair], num_classes: int) -> Usual:
    counted = ClassStatistics(num_classes)
    for mask, shares in pairs:
        counted.add(mask, shares)
    return counted.usual()


def test_issues_are_those_of_a_loop_over_pixels_with_void_and_mixed_sizes() -> None:
    pairs = [noisy(0), noisy(1, (7, 15)), noisy(2, (3, 3))]
    pairs[1][0][2:4] = 255
    usual = usual_of(pairs, 4)
    found = usual.thresholds
    own: list[list[float]] = [[] for _ in range(4)]
    for mask, shares in pairs:
        for y, x in np.argwhere(mask != 255):
            own[mask[y, x]].append(float(shares[mask[y, x], y, x]))
    np.testing.assert_allclose(found, [np.mean(one) for one in own], rtol=1e-6)
    for mask, shares in pairs:
        scored = score_labels(mask, shares, usual)
        for y, x in np.ndindex(mask.shape):
            sure = [k for k in range(4) if shares[k, y, x] >= found[k]]
            best = max(sure, key=lambda k: shares[k, y, x]) if sure else int(mask[y, x])
            is_issue = bool(mask[y, x] != 255 and best != mask[y, x])
            assert scored.issues[y, x] == is_issue
            assert scored.suggested[y, x] == (best if is_issue else mask[y, x])


def test_a_wrong_region_is_named_with_its_box_and_void_is_not() -> None:
    truth = np.zeros((20, 24), np.uint8)
    truth[8:14, 6:12] = 1
    shares = np.where(np.arange(3)[:, None, None] == truth, 0.9, 0.05).astype(np.float32)
    right = [(truth, shares)] * 5
    wrong = truth.copy()
    wrong[8:14, 6:12] = 2
    found = usual_of([*right, (wrong, shares)], 3)
    scored = score_labels(wrong, shares, found)
    (region,) = scored.regions
    assert (region.box, region.pixels, region.given, region.suggested) == ((6, 8, 12, 14), 36, 2, 1)
    # Probabilities 0.05 against 0.9: surprise log 18 less the model's own doubt.
    assert region.score == pytest.approx(np.log(18) + 0.05 * 2 * np.log(0.05 / 0.9), rel=0.02)
    assert score_labels(truth, shares, found).score == 0 < scored.score
    wrong[8:14, 6:12] = 255
    assert score_labels(wrong, shares, found).regions == ()
    blank = np.full_like(truth, 255)
    assert score_labels(blank, shares, found).score == 0
    with pytest.raises(ShapeError, match=r"expected probabilities of 3 classes"):
        score_labels(wrong[:5], shares, found)


def test_a_model_in_doubt_is_no_evidence() -> None:
    mask = np.zeros((16, 16), np.uint8)
    unsure = np.full((3, 16, 16), 1 / 3, np.float32)
    assert score_labels(mask, unsure, Usual(np.full(3, 0.3), np.ones(3))).score == pytest.approx(
        0, abs=1e-4
    )


def test_the_score_is_in_units_of_what_is_usual_for_the_given_class() -> None:
    mask, shares = np.zeros((9, 9), np.uint8), np.zeros((2, 9, 9), np.float32)
    mask[:, 5:] = 255
    shares[0], shares[1] = 0.1, 0.9
    # -log 0.1 less the entropy of (0.1, 0.9), the same everywhere, on 45 valid pixels.
    surprise = -np.log(0.1) + 0.1 * np.log(0.1) + 0.9 * np.log(0.9)
    counted = ClassStatistics(2)
    counted.add(mask, shares)
    usual = counted.usual()
    np.testing.assert_allclose(usual.surprise, [surprise, 0.1], rtol=1e-5)
    assert score_labels(mask, shares, usual).score == pytest.approx(np.sqrt(45), rel=1e-5)
    twice = Usual(usual.thresholds, usual.surprise * 2)
    assert score_labels(mask, shares, twice).score == pytest.approx(np.sqrt(45) / 2, rel=1e-5)


def test_an_outline_is_told_by_border_pixels_that_are_surely_their_neighbours() -> None:
    truth = np.zeros((20, 20), np.uint8)
    truth[5:13, 5:13] = 1
    shares = np.where(np.arange(2)[:, None, None] == truth, 0.9, 0.1).astype(np.float32)
    wide = np.zeros_like(truth)
    wide[4:14, 4:14] = 1
    usual = Usual(np.full(2, 0.9), np.ones(2))
    assert score_labels(truth, shares, usual).outline == 0
    # The 36 pixels of the ring are inside the wide outline; the 40 beside it lie outside.
    assert score_labels(wide, shares, usual).outline == pytest.approx(36 / 76)
    void = np.where(wide == 1, wide, 255).astype(np.uint8)
    assert score_labels(void, shares, usual).outline == 0
    unsure = np.full_like(shares, 0.5)
    assert score_labels(wide, unsure, usual).outline == 0


def numbers(scores: Iterable[float], outlines: Iterable[float]) -> list[ImageNumbers]:
    return [ImageNumbers(*one, {}) for one in zip(scores, outlines, strict=True)]


def test_an_image_is_as_odd_as_the_odder_of_its_surprise_and_its_outlines() -> None:
    scores, outlines = np.expm1([1.0, 1.2, 1.4, 1.6, 5.4]), [0.1, 0.12, 0.14, 0.6, 0.1]
    odd = image_scores(numbers(scores, outlines))
    # Medians 1.4 and 0.12; median deviations 0.2 and 0.02.
    np.testing.assert_allclose(odd[3:], [0.48 / (1.4826 * 0.02), 4 / (1.4826 * 0.2)])
    assert odd.argsort()[::-1][:2].tolist() == [3, 4]
    assert image_scores([]).shape == (0,)
    # Three frames of a scene are held against their own median, 1.2; two are too few for one.
    above = np.array([-0.2, 0.0, 0.2, 0.2, 4.0])
    by_scene = image_scores(numbers(scores, [0] * 5), ["a", "a", "a", "b", "b"])
    first = np.maximum((above - 0.2) / (1.4826 * 0.2), 0)
    np.testing.assert_allclose(by_scene, first / [2, 2, 2, 1, 1], atol=1e-9)
    np.testing.assert_array_equal(image_scores(numbers([0, 0, 0], [0, 0, 0.05])), [0, 0, 5])
    # Ragged all over the first scene, in one frame of the second: only that stands out among its own.
    by_scene = image_scores(numbers([0] * 8, [0.3] * 3 + [0.1] * 4 + [0.3]), ["a"] * 3 + ["b"] * 5)
    assert by_scene.argsort()[::-1][0] == 7
    np.testing.assert_allclose(by_scene[:7], 0, atol=1e-9)


def test_a_confusion_that_no_other_frame_has_stands_out_in_a_scene_that_is_hard_throughout() -> (
    None
):
    hard, new, usual = (0, 1), (2, 1), np.expm1(3.0)
    scene = [{hard: usual}, {hard: usual, new: np.expm1(2.0)}, {hard: np.expm1(3.5)}, {}]
    images = [ImageNumbers(10.0, 0.0, one) for one in scene]
    odd = image_scores(images, ["a"] * 4)
    # Above the other frames by 0, 2, 0.5 and 0: median 0.25, median deviation 0.25; all surprise alike.
    expected = np.array([0, 2 - 0.25, 0.5 - 0.25, 0]) / (1.4826 * 0.25) / 2
    np.testing.assert_allclose(odd, expected)
    # Two frames with the same new confusion hide one another, as a mistake repeated does.
    both = [ImageNumbers(10.0, 0.0, scene[1]) for _ in range(4)]
    np.testing.assert_array_equal(image_scores(both, ["a"] * 4), 0)
    # Without scenes nothing is known to be new.
    np.testing.assert_array_equal(image_scores(images), 0)
    np.testing.assert_array_equal(image_scores(images, list("abcd")), 0)


@pytest.mark.parametrize("seed", range(4))
def test_confusions_are_those_of_objects_hardly_labelled_as_what_they_look_like(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = gaussian_filter(rng.normal(size=(5, 48, 64)), (0, 3, 3)) * 40
    shares = (np.exp(logits) / np.exp(logits).sum(axis=0)).astype(np.float32)
    mask = shares.argmax(axis=0).astype(np.uint8)
    mask[:, 20:44], mask[40:, :8] = rng.integers(0, 5), 255
    found = score_labels(mask, shares, usual_of([(mask, shares)], 5))
    expected: dict[tuple[int, int], float] = {}
    for other in range(5):
        looks = (shares.argmax(axis=0) == other) & (mask < 5)
        parts, count = label(looks, np.ones((3, 3)))
        for part in range(1, count + 1):
            wrong = (parts == part) & (mask != other)
            if (parts == part).sum() >= 6 and wrong.sum() >= 0.8 * (parts == part).sum():
                given = int(np.bincount(mask[wrong]).argmax())
                above = np.square(np.maximum(found.surprise[wrong], 0), dtype=float)
                expected[given, other] = expected.get((given, other), 0) + above.sum()
    assert len(expected) >= 2
    assert found.confusions == pytest.approx({pair: v**0.5 for pair, v in expected.items()})
    assert (np.diff([*found.confusions.values()]) <= 0).all()


@pytest.mark.parametrize(
    ("size", "labelled", "counts"), [(20, 0, True), (20, 4, True), (20, 5, False), (5, 0, False)]
)
def test_an_object_counts_from_six_pixels_on_if_a_fifth_at_most_is_labelled_so(
    size: int, labelled: int, counts: bool
) -> None:
    truth = np.zeros((9, 40), np.uint8)
    truth[4, 10 : 10 + size] = 2
    shares = np.where(np.arange(3)[:, None, None] == truth, 0.9, 0.05).astype(np.float32)
    mask = np.zeros_like(truth)
    mask[4, 10 : 10 + labelled] = 2
    found = score_labels(mask, shares, usual_of([(truth, shares)], 3))
    assert list(found.confusions) == ([(0, 2)] if counts else [])


def test_an_image_of_many_classes_keeps_its_largest_confusions_alone() -> None:
    mask, truth = np.zeros((40, 96), np.uint8), np.zeros((40, 96), np.uint8)
    for place in range(48):
        cut = np.s_[
            5 * (place // 8) : 5 * (place // 8) + 4, 12 * (place % 8) : 12 * (place % 8) + 9
        ]
        mask[cut], truth[cut] = place // 8, 6 + place % 8
    shares = np.where(np.arange(14)[:, None, None] == truth, 0.87, 0.01).astype(np.float32)
    found = score_labels(mask, shares, usual_of([(mask, shares)], 14))
    assert len(set(zip(mask[truth > 0].tolist(), truth[truth > 0].tolist(), strict=True))) == 48
    assert len(found.confusions) == 32


def test_memory_does_not_grow_with_the_number_of_images() -> None:
    import tracemalloc

    peaks = []
    for count in (5, 40):
        tracemalloc.start()
        found = ClassStatistics(4)
        for seed in range(count):
            found.add(*noisy(seed, (64, 64)))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_audit_ranks_the_planted_image_first_and_names_what_was_not_predicted(
    make: Make, tmp_path: Path
) -> None:
    masks = {name: np.zeros((48, 64), np.uint8) for name in "abcd"}
    truth = masks["a"].copy()
    for mask in (*masks.values(), truth):
        mask[10:30, 10:40] = 1
    masks["c"][12:22, 12:30] = 2
    manifest = make({name: picture(place) for place, name in enumerate("abcd")}, dict(masks))
    shares = np.where(np.arange(3)[:, None, None] == truth, 230, 12).astype(np.uint8)
    for name in "abc":
        write_probabilities(tmp_path / "run", name, shares)
    inputs = AuditInputs(manifest, predictions=kept_predictions(tmp_path / "run", manifest))
    audited = audit(inputs, ["label_error", "not_predicted"], {"label_error": 2})
    found = audited.table
    assert found[["kind", "sample_id"]].to_numpy().tolist() == [
        ["label_error", "c"],
        ["not_predicted", "d"],
    ]
    assert found["region"].iloc[0] == [12, 12, 30, 22]
    assert found["detail"].iloc[0] == "180 pixels of car look like tree"
    assert audited.label_ranking is not None
    write_ranking(audited.label_ranking, tmp_path / "audit")
    ranking = read_ranking(tmp_path / "audit")
    assert ranking.to_dict() == audited.label_ranking.to_dict()
    assert ranking["rank"].tolist() == [1, 2, 3]
    first = ranking.iloc[0]
    assert (first["id"], first["sample_id"], first["image"]) == (found["id"][0], "c", "c.png")
    assert first[["pixels", "given", "suggested", "action"]].tolist() == [
        180,
        "car",
        "tree",
        "relabel",
    ]
    assert ranking["action"].tolist()[1:] == ["keep", "keep"]
    alone = rank_labels(manifest, kept_predictions(tmp_path / "run", manifest))
    assert alone["sample_id"].tolist() == ranking["sample_id"].tolist()
    with pytest.raises(DataError, match="kept no predictions"):
        kept_predictions(tmp_path, manifest)
    (tmp_path / "folds").mkdir()
    told = f"not finished; go on with it: `seglab train resume={tmp_path}`"
    with pytest.raises(DataError, match=re.escape(told)):
        kept_predictions(tmp_path, manifest)


def _flat() -> tuple[np.ndarray, np.ndarray]:
    """Thresholds, and which of the pixels of four noisy images are issues."""
    pairs = [noisy(seed, (40, 50), 5) for seed in range(4)]
    usual = usual_of(pairs, 5)
    issues = [score_labels(*pair, usual).issues.ravel() for pair in pairs]
    return usual.thresholds, np.flatnonzero(np.concatenate(issues))


def test_two_regions_of_one_box_are_two_findings(make: Make, tmp_path: Path) -> None:
    masks = {name: np.zeros((48, 64), np.uint8) for name in "abc"}
    for index in (1, 2):
        masks["a"][20 * index : 20 * index + 8, 10:30] = masks["b"][20 * index :, 10:30] = index
    truth = {name: mask.copy() for name, mask in masks.items()}
    steps = np.arange(12)
    masks["c"][10 + steps, 10 + steps] = 1
    masks["c"][10 + steps, 21 - steps] = 2
    manifest = make({name: picture(place) for place, name in enumerate("abc")}, masks)
    for name, mask in truth.items():
        shares = np.where(np.arange(3)[:, None, None] == mask, 230, 12).astype(np.uint8)
        write_probabilities(tmp_path / "run", name, shares)
    inputs = AuditInputs(manifest, predictions=kept_predictions(tmp_path / "run", manifest))
    audited = audit(inputs, ["label_error"], {"label_error": 0.2})
    assert audited.label_ranking is not None
    assert audited.table["region"].tolist() == [[10, 10, 22, 22]] * 2
    assert audited.table["id"].nunique() == 2
    assert set(audited.table["id"]) <= set(audited.label_ranking["id"])


def test_thresholds_and_issues_are_those_cleanlab_2_9_gave() -> None:
    found, issues = _flat()
    theirs = [0.379853, 0.380536, 0.380952, 0.386504, 0.375906]
    np.testing.assert_allclose(found, theirs, atol=1e-6)
    assert (len(issues), int(issues.sum())) == (3419, 13566097)


_CLEANLAB = """
import json, sys
import numpy as np
from cleanlab.count import compute_confident_joint, get_confident_thresholds
data = np.load(sys.argv[1])
labels, shares = data["labels"], data["shares"]
joint, off = compute_confident_joint(
    labels, shares, calibrate=False, return_indices_of_off_diagonals=True)
print(json.dumps({"thresholds": get_confident_thresholds(labels, shares).tolist(),
                  "off": sorted(int(i) for i in off)}))
"""


@pytest.mark.slow
def test_issues_are_those_that_cleanlab_finds(tmp_path: Path) -> None:
    """Set SEGLAB_CLEANLAB to a Python that has cleanlab; it needs an environment of its own."""
    python = os.environ.get("SEGLAB_CLEANLAB")
    if not python:
        pytest.skip("SEGLAB_CLEANLAB names no Python that has cleanlab")
    pairs = [noisy(seed, (40, 50), 5) for seed in range(4)]
    labels = np.concatenate([mask.ravel() for mask, _ in pairs])
    shares = np.concatenate([one.reshape(5, -1).T for _, one in pairs])
    np.savez(tmp_path / "data.npz", labels=labels, shares=shares)
    done = subprocess.run(
        [python, "-c", _CLEANLAB, str(tmp_path / "data.npz")],
        check=True,
        capture_output=True,
        text=True,
        env={key: text for key, text in os.environ.items() if key != "PYTHONPATH"},
    )
    theirs = json.loads(done.stdout.splitlines()[-1])
    found, issues = _flat()
    np.testing.assert_allclose(found, theirs["thresholds"], rtol=1e-5)
    assert issues.tolist() == theirs["off"]
