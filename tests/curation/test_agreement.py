"""Agreement of annotators against scikit-learn, hand-made cases and drawn data."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score, f1_score, jaccard_score

from seglab.core.errors import ConfigError, DataError
from seglab.core.labels import LabelSpace
from seglab.curation.agreement.counts import count_panel
from seglab.curation.agreement.kappa import (
    cohen_kappa,
    cohen_sums,
    fleiss_kappa,
    fleiss_sums,
    fleiss_sums_of_two,
)
from seglab.curation.agreement.measure import measure
from seglab.curation.agreement.panel import read_panel
from seglab.metrics.jackknife import statistic_interval
from tests.annotators import careless, scene, write_annotator

TRUTH = {f"s{number}": scene(number) for number in range(8)}
BEN = {name: careless(mask, number) for number, (name, mask) in enumerate(TRUTH.items())}


def test_numbers_are_those_of_scikit_learn(tmp_path: Path) -> None:
    manifests = [write_annotator(tmp_path, "anna", TRUTH), write_annotator(tmp_path, "ben", BEN)]
    panel = read_panel(manifests)
    assert panel.annotators == ("anna", "ben")
    agreed = measure(count_panel(panel))
    first, second = (
        np.concatenate([mask.ravel() for mask in masks.values()]) for masks in (TRUTH, BEN)
    )
    both = (first != 255) & (second != 255)
    assert agreed.void == int(((first == 255) != (second == 255)).sum()) > 0
    first, second = first[both], second[both]
    assert agreed.pixels == both.sum()
    assert agreed.total.cohen.value == pytest.approx(cohen_kappa_score(first, second))
    for index, one in enumerate(agreed.classes):
        assert one.dice.value == pytest.approx(f1_score(first == index, second == index))
        assert one.iou.value == pytest.approx(jaccard_score(first == index, second == index))
        expected = cohen_kappa_score(first == index, second == index)
        assert one.cohen.value == pytest.approx(expected)
        for told in (one.dice, one.iou, one.cohen, one.fleiss):
            assert told.low < told.value < told.high


# A table of the form of Fleiss (1971): 10 subjects, 14 raters, 5 categories;
# statsmodels 0.15.0 says 0.2099307 of it.
_TABLE = np.array(
    [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ]
)


def test_fleiss_kappa_is_that_of_the_published_example() -> None:
    votes = np.stack([np.repeat(np.arange(5), row) for row in _TABLE])  # subjects x raters
    masks = [votes[:, rater].reshape(2, 5).astype(np.uint8) for rater in range(14)]
    assert fleiss_kappa(fleiss_sums(masks, 5)) == pytest.approx(0.20993, abs=5e-6)
    # Images add up: five subjects in each of two.
    halves = sum(fleiss_sums([mask[row : row + 1] for mask in masks], 5) for row in range(2))
    assert fleiss_kappa(halves) == pytest.approx(0.20993, abs=5e-6)


def test_void_is_no_label() -> None:
    rng = np.random.default_rng(0)
    a, b, c = rng.integers(0, 3, (3, 20, 20)).astype(np.uint8)
    whole = fleiss_sums([a, b, c], 3)
    frame = [np.pad(mask, 3, constant_values=255) for mask in (a, b, c)]
    frame[0][:3] = 1  # labelled by one alone
    assert fleiss_sums(frame, 3) == pytest.approx(whole)
    matrix = np.array([[5, 1, 0], [2, 7, 1], [0, 0, 4]])
    two = fleiss_sums_of_two(cohen_sums(matrix))
    drawn = [np.repeat(np.indices((3, 3))[side].ravel(), matrix.ravel())[None] for side in (0, 1)]
    assert two == pytest.approx(fleiss_sums([one.astype(np.uint8) for one in drawn], 3))
    assert np.isnan(cohen_kappa(cohen_sums(np.diag([9, 0, 0])))), "one class: nothing to agree on"
    assert cohen_kappa(cohen_sums(np.diag([9, 3, 0]))) == 1.0


def test_outlines_and_classes_of_one_alone(tmp_path: Path) -> None:
    first = np.zeros((30, 30), dtype=np.uint8)
    first[5:15, 5:15] = 1
    second = np.zeros_like(first)
    second[5:15, 9:19] = 1  # four to the right
    third = np.zeros_like(first)
    third[20:25, 20:25] = 2
    masks = ({"x": first, "y": first}, {"x": second, "y": third})
    panel = read_panel([write_annotator(tmp_path, w, m) for w, m in zip("ab", masks, strict=True)])
    agreed = measure(count_panel(panel))
    tree, car = agreed.classes[1:]
    assert tree.distance.value == 4.0
    assert (tree.drawn, tree.alone) == (2, 1)
    assert (car.drawn, car.alone) == (1, 1)
    assert np.isnan(car.distance.value)
    assert np.isnan(tree.dice.low), "two images tell no interval"


def test_three_annotators_and_a_missing_mask(tmp_path: Path) -> None:
    third = {name: careless(mask, 90 + n) for n, (name, mask) in enumerate(TRUTH.items())}
    third.pop("s7")
    all_masks = {"anna": TRUTH, "ben": BEN, "cleo": third}
    panel = read_panel([write_annotator(tmp_path, *item) for item in all_masks.items()])
    counts = count_panel(panel, distances=False)
    assert counts.pair_names() == [("anna", "ben"), ("anna", "cleo"), ("ben", "cleo")]
    agreed = measure(counts)
    pairs = [measure(counts, pair) for pair in counts.pair_names()]
    assert agreed.total.cohen.value == pytest.approx(np.mean([p.total.cohen.value for p in pairs]))
    assert [p.images for p in pairs] == [8, 7, 7]
    assert min(p.total.dice.value for p in pairs) <= agreed.total.dice.value
    (tmp_path / "ben" / "masks" / "s3.png").write_bytes(b"no picture")
    recounted = count_panel(panel, distances=False)
    assert "s3" not in recounted.sample_ids
    assert "s3.png" in panel.left_out["s3"]


def test_frames_of_one_video_are_left_out_together(tmp_path: Path) -> None:
    video = {name: f"v{number // 2}" for number, name in enumerate(TRUTH)}
    manifests = [
        write_annotator(tmp_path, who, masks, group=video)
        for who, masks in (("anna", TRUTH), ("ben", BEN))
    ]
    few = measure(count_panel(read_panel(manifests), distances=False))
    assert not few.grouped, "four videos are too few to be the units"
    assert few.few_groups == 4
    video = {name: f"v{number // 1.5:.0f}" for number, name in enumerate(TRUTH)}
    manifests = [
        m.with_table(m.table.assign(group=pd.Series(list(video.values())))) for m in manifests
    ]
    agreed = measure(count_panel(read_panel(manifests), distances=False))
    assert agreed.grouped
    assert agreed.few_groups == 0
    assert agreed.total.dice.units == len(set(video.values()))


def test_one_manifest_tells_annotators_by_a_column(tmp_path: Path) -> None:
    one, other = (
        write_annotator(tmp_path, who, masks, annotator=who)
        for who, masks in (("anna", TRUTH), ("ben", BEN))
    )
    both = pd.concat(
        [
            one.table.assign(image="anna/" + one.table["image"], mask="anna/" + one.table["mask"]),
            other.table.assign(
                sample_id=other.table["sample_id"] + "_b",
                image="ben/" + other.table["image"],
                mask="ben/" + other.table["mask"],
            ),
        ]
    )
    joined = dataclasses.replace(one, table=both, root=tmp_path)
    panel = read_panel([joined])
    assert panel.annotators == ("anna", "ben")
    assert [image.sample_id for image in panel.images] == [f"anna/images/{name}" for name in TRUTH]
    apart = measure(count_panel(read_panel([one, other]), distances=False))
    assert measure(count_panel(panel, distances=False)).total == apart.total
    with pytest.raises(DataError, match="different names in the column annotator"):
        read_panel([one])
    with pytest.raises(DataError, match="2 masks by 'anna'"):
        read_panel([joined.with_table(both.assign(annotator="anna"))])


def test_what_does_not_fit_together_is_refused(tmp_path: Path) -> None:
    anna = write_annotator(tmp_path, "anna", TRUTH)
    swapped = LabelSpace(("tree", "ground", "car"))
    other = {name: np.array([1, 0, 2, *[255] * 253], np.uint8)[m] for name, m in TRUTH.items()}
    ben = write_annotator(tmp_path, "ben", other, labels=swapped)
    agreed = measure(count_panel(read_panel([anna, ben]), distances=False))
    assert agreed.total.dice.value == 1.0, "classes are matched by name"
    assert agreed.total.cohen.value == 1.0 > agreed.total.cohen.low > 0.5
    strange = write_annotator(tmp_path, "cleo", TRUTH, labels=LabelSpace(("ground", "tree", "bus")))
    with pytest.raises(DataError, match=r"only in cleo: bus"):
        read_panel([anna, strange])
    with pytest.raises(ConfigError, match="a name of its own"):
        read_panel([anna, ben], names=["x"])
    renamed = {f"t{name}": mask for name, mask in TRUTH.items()}
    with pytest.raises(DataError, match="--match sample_id"):
        read_panel([anna, write_annotator(tmp_path, "dora", renamed)])


def test_intervals_of_kappa_miss_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)

    def images(number: int) -> np.ndarray:
        """Confusion matrices of images that differ in classes and in difficulty."""
        shares = rng.dirichlet([8, 4, 2, 1], size=number)
        wrong = rng.beta(2, 18, size=(number, 1))
        mixed = rng.dirichlet([2] * 4, size=(number, 4))
        cells = (shares * wrong)[:, :, None] * mixed
        cells += (shares * (1 - wrong))[:, :, None] * np.eye(4)
        return rng.multinomial(2000, cells.reshape(number, 16)).reshape(number, 4, 4)

    many = cohen_sums(images(50_000)).sum(0)
    for index in (None, 3):
        truth, missed = float(cohen_kappa(many, index)), 0
        for _ in range(300):
            told = statistic_interval(cohen_sums(images(12)), lambda s, i=index: cohen_kappa(s, i))
            missed += not told.low <= truth <= told.high
        assert 5 <= missed <= 27, "15 of 300 are wanted"
