"""Comparisons of records: who is compared with whom, how, and what is said about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from seglab.analysis.comparison.comparable import NotComparableError, why_not_comparable
from seglab.analysis.comparison.compare import compare
from seglab.analysis.comparison.contenders import choose_runs
from seglab.analysis.statistics import corrected_t_test
from seglab.core.disk.files import write_text
from seglab.core.errors import ConfigError, RunNotFoundError
from seglab.metrics.scores import dice_from_counts, iou_from_counts, mean_defined
from seglab.runs import RunRecord

CLASSES = ("road", "car", "sky")
IMAGES = 40


def _counts(skill: float, seed: int = 0, images: int = IMAGES) -> np.ndarray:
    """Return tp, fp, fn `(3, N, C)`; the target is the same for every skill and seed."""
    pixels = np.random.default_rng(7).integers(200, 900, (images, 3))
    hard = np.random.default_rng(8).normal(0, 0.06, (images, 3))
    own = np.random.default_rng(100 + seed).normal(0, 0.02, (images, 3))
    tp = (pixels * np.clip(skill + hard + own, 0, 1)).astype(np.int64)
    fn = pixels - tp
    return np.stack([tp, np.roll(fn, 1, axis=1), fn])


def _frame(counts: np.ndarray, split: str = "val", first: int = 0) -> pd.DataFrame:
    tp, fp, fn = counts
    ids = [f"i{number:03d}" for number in range(first, first + len(tp))]
    return pd.DataFrame(
        {"sample_id": ids, "split": split, "tp": list(tp), "fp": list(fp), "fn": list(fn)}
    )


def _metrics(counts: np.ndarray, split: str = "val") -> dict[str, float]:
    pooled = counts.sum(1)
    iou, dice = iou_from_counts(*pooled), dice_from_counts(*pooled)
    classes = {f"{split}/iou/{name}": float(v) for name, v in zip(CLASSES, iou, strict=True)}
    return {f"{split}/miou": mean_defined(iou), f"{split}/dice": mean_defined(dice), **classes}


def _run(run_dir: Path, counts: np.ndarray | None, **changes: Any) -> RunRecord:
    facts = {
        "kind": "train",
        "seed": 0,
        "dataset_fingerprint": "f1",
        "git": {"commit": "abc"},
        "packages": {"x": "1"},
        **changes,
    }
    arch = facts.pop("arch", run_dir.name)
    config = facts.pop("config", {})
    config = {"model": {"arch": arch, "encoder_name": "r18"}, "seed": facts["seed"], **config}
    record = RunRecord.create(run_dir, experiment="e", config=config, config_yaml="", **facts)
    if counts is not None:
        record.write_per_image(_frame(counts))
        record.set_metrics(_metrics(counts))
    record.finish("finished")
    return record


def _cv(run_dir: Path, scores: list[float], plan: str = "plan1", **changes: Any) -> RunRecord:
    counts = _counts(float(np.mean(scores)))
    record = _run(run_dir, counts, kind="cv", **changes)
    folds = pd.DataFrame(
        {
            "repeat": 0,
            "fold": [f"r0-f{n}" for n in range(len(scores))],
            "status": "finished",
            "miou": scores,
            "dice": scores,
            "iou/car": scores,
            "images": 10,
            "train_images": 30,
        }
    )
    folds.to_parquet(run_dir / "fold_scores.parquet")
    write_text(run_dir / "folds.yaml", f"hash: {plan}\n")
    return record


def _groups(run_dir: Path, groups: list[str]) -> None:
    ids = [f"i{number:03d}" for number in range(len(groups))]
    (run_dir / "manifest").mkdir()
    frame = pd.DataFrame({"sample_id": ids, "group": groups})
    frame.to_parquet(run_dir / "manifest" / "manifest.parquet")


def test_two_models_are_told_apart_image_by_image(tmp_path: Path) -> None:
    _run(tmp_path / "a", _counts(0.70, 1)).set_metrics({"cost/params_m": 3.5, "cost/gflops": 2})
    _run(tmp_path / "b", _counts(0.74, 2)).update(wall_time_s=7200.0)
    found = compare([tmp_path / "a", tmp_path / "b"])
    table = found.table
    assert (found.method, found.reference, found.comparisons) == ("images", "b", 1)
    assert table["run"].tolist() == ["b", "a"]
    assert table["model"].tolist() == ["b/r18", "a/r18"]
    scores = [_metrics(_counts(0.74, 2))["val/miou"], _metrics(_counts(0.70, 1))["val/miou"]]
    assert table["miou"].tolist() == pytest.approx(scores)
    assert (table["low"] < table["miou"]).all()
    assert (table["miou"] < table["high"]).all()
    worse = table.iloc[1]
    assert worse["diff"] == pytest.approx(scores[1] - scores[0])
    assert worse["diff_low"] < worse["diff"] < worse["diff_high"] < 0
    assert worse["p"] == worse["p_holm"] == worse["p_images"] == 1 / 10_000
    assert worse["p_wilcoxon"] < 1e-4
    assert table["verdict"].tolist() == ["reference", "worse"]
    np.testing.assert_array_equal(table["params_m"], [np.nan, 3.5])
    np.testing.assert_array_equal(table["latency_ms"], [np.nan, np.nan])
    assert table["hours"][0] == pytest.approx(2.0)
    line = f"b is better than a by {scores[0] - scores[1]:.3f} [{-worse['diff_high']:.3f}, "
    assert line in found.text
    assert "p < 0.001" in found.text
    assert "Holm" not in found.text
    assert "not of training again" in found.text


def test_no_difference_says_what_could_have_been_seen(tmp_path: Path) -> None:
    _run(tmp_path / "a", _counts(0.70, 1))
    _run(tmp_path / "b", _counts(0.70, 2))
    found = compare([tmp_path / "a", tmp_path / "b"], baseline=tmp_path / "a")
    row = found.table.set_index("run").loc["b"]
    assert row["verdict"] == "no difference told"
    assert row["p_holm"] > 0.05
    half = (row["diff_high"] - row["diff_low"]) / 2
    factor = (stats.norm.ppf(0.8) + stats.norm.ppf(0.975)) / stats.norm.ppf(0.975)
    assert row["detectable"] == pytest.approx(factor * half, rel=0.03)
    assert (
        f"with 40 images the smallest difference this could have seen is {row['detectable']:.3f}"
        in found.text
    )


def test_the_best_of_many_pays_for_every_pair_and_a_baseline_only_for_its_own(
    tmp_path: Path,
) -> None:
    for number, skill in enumerate((0.70, 0.71, 0.72, 0.74)):
        _run(tmp_path / f"r{number}", _counts(skill, number))
    runs = [tmp_path / f"r{number}" for number in range(4)]
    best = compare(runs)
    assert (best.reference, best.comparisons) == ("r3", 6)
    assert "after Holm over 6 comparisons" in best.text
    smallest = best.table.set_index("run").loc["r0"]
    assert smallest["p_holm"] == pytest.approx(6 * smallest["p"])
    against = compare(runs[1:], baseline=runs[0])
    assert (against.reference, against.comparisons) == ("r0", 3)
    assert against.table["run"].tolist() == ["r3", "r2", "r1", "r0"]
    assert against.table["verdict"][0] == "better"
    assert "r3 is better than r0 by" in against.text


@pytest.mark.parametrize("metric", ["dice", "iou/car"])
def test_other_scores_are_compared_in_the_same_way(tmp_path: Path, metric: str) -> None:
    _run(tmp_path / "a", _counts(0.70, 1))
    _run(tmp_path / "b", _counts(0.75, 2))
    found = compare([tmp_path / "a", tmp_path / "b"], metric=metric)
    expected = [_metrics(_counts(*args))[f"val/{metric}"] for args in ((0.75, 2), (0.70, 1))]
    assert found.table[metric].tolist() == pytest.approx(expected)
    assert found.text.startswith(f"val/{metric}, paired by image: 40 images")


def test_unknown_metrics_are_refused_with_the_nearest(tmp_path: Path) -> None:
    runs = [_run(tmp_path / name, _counts(0.7)).run_dir for name in "ab"]
    with pytest.raises(ConfigError, match=r"no class 'cat' \(did you mean 'car'\?\); classes are"):
        compare(runs, metric="iou/cat")
    with pytest.raises(ConfigError, match="expected miou, iou/CLASS, dice, got 'fwiou'"):
        compare(runs, metric="fwiou")
    with pytest.raises(ConfigError, match="level: expected a number between 0 and 1"):
        compare(runs, level=95)
    with pytest.raises(ConfigError, match="two runs or more to compare, got 1"):
        compare(runs[:1])


def test_seeds_are_repeats_and_compared_by_welch(tmp_path: Path) -> None:
    for arch, skill in (("u", 0.70), ("v", 0.74)):
        for seed in range(3):
            counts = _counts(skill + 0.004 * seed, seed)
            _run(tmp_path / f"{arch}{seed}", counts, arch=arch, seed=seed, name=f"{arch} {seed}")
    found = compare([tmp_path])
    assert found.method == "seeds"
    assert found.table["run"].tolist() == ["v0 (3 seeds)", "u0 (3 seeds)"]
    assert found.table["seeds"].tolist() == [3, 3]
    scores = {
        arch: [_metrics(_counts(skill + 0.004 * s, s))["val/miou"] for s in range(3)]
        for arch, skill in (("u", 0.70), ("v", 0.74))
    }
    expected = stats.ttest_ind(scores["u"], scores["v"], equal_var=False)
    row = found.table.iloc[1]
    assert row["p"] == pytest.approx(expected.pvalue)
    assert row["miou"] == pytest.approx(np.mean(scores["u"]))
    assert row["p_images"] < 0.01
    assert row["run_ids"] == ["u0", "u1", "u2"]
    with pytest.raises(ConfigError, match=r"these 3 runs differ only by seed \(u0 \(3 seeds\)\)"):
        compare([tmp_path / f"u{seed}" for seed in range(3)])
    one_each = compare([tmp_path / "u0", tmp_path / "u1", tmp_path / "v0"])
    assert one_each.method == "images"
    assert one_each.table["run"].tolist() == ["v0", "u0 (2 seeds)"]


def test_same_seed_twice_is_no_repeat(tmp_path: Path) -> None:
    for name in ("u0", "u0-again"):
        _run(tmp_path / name, _counts(0.7, 1), arch="u")
    found = compare([tmp_path])
    assert found.table["run"].tolist() == ["u0", "u0-again"]
    assert found.table["p"][1] == 1.0
    assert found.table["verdict"][1] == "no difference told"


def test_cross_validations_are_compared_by_fold(tmp_path: Path) -> None:
    first, second = [0.60, 0.66, 0.58, 0.64], [0.65, 0.70, 0.64, 0.68]
    _cv(tmp_path / "a", first)
    _cv(tmp_path / "b", second)
    found = compare([tmp_path / "a", tmp_path / "b"])
    row = found.table.set_index("run").loc["a"]
    expected = corrected_t_test(np.subtract(first, second), 10 / 30)
    assert found.method == "folds"
    assert row["diff"] == pytest.approx(-0.0475)
    assert (row["p"], row["diff_low"]) == (pytest.approx(expected.p), pytest.approx(expected.low))
    assert row["miou"] == pytest.approx(np.mean(first))
    assert row["pooled"] == pytest.approx(_metrics(_counts(float(np.mean(first))))["val/miou"])
    assert row["p_images"] < 0.01
    assert "Nadeau and Bengio" in found.text
    assert compare([tmp_path / "a", tmp_path / "b"], metric="iou/car").method == "folds"


def test_folds_that_failed_on_one_side_are_left_out_only_by_force(tmp_path: Path) -> None:
    _cv(tmp_path / "a", [0.60, 0.66, 0.58, 0.64])
    _cv(tmp_path / "b", [0.65, 0.70, 0.64])
    with pytest.raises(NotComparableError, match="b has 3 of 4 folds"):
        compare([tmp_path / "a", tmp_path / "b"])
    found = compare([tmp_path / "a", tmp_path / "b"], force=True, baseline=tmp_path / "a")
    assert found.table.set_index("run").loc["b", "diff"] == pytest.approx(0.05)
    assert "Compared by force, although\n  - b has 3 of 4 folds" in found.text
    assert found.forced == ("b has 3 of 4 folds",)


def test_repeats_of_a_cross_validation_are_added_up_by_image(tmp_path: Path) -> None:
    for name, skill in (("a", 0.70), ("b", 0.74)):
        record = _cv(tmp_path / name, [skill, skill + 0.01])
        both = pd.concat([_frame(_counts(skill, 1)), _frame(_counts(skill, 2))])
        record.write_per_image(both)
    table = compare([tmp_path / "a", tmp_path / "b"]).table.set_index("run")
    summed = _counts(0.70, 1) + _counts(0.70, 2)
    assert table.loc["a", "pooled"] == pytest.approx(_metrics(summed)["val/miou"])


def test_evaluations_take_model_hours_and_groups_from_their_training(tmp_path: Path) -> None:
    groups = [f"video {number // 2}" for number in range(IMAGES)]
    for name, skill in (("a", 0.70), ("b", 0.74)):
        trained = _run(tmp_path / "runs" / name, None)
        trained.update(wall_time_s=3600.0)
        _groups(trained.run_dir, groups)
        _run(
            tmp_path / "evals" / f"{name}-scored",
            _counts(skill, 3),
            kind="eval",
            parent=name,
            config={"model": None, "run": str(trained.run_dir)},
        )
    found = compare([tmp_path / "evals"])
    assert found.table["model"].tolist() == ["b/r18", "a/r18"]
    assert found.table["hours"].tolist() == [1.0, 1.0]
    assert "40 images in 20 groups; jackknife t intervals, p by swapping" in found.text
    assert "group by group" in found.text


def test_evaluations_whose_training_is_gone_are_no_repeats(tmp_path: Path) -> None:
    for seed, name in enumerate("ab"):
        _run(
            tmp_path / name,
            _counts(0.7, seed),
            kind="eval",
            parent=f"gone-{name}",
            seed=seed,
            arch=None,
            config={"run": str(tmp_path / "gone" / name)},
        )
    assert compare([tmp_path]).table["seeds"].tolist() == [1, 1]


def test_an_audit_between_two_runs_does_not_part_them(tmp_path: Path) -> None:
    audited = {"dataset_fingerprint": "f2", "data_fingerprint": "f1"}
    for seed, (name, changes) in enumerate({"a": {}, "b": audited, "c": audited}.items()):
        _run(tmp_path / name, _counts(0.7 + seed / 50), seed=seed, arch="x", **changes)
    _run(tmp_path / "d", _counts(0.9))
    assert why_not_comparable([RunRecord.open(tmp_path / name) for name in "abcd"]) == []
    assert sorted(compare([tmp_path]).table["seeds"]) == [1, 3]


@pytest.mark.parametrize(
    ("groups", "said"), [(["one", "two"], "2 groups"), (["one", "one"], "1 group")]
)
def test_few_groups_are_noted(tmp_path: Path, groups: list[str], said: str) -> None:
    for name, skill in (("a", 0.70), ("b", 0.74)):
        _groups(_run(tmp_path / name, _counts(skill)).run_dir, groups * (IMAGES // 2))
    assert f"the 40 images come from only {said} (videos" in compare([tmp_path]).text


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"dataset_fingerprint": "f2"}, "the data differs: fingerprint f1 (a); fingerprint f2 (b)"),
        (
            {"kind": "cv"},
            "a mean over folds is no score of one training: a single training (a); "
            "a cross-validation (b)",
        ),
    ],
)
def test_reasons_from_the_record(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    runs = [_run(tmp_path / "a", _counts(0.7)), _run(tmp_path / "b", _counts(0.7), **changes)]
    assert why_not_comparable(runs) == [reason]


def test_reasons_from_images_and_status(tmp_path: Path) -> None:
    runs = {name: _run(tmp_path / name, _counts(0.7)) for name in ("a", "fewer", "other", "mask")}
    runs["fewer"].write_per_image(_frame(_counts(0.7)[:, :38]))
    runs["other"].write_per_image(_frame(_counts(0.7), first=2))
    counts = _counts(0.7)
    counts[2, 5, 1] += 1
    runs["mask"].write_per_image(_frame(counts))
    runs["mask"].finish("failed")
    assert why_not_comparable(list(runs.values())) == [
        "mask is failed, not finished",
        "fewer against a: 2 images missing (i038, i039)",
        "other against a: 2 images missing (i000, i001), 2 images more (i040, i041)",
        "mask against a: the same images have other masks or sizes",
    ]
    assert why_not_comparable([runs["a"], runs["a"]]) == []
    assert why_not_comparable([runs["a"], runs["fewer"]], split="test") == [
        "a has no scores of test; it was scored on val",
        "fewer has no scores of test; it was scored on val",
    ]


def test_reasons_of_classes_and_folds(tmp_path: Path) -> None:
    first = _run(tmp_path / "a", _counts(0.7))
    second = _run(tmp_path / "b", None)
    second.set_metrics({"val/miou": 0.5, "val/iou/road": 0.5})
    assert why_not_comparable([first, second]) == [
        "the classes differ: road, car, sky (a); road (b)"
    ]
    cvs = [_cv(tmp_path / "c", [0.5, 0.6], "plan1"), _cv(tmp_path / "d", [0.5, 0.6], "plan2")]
    reasons = why_not_comparable(cvs)
    assert reasons[0] == "the folds differ: plan plan1 (c); plan plan2 (d)"


def test_force_compares_what_is_shared_and_says_so(tmp_path: Path) -> None:
    _run(tmp_path / "a", _counts(0.70, 1))
    other = _run(tmp_path / "b", _counts(0.74, 2), dataset_fingerprint="f2")
    other.write_per_image(_frame(_counts(0.74, 2)[:, :30]))
    with pytest.raises(NotComparableError) as caught:
        compare([tmp_path / "a", tmp_path / "b"])
    assert len(caught.value.reasons) == 2
    assert caught.value.exit_code == 2
    found = compare([tmp_path / "a", tmp_path / "b"], force=True)
    assert "paired by image: 30 images" in found.text
    assert list(found.forced) == caught.value.reasons
    expected = _metrics(_counts(0.70, 1)[:, :30])["val/miou"]
    assert found.table.set_index("run").loc["a", "miou"] == pytest.approx(expected)


def test_single_runs_without_counts_cannot_be_compared_even_by_force(tmp_path: Path) -> None:
    _run(tmp_path / "a", _counts(0.70, 1))
    _run(tmp_path / "b", None).set_metrics({"val/miou": 0.5})
    for force in (False, True):
        with pytest.raises(NotComparableError, match="no counts of single images in b; train or"):
            compare([tmp_path / "a", tmp_path / "b"], force=force)


def test_words_become_runs(tmp_path: Path) -> None:
    for name in ("one/r1", "one/r2", "two/r3"):
        _run(tmp_path / "runs" / name, None)
    failed = _run(tmp_path / "runs" / "one" / "r4", None)
    failed.finish("failed")
    _run(tmp_path / "runs" / "one" / "s1", None, kind="eval", parent="r1")
    root = tmp_path / "runs"

    def names(*words: str | Path) -> list[str]:
        return [path.name for path in choose_runs(words, root)[0]]

    assert names(root / "one" / "r2", root / "one" / "r1" / "run.json") == ["r2", "r1"]
    assert names("r3", "one") == ["r3", "r1", "r2"]
    assert names("one/r*") == ["r1", "r2", "r4"], "a run that is named is taken as it is"
    assert names(str(root / "*" / "r3"), "r3") == ["r3"]
    notes = choose_runs(["one"], root)[1]
    assert notes[0].startswith("1 runs in ")
    assert notes[0].endswith("one are not finished and left out")
    assert notes[1].startswith("1 evaluations in ")
    with pytest.raises(RunNotFoundError, match="no run matches 'x\\*', here or under"):
        names("x*")
    with pytest.raises(RunNotFoundError, match="did you mean 'r3'"):
        names("rr3")


def test_baseline_must_be_one(tmp_path: Path) -> None:
    for name in ("r1", "r2", "r3"):
        _run(tmp_path / name, _counts(0.7, int(name[1])))
    with pytest.raises(ConfigError, match=r"--baseline: expected one run, .* got r1, r2, r3"):
        compare([tmp_path / "r3"], baseline=tmp_path)
