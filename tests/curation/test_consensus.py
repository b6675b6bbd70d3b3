"""Votes and STAPLE against SimpleITK, and what a consensus writes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import fsspec
import numpy as np
import pytest
from PIL import Image

from seglab.curation.agreement.consensus import write_consensus
from seglab.curation.agreement.counts import count_panel
from seglab.curation.agreement.gold import score_on_gold
from seglab.curation.agreement.measure import measure
from seglab.curation.agreement.panel import read_panel
from seglab.curation.agreement.rules import class_pairs, classes_by_need, images_by_need
from seglab.curation.agreement.staple import fit_staple
from seglab.curation.agreement.votes import confusions_with_others, find_patterns, votes, winner
from seglab.data.files.masks import read_mask
from seglab.data.manifest import Manifest
from seglab.data.remote import place_of, use_file_cache
from tests.annotators import careless, scene, write_annotator

TRUTH = {f"s{number}": scene(number) for number in range(8)}


def _drawn(share: float, seed: int) -> dict[str, np.ndarray]:
    return {name: careless(mask, seed + n, share) for n, (name, mask) in enumerate(TRUTH.items())}


def _three_masks() -> tuple[np.ndarray, list[np.ndarray]]:
    rng = np.random.default_rng(5)
    truth = np.zeros((20, 24), np.uint8)
    truth[4:14, 3:12], truth[10:18, 14:22] = 1, 2
    masks = []
    for share in (0.05, 0.15, 0.3):
        mask, wrong = truth.copy(), rng.random(truth.shape) < share
        mask[wrong] = rng.integers(0, 3, int(wrong.sum()))
        masks.append(mask)
    return truth, masks


# SimpleITK 2.5.7: MultiLabelSTAPLEImageFilter, TerminationUpdateThreshold 1e-9; rows = what is said.
_SIMPLEITK = [
    [[0.968917, 0.006093, 0.060215], [0.010144, 0.966317, 0.010944], [0.02094, 0.027589, 0.928841]],
    [
        [0.894786, 0.099205, 0.090619],
        [0.032672, 0.852451, 0.058962],
        [0.072541, 0.048344, 0.850419],
    ],
    [
        [0.804823, 0.115895, 0.078698],
        [0.081413, 0.771548, 0.057401],
        [0.113764, 0.112557, 0.863901],
    ],
]


def test_staple_is_that_of_simpleitk() -> None:
    truth, masks = _three_masks()
    patterns, inverse, counts = find_patterns(masks)
    fitted = fit_staple(patterns, counts, 3, tolerance=1e-9)
    assert fitted.converged
    assert fitted.performance.transpose(0, 2, 1) == pytest.approx(np.array(_SIMPLEITK), abs=1e-6)
    found = winner(fitted.posterior(patterns), 255)[inverse]
    # SimpleITK's labels are these on every pixel.
    assert int((found != truth).sum()) == 12
    assert int((winner(votes(patterns, 3), 255)[inverse] != truth).sum()) == 17

    # Of two classes: STAPLEImageFilter, whose iterations end a little earlier.
    patterns, inverse, counts = find_patterns([(mask == 1).astype(np.uint8) for mask in masks])
    two = fit_staple(patterns, counts, 2, tolerance=1e-9)
    assert two.performance[:, 1, 1] == pytest.approx([0.9669091, 0.8408478, 0.7620226], abs=1e-6)
    assert two.performance[:, 0, 0] == pytest.approx([0.9928813, 0.9624516, 0.9227343], abs=1e-6)
    assert two.posterior(patterns)[:, 1][inverse].sum() == pytest.approx(93.336019, abs=1e-3)


def test_annotators_who_say_nothing_change_nothing() -> None:
    _, masks = _three_masks()
    patterns, _, counts = find_patterns(masks)
    alone = fit_staple(patterns, counts, 3)
    framed = [
        np.pad(mask, 2, constant_values=255) for mask in (*masks, np.full_like(masks[0], 255))
    ]
    more, inverse, counts = find_patterns(framed)
    fitted = fit_staple(more, counts, 3)
    assert fitted.performance[:3] == pytest.approx(alone.performance)
    assert np.isnan(fitted.performance[3]).all()
    assert (winner(fitted.posterior(more), 255)[inverse][:2] == 255).all(), "nobody labelled these"


def test_patterns_of_many_annotators_are_told_apart() -> None:
    rng = np.random.default_rng(1)
    masks = list(rng.integers(0, 256, (20, 9, 7)).astype(np.uint8))
    patterns, inverse, counts = find_patterns(masks)
    assert counts.sum() == 63
    for annotator, mask in enumerate(masks):
        assert (patterns[:, annotator][inverse] == mask).all()


def test_votes_by_hand() -> None:
    patterns = np.array([[0, 0, 1], [0, 1, 255], [255, 255, 255], [2, 255, 255]], dtype=np.uint8)
    assert winner(votes(patterns, 3), 255).tolist() == [0, 255, 255, 2]
    with_others = confusions_with_others(patterns, np.array([7, 5, 3, 2]), 3, 255)
    # First: the others are tied, say 1, are silent, are silent. Third: they say 0, then nothing of its own.
    assert with_others[0].tolist() == [[0, 0, 0], [5, 0, 0], [0, 0, 0]]
    assert with_others[1].tolist() == [[0, 5, 0], [0, 0, 0], [0, 0, 0]]
    assert with_others[2].tolist() == [[0, 7, 0], [0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("method", "scope"), [("majority", "dataset"), ("staple", "dataset"), ("staple", "image")]
)
def test_consensus_is_written_and_nearer_to_the_truth_than_anybody(
    tmp_path: Path, method: str, scope: str
) -> None:
    drawn = {"anna": _drawn(0.1, 0), "ben": _drawn(0.15, 50), "cleo": _drawn(0.2, 90)}
    panel = read_panel([write_annotator(tmp_path, *item) for item in drawn.items()])
    made = write_consensus(panel, tmp_path / "out", method, scope)  # type: ignore[arg-type]
    again = Manifest.read(tmp_path / "out")
    assert again.fingerprint == made.manifest.fingerprint
    wrong = dict.fromkeys((*drawn, "all"), 0)
    for row in again.table.to_dict(orient="records"):
        mask = read_mask(again.root / row["mask"], again.labels)
        truth = TRUTH[row["sample_id"]]
        valid = truth != 255
        wrong["all"] += int((mask != truth)[valid].sum())
        for who, masks in drawn.items():
            wrong[who] += int((masks[row["sample_id"]] != truth)[valid].sum())
        assert (again.root / row["image"]).is_file()
        assert row["annotator"] == f"{method} of anna, ben, cleo"
        with Image.open(again.root / row["mask"]) as picture:
            assert picture.mode == "P"
    assert wrong["all"] * 2 < min(count for who, count in wrong.items() if who != "all")
    assert (made.staple is not None) == (method == "staple" and scope == "dataset")
    if made.staple is not None:
        assert made.staple.performance[:, 1, 1].tolist() == sorted(
            made.staple.performance[:, 1, 1], reverse=True
        ), "anna is the most careful"


def test_what_needs_a_rule_comes_first(tmp_path: Path) -> None:
    other = {name: mask.copy() for name, mask in TRUTH.items()}
    for name in ("s2", "s5"):
        other[name][TRUTH[name] == 2] = 1  # somebody takes cars for trees
    other["s6"][10, 20] = 1
    panel = read_panel(
        [write_annotator(tmp_path, "anna", TRUTH), write_annotator(tmp_path, "ben", other)]
    )
    counts = count_panel(panel, distances=False)
    pairs = class_pairs(counts)
    cars = sum(int((TRUTH[name] == 2).sum()) for name in ("s2", "s5"))
    assert [(one.first, one.second, one.pixels, one.images) for one in pairs] == [
        ("tree", "car", cars, 2),
        ("ground", "tree", 1, 1),
    ]
    assert pairs[0].share == pytest.approx(cars / (cars + 1))
    images = images_by_need(counts)
    assert sorted(one.sample_id for one in images[:2]) == ["s2", "s5"]
    assert images[2].sample_id == "s6"
    assert len(images) == 3
    assert images[0].mistaken == ("tree", "car")
    verdicts = {name: told for name, _, told in classes_by_need(measure(counts), bar=0.9)}
    assert list(verdicts) == ["car", "tree", "ground"]
    assert verdicts["ground"] == "pass"
    assert verdicts["car"] == "cannot tell", "two bad images of eight: the interval reaches the bar"


def test_annotators_pass_or_fail_on_a_gold_set(tmp_path: Path) -> None:
    gold = write_annotator(tmp_path, "gold", {name: TRUTH[name] for name in list(TRUTH)[:6]})
    good, bad = _drawn(0.01, 0), _drawn(0.5, 50)
    manifests = [
        write_annotator(tmp_path, who, masks, annotator=who)
        for who, masks in (("good", good), ("bad", bad))
    ]
    _, scores = score_on_gold(manifests, gold, bar=0.9)
    assert [(one.annotator, one.images, one.verdict) for one in scores] == [
        ("bad", 6, "fail"),
        ("good", 6, "pass"),
    ]
    assert {one.few_groups for one in scores} == {0}
    assert scores[1].dice.low >= 0.9 > scores[0].dice.high
    few = write_annotator(tmp_path, "few", {name: TRUTH[name] for name in list(TRUTH)[:4]})
    _, scores = score_on_gold(manifests, few, bar=0.9)
    assert {one.verdict for one in scores} == {"cannot tell"}, "four images tell nothing"
    videos = gold.with_table(gold.table.assign(group=["v1", "v1", "v1", "v2", "v2", "v2"]))
    _, scores = score_on_gold(manifests, videos, bar=0.9)
    assert {one.few_groups for one in scores} == {2}


def test_consensus_over_images_by_url_names_them_by_their_url(tmp_path: Path) -> None:
    manifests = []
    for seed, who in enumerate(("anna", "ben")):
        local = write_annotator(tmp_path, who, _drawn(0.05 * seed, seed))
        for file in (tmp_path / who).rglob("*.png"):
            place = f"/{tmp_path.name}/{who}/{file.relative_to(tmp_path / who).as_posix()}"
            fsspec.filesystem("memory").pipe_file(place, file.read_bytes())
        url = place_of(f"memory://{tmp_path.name}/{who}")
        manifests.append(dataclasses.replace(local, root=url))
    use_file_cache(tmp_path / "cache", 0.1)
    here = write_consensus(read_panel(manifests, ("anna", "ben"), "sha256"), tmp_path / "agreed")
    assert here.manifest.table["image"].str.startswith("memory://").all()
    for row in Manifest.read(tmp_path / "agreed").table.itertuples():
        assert here.manifest.path(str(row.image)).is_file()
        mask = read_mask(here.manifest.path(str(row.mask)), here.manifest.labels)
        assert mask.shape == (24, 32)
