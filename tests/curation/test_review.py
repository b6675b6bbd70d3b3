"""Sizes of review samples against tables and enumeration, decisions, planted errors, conclusions."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from seglab.core.errors import ConfigError, DataError
from seglab.curation.cleaning.decisions import Decision
from seglab.curation.review.conclude import conclude, conclusion_text, for_cleaning, read_key
from seglab.curation.review.decisions import merge, read_saved, save_decisions
from seglab.curation.review.planting import KINDS, plant_error
from seglab.curation.review.sampling import (
    error_rate_of,
    largest_rate,
    largest_rate_with_misses,
    sample_size,
    share_of,
)
from seglab.curation.review.sheet import ReviewPlan, write_review
from tests.annotators import LABELS, scene, write_annotator


def test_sizes_are_the_known_ones() -> None:
    # ln 0.05 / ln 0.95 = 58.4: the "inspect 59" of discovery sampling.
    assert sample_size(10**7, 0.05, 0.95) == 59
    assert sample_size(10**7, 0.01, 0.95) == 299
    assert sample_size(10**7, 0.05, 0.95, allowed=1) == 93
    # Of few masks fewer do, and of a hundred with a limit of one, all but a few must be seen.
    assert sample_size(100, 0.05, 0.95) == 45
    assert sample_size(100, 0.01, 0.95) == 95
    with pytest.raises(ConfigError, match="fewer than 1 wrong"):
        sample_size(10, 0.05, 0.95, allowed=1)


@pytest.mark.parametrize("allowed", [0, 1, 2])
def test_no_smaller_sample_would_do(allowed: int) -> None:
    for population, rate in ((40, 0.1), (75, 0.2), (200, 0.03)):
        number = sample_size(population, rate, 0.9, allowed)
        wrong = next(n for n in range(population + 1) if n / population >= rate)
        chances = [stats.hypergeom(population, wrong, n).cdf(allowed) for n in (number - 1, number)]
        assert chances[0] > 0.1 >= chances[1]


def test_bounds_hold_as_often_as_they_say() -> None:
    population, inspected, level = 30, 12, 0.9
    bounds = [largest_rate(population, inspected, found, level) for found in range(inspected + 1)]
    ranges = [error_rate_of(population, inspected, found, level) for found in range(inspected + 1)]
    for wrong in range(population + 1):
        chances = stats.hypergeom(population, wrong, inspected).pmf(range(inspected + 1))
        rate = wrong / population
        assert (
            sum(p for p, bound in zip(chances, bounds, strict=True) if bound < rate - 1e-9) <= 0.1
        )
        missed = [not one.low - 1e-9 <= rate <= one.high + 1e-9 for one in ranges]
        assert chances[missed].sum() <= 0.1 + 1e-9
    assert largest_rate(30, 30, 2, level) == pytest.approx(2 / 30), "all seen: nothing is left open"
    # A large data set is as good as an endless one: Clopper and Pearson.
    one, other = error_rate_of(10**7, 60, 2, 0.95), share_of(2, 60, 0.95)
    assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=1e-6)
    assert (other.low, other.high) == pytest.approx((0.00406, 0.11528), abs=5e-6)


def test_what_reviewers_miss_widens_the_bound() -> None:
    plain = largest_rate(1000, 59, 0, 0.95)
    good, poor, blind = (
        largest_rate_with_misses(1000, 59, 0, caught, 20, 0.95) for caught in (20, 10, 0)
    )
    assert plain < good < poor < blind == 1.0
    # By hand: 0.025 on each side.
    seen, catch = largest_rate(1000, 59, 0, 0.975), float(stats.beta.ppf(0.025, 10, 11))
    assert poor == pytest.approx(seen / catch)
    rng = np.random.default_rng(0)
    wrong, rate = 0, 0.1
    for _ in range(300):
        found = rng.binomial(rng.hypergeometric(100, 900, 59), 0.7)
        wrong += largest_rate_with_misses(1000, 59, found, rng.binomial(20, 0.7), 20, 0.9) < rate
    assert wrong <= 30, "at 90 % confidence one bound in ten may lie below the true rate"


def test_planted_errors_can_be_seen_and_leave_void_alone() -> None:
    for kind, number in itertools.product(KINDS, range(6)):
        mask = scene(number, 48, 64)
        kept = mask.copy()
        done = plant_error(kind, mask, LABELS, [0, 1, 2], np.random.default_rng(number))
        assert done is not None
        spoilt, parameters = done
        assert (mask == kept).all()
        assert parameters["pixels_changed"] == int((spoilt != mask).sum()) >= 0.004 * mask.size
        assert set(np.unique(spoilt)) <= {0, 1, 2, 255}
        if kind == "wrong_class":
            changed = spoilt != mask
            assert set(mask[changed]) == {LABELS.class_names.index(parameters["class"])}
            assert set(spoilt[changed]) == {LABELS.class_names.index(parameters["drawn_as"])}
        if kind == "missing_object":
            index = LABELS.class_names.index(parameters["class"])
            assert (spoilt == index).sum() < (mask == index).sum()
    empty = np.zeros((48, 64), dtype=np.uint8)
    for kind in KINDS:
        assert plant_error(kind, empty, LABELS, [0, 1], np.random.default_rng(0)) is None


def test_decisions_are_read_strictly_and_merged_to_the_strictest(tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    decisions = [Decision("a", "keep"), Decision("b/ü", "relabel", note='no "tree"\n')]
    save_decisions(path, decisions)
    assert read_saved(path) == decisions
    merged = merge([decisions, [Decision("a", "drop", note="blurred"), Decision("b/ü", "keep")]])
    assert merged["a"] == Decision("a", "drop", note="blurred")
    assert merged["b/ü"].do == "relabel"
    entries = [
        {"sample": "a", "do": "keap"},
        [1],
        {"do": "keep"},
        {"sample": "c", "do": "keep", "note": 3},
        {"sample": "d", "do": "keep"},
        {"sample": "d", "do": "drop"},
    ]
    path.write_text(json.dumps({"decisions": entries}))
    with pytest.raises(DataError) as refused:
        read_saved(path)
    message = str(refused.value)
    assert "decision 1: do must be one of drop, keep, relabel, got 'keap' (did you mean" in message
    told = [f"decision {number}:" in message for number in range(1, 7)]
    assert told == [True, True, True, True, False, True]
    for text in ("x", "[]", '{"decisions": 3}'):
        path.write_text(text)
        with pytest.raises(DataError, match="no file of decisions"):
            read_saved(path)


def test_sheet_is_drawn_alike_and_hides_what_was_planted(tmp_path: Path) -> None:
    masks = {f"street-{number}": scene(number, 48, 64) for number in range(30)}
    manifest = write_annotator(tmp_path, "anna", masks)
    plan = ReviewPlan(error_rate=0.2, planted=6, seed=1)
    first = write_review(manifest, tmp_path / "one", plan)
    again = write_review(manifest, tmp_path / "two", plan)
    assert first.items == again.items
    assert first.inspected == sample_size(30, 0.2, 0.95)
    real = [one.sample_id for one in first.items if one.planted is None]
    planted = [one for one in first.items if one.planted]
    assert len(set(real)) == len(real)
    assert not {one.sample_id for one in planted} & set(real)
    assert {one.planted for one in planted} == set(KINDS)
    page = first.page.read_text()
    assert "street-" not in page
    assert not any(kind in page for kind in KINDS)
    plain = write_review(manifest, tmp_path / "three", ReviewPlan(number=4, planted=0))
    assert {one.id for one in plain.items} <= set(masks), (
        "without planted errors ids are the samples'"
    )
    (tmp_path / "anna" / "masks" / "street-7.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"drawn cannot be read[\s\S]*street-7"):
        write_review(manifest, tmp_path / "four", ReviewPlan(number=30, planted=0))


def test_conclusions(tmp_path: Path) -> None:
    masks = {f"s{number}": scene(number, 48, 64) for number in range(40)}
    manifest = write_annotator(tmp_path, "anna", masks)
    write_review(manifest, tmp_path / "rev", ReviewPlan(error_rate=0.1, planted=8))
    key = read_key(tmp_path / "rev")
    good = [Decision(one.id, "relabel" if one.planted else "keep") for one in key.items]
    shown = conclude(key, [good])
    assert shown.shown
    assert shown.upper < 0.1
    assert shown.caught is not None
    assert (shown.caught.count, shown.caught.of) == (8, 8)
    said = conclusion_text(shown)
    assert "shown: an error rate below 10.0% at 95% confidence" in said
    assert "planted errors caught: 8 of 8, 100%, 95% interval [63%, 100%]" in said
    assert "with what such reviewers may miss" in said

    blind = conclude(key, [[Decision(one.id, "keep") for one in key.items]])
    assert blind.shown
    assert blind.upper_with_misses == 1.0
    lazy = conclude(key, [good[:-5]])
    assert lazy.undecided == 5
    assert not lazy.shown, "what nobody looked at counts as wrong"
    both = conclude(key, [[Decision(one.id, "keep") for one in key.items], good])
    assert both.caught == shown.caught, "one who notices is enough"
    assert len(for_cleaning(key, good)) == shown.errors.of
    with pytest.raises(DataError, match="not of this review, such as s1"):
        conclude(key, [[Decision("s1", "keep")]])
    (tmp_path / "rev" / "review.json").write_text(json.dumps({"schema": 1}))
    with pytest.raises(DataError, match="no key of a review"):
        read_key(tmp_path / "rev")


def test_plans_that_make_no_sense_are_refused_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        ReviewPlan(error_rate=5, confidence=95, allowed=-1, planted=-2, number=0).check()
    assert len(refused.value.problems) == 5
