"""A cross-validation: what its record says, that it resumes, and that nothing can leak into it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from seglab.config.compose import compose
from seglab.core.errors import ConfigError, DataError
from seglab.data.manifest import Manifest
from seglab.experiment import cross_validate as module
from seglab.experiment.cross_validate import resume_run
from seglab.experiment.cv.join_folds import collect
from seglab.experiment.evaluate import evaluate
from seglab.experiment.launch import launch
from seglab.experiment.parts import build_loss, class_pixels, open_dataset_of, open_manifest_of
from seglab.losses.class_weights import enet
from seglab.metrics.scores import iou_per_class, mean_defined
from seglab.runs import RunRecord, find_runs
from seglab.runs.folds import fold_dirs
from seglab.runs.predictions import confidence_path, prediction_path, read_probabilities
from tests.reference_pages import check_files

QUIET = Console(quiet=True)
FOLDS = ["cv=grouped", "cv.folds=2", "trainer.max_epochs=1"]
OWN_SCORE = (
    "+metrics.extra.accuracy="
    "{_target_: torchmetrics.classification.MulticlassAccuracy, average: micro}"
)


@pytest.fixture(scope="module")
def finished(tiny_words: list[str], tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    """Two grouped folds, with W&B offline."""
    folder = tmp_path_factory.mktemp("cv") / "run"
    words = [*tiny_words, *FOLDS, "logger.wandb.mode=offline", OWN_SCORE]
    words.append("cv.save_probabilities=tta")
    return RunRecord(launch(compose(words), folder, QUIET).run_dir)


def fold_records(record: RunRecord) -> list[RunRecord]:
    return [RunRecord(path) for path in find_runs(record.run_dir / "folds")]


def test_record_holds_what_the_folds_say_together(finished: RunRecord) -> None:
    content, folds = finished.read(), fold_records(finished)
    assert (content["kind"], content["status"]) == ("cv", "finished")
    check_files(finished.run_dir, "cross-validation")
    assert [fold.read()["kind"] for fold in folds] == ["fold", "fold"]
    assert [fold.read()["fold"] for fold in folds] == ["r0-f0", "r0-f1"]
    assert {fold.read()["parent"] for fold in folds} == {finished.run_id}
    scores = [fold.metrics["val/miou"] for fold in folds]
    assert finished.metrics["val/miou"] == pytest.approx(np.mean(scores))
    assert finished.metrics["val/miou_std"] == pytest.approx(np.std(scores, ddof=1))
    own = finished.metrics["val/accuracy"]
    assert own == pytest.approx(np.mean([fold.metrics["val/pixel_acc"] for fold in folds]))
    pooled = sum(fold.confusion("val") for fold in folds)
    assert (finished.confusion("val") == pooled).all()
    expected = mean_defined(iou_per_class(np.asarray(pooled)))
    assert finished.metrics["val/miou_pooled"] == pytest.approx(expected)
    assert 0.05 <= finished.metrics["val/temperature"] <= 20
    assert 0 <= finished.metrics["val/ece_calibrated"] <= 1
    table = pd.read_parquet(finished.run_dir / "fold_scores.parquet")
    assert table["miou"].tolist() == pytest.approx(scores)
    assert (finished.run_dir / "figures" / "folds.png").is_file()


def test_every_image_is_held_out_once_and_its_prediction_kept(finished: RunRecord) -> None:
    manifest = Manifest.read(finished.run_dir / "manifest")
    pooled = {*manifest.split("train")["sample_id"], *manifest.split("val")["sample_id"]}
    per_image = finished.per_image()
    assert sorted(per_image["sample_id"]) == sorted(pooled)
    for fold in fold_records(finished):
        own = per_image[per_image["fold"] == fold.read()["fold"]]
        assert all(prediction_path(fold.run_dir, name).is_file() for name in own["sample_id"])
        assert all(confidence_path(fold.run_dir, name).is_file() for name in own["sample_id"])
        groups = Manifest.read(fold.run_dir / "manifest").table.set_index("sample_id")["group"]
        train = Manifest.read(fold.run_dir / "manifest").split("train")
        assert not set(groups[own["sample_id"]]) & set(train["group"])


def test_kept_probabilities_are_those_of_the_views_and_scores_of_the_image(
    finished: RunRecord, tmp_path: Path
) -> None:
    fold = fold_records(finished)[0]
    words = [f"run={fold.run_dir}", "data.split=val", "logger=none", "suite=scores"]
    words += ["predict=tta", "save_probabilities=true"]
    seen = evaluate(compose(words, "evaluate"), tmp_path / "eval", QUIET)
    num_classes = Manifest.read(fold.run_dir / "manifest").labels.num_classes
    names = Manifest.read(fold.run_dir / "manifest").split("val")["sample_id"].tolist()
    assert names
    for name in names:
        kept = read_probabilities(fold.run_dir, name, num_classes)
        again = read_probabilities(seen.run_dir, name, num_classes)
        assert kept is not None
        assert again is not None
        np.testing.assert_allclose(kept, again, atol=2 / 255)
    whole = [word for word in words if word != "predict=tta"]
    plain = evaluate(compose(whole, "evaluate"), tmp_path / "plain", QUIET)
    assert fold.metrics["val/miou"] == pytest.approx(plain.metrics["val/miou"], abs=1e-6)
    differ = [
        not np.array_equal(
            read_probabilities(fold.run_dir, name, num_classes),  # type: ignore[arg-type]
            read_probabilities(plain.run_dir, name, num_classes),  # type: ignore[arg-type]
        )
        for name in names
    ]
    assert all(differ)


def test_tracker_sees_one_group_with_a_summary(finished: RunRecord) -> None:
    facts = [
        *(record.read()["wandb"] for record in fold_records(finished)),
        finished.read()["wandb"],
    ]
    assert all(one["mode"] == "offline" and one["dirs"] for one in facts)
    assert len({one["id"] for one in facts}) == 3


@pytest.mark.parametrize(("part", "kind"), [("fold", "fold"), ("cv", "cv")])
def test_tracker_file_read_back_names_group_and_kind(
    finished: RunRecord, part: str, kind: str
) -> None:
    record = fold_records(finished)[0] if part == "fold" else finished
    (file,) = (record.run_dir / "wandb").glob("offline-run-*/run-*.wandb")
    wandb = Path(sys.executable).parent / "wandb"
    shown = subprocess.run(
        [str(wandb), "leet", "inspect", "--json", str(file)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    assert finished.run_id in shown  # the group of all three
    assert f'"{kind}"' in shown
    assert "exit_code" in shown
    if kind == "cv":
        assert "final/val/miou_std" in shown
        assert "tables/folds" in shown


def test_class_weights_are_fitted_on_the_training_part_alone(tiny: list[str]) -> None:
    """A leak is planted: were the held-out images counted, the weights would be other ones."""
    words = [*tiny, *FOLDS, "cv.fold=0", "loss.class_weights=enet"]
    cfg = compose(words)
    dataset = open_dataset_of(cfg)
    weights = build_loss(cfg, dataset).terms["ce"].class_weights.numpy()
    assert weights == pytest.approx(enet(class_pixels(dataset.manifest, "train")), rel=1e-5)
    whole = open_manifest_of(cfg)
    everything = np.concatenate([class_pixels(whole, "train"), class_pixels(whole, "val")])
    assert weights != pytest.approx(enet(everything), rel=1e-5)


def test_same_image_on_both_sides_is_refused(tiny: list[str], tmp_path: Path) -> None:
    """The other planted leak: a copy of a training image under another name."""
    whole = open_manifest_of(compose([*tiny, "cv=kfold", "cv.folds=2"]))
    table = whole.table.copy()
    first, second = table.index[table["split"] == "train"][:2]
    for column in ("image", "sha256"):
        table.at[second, column] = table.at[first, column]
    planted = whole.with_table(table)
    path = planted.write(tmp_path / "planted")
    plain = [word for word in tiny if not word.startswith("data.options")]
    words = [*plain, "cv=kfold", f"data.manifest={path}"]
    # As many folds as images: whatever the shuffle, the copies are parted.
    folds = len(planted.split("train")) + len(planted.split("val"))
    with pytest.raises(DataError, match=table.at[second, "sample_id"]):
        open_dataset_of(compose([*words, f"cv.folds={folds}", "cv.fold=0"]))


@pytest.mark.slow
def test_one_fold_alone_and_the_join(tiny: list[str], finished: RunRecord, tmp_path: Path) -> None:
    runs = [
        launch(
            compose([*tiny, *FOLDS, f"cv.fold={number}", "logger=none"]),
            tmp_path / str(number),
            QUIET,
        )
        for number in range(2)
    ]
    with pytest.raises(DataError, match=r"r0-f1: missing; train it with cv.fold=r0-f1"):
        collect([runs[0].run_dir], QUIET)
    with pytest.raises(DataError, match=r"r0-f0: 2 times"):
        collect([runs[0].run_dir, runs[0].run_dir, runs[1].run_dir], QUIET)
    joined = RunRecord(collect([run.run_dir for run in reversed(runs)], QUIET).run_dir)
    assert joined.metrics["val/miou"] == pytest.approx(finished.metrics["val/miou"])
    assert (joined.confusion("val") == finished.confusion("val")).all()


@pytest.mark.slow
def test_other_settings_do_not_join(tiny: list[str], finished: RunRecord, tmp_path: Path) -> None:
    other = launch(
        compose([*tiny, *FOLDS, "cv.fold=1", "optimizer.lr=0.5", "logger=none"]),
        tmp_path / "b",
        QUIET,
    )
    first = fold_records(finished)[0].run_dir
    with pytest.raises(ConfigError, match=r"configurations differ beyond cv\.fold"):
        collect([first, other.run_dir], QUIET)
    with pytest.raises(ConfigError, match="is not a fold but 'cv'"):
        collect([finished.run_dir], QUIET)


@pytest.mark.slow
def test_interrupted_cross_validation_trains_only_what_is_left(
    tiny: list[str], finished: RunRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = module.train, []

    def stops_at_the_second(*args: object, **more: object) -> object:
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **more)

    monkeypatch.setattr(module, "train", stops_at_the_second)
    with pytest.raises(Exception, match="stopped by a signal"):
        launch(compose([*tiny, *FOLDS, "logger=none"]), tmp_path / "cv", QUIET)
    record = RunRecord(tmp_path / "cv")
    assert record.status == "interrupted"
    before = fold_records(record)[0].read()["ended"]
    resume_run(record.run_dir, QUIET)
    assert record.status == "finished"
    assert fold_records(record)[0].read()["ended"] == before
    assert len(calls) == 3
    # Stopping in between changed no number.
    assert record.metrics["val/miou"] == finished.metrics["val/miou"]
    with pytest.raises(ConfigError, match="is finished; no fold is left to train"):
        resume_run(record.run_dir, QUIET)


@pytest.mark.slow
def test_its_models_are_scored_together_only_on_images_new_to_all(
    finished: RunRecord, tmp_path: Path
) -> None:
    words = [f"run={finished.run_dir}", "suite=scores"]
    with pytest.raises(DataError, match="are not new to all models"):
        evaluate(compose([*words, "data.split=val"], "evaluate"), tmp_path / "val", QUIET)
    result = evaluate(compose([*words, "data.split=test"], "evaluate"), tmp_path / "test", QUIET)
    assert 0 <= result.metrics["test/miou"] <= 1
    assert RunRecord(result.run_dir).read()["parent"] == finished.run_id


def test_record_that_was_moved_still_knows_its_folds(finished: RunRecord, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "renamed"
    shutil.copytree(finished.run_dir, moved)
    assert fold_dirs(moved) == [
        moved / "folds" / path.run_dir.name for path in fold_records(finished)
    ]
    cfg = compose([f"run={moved}", "data.split=test"], "evaluate")
    cfg.checkpoint = str(moved / "folds.yaml")
    with pytest.raises(ConfigError, match="one model's file, and 2 models are scored"):
        evaluate(cfg, tmp_path / "eval", QUIET)


def test_test_split_is_never_touched_by_folds(finished: RunRecord) -> None:
    whole = Manifest.read(finished.run_dir / "manifest")
    assert whole.splits()["test"] > 0
    for fold in fold_records(finished):
        assert Manifest.read(fold.run_dir / "manifest").splits()["test"] == 0
        assert not [key for key in fold.metrics if key.startswith("test/")]


@pytest.mark.slow
def test_nested_folds_are_scored_on_what_chose_no_weights(tiny: list[str], tmp_path: Path) -> None:
    words = [
        *tiny,
        "cv=nested",
        "cv.folds=2",
        "cv.inner_folds=2",
        "cv.inner_scheme=grouped",
        "cv.gap=0",
        "trainer.max_epochs=1",
        "logger=none",
        "data.options.num_images=40",
    ]
    record = RunRecord(launch(compose(words), tmp_path / "cv", QUIET).run_dir)
    assert record.read()["main_split"] == "test"
    assert record.metrics["num_folds"] == 4
    folds = fold_records(record)
    assert record.metrics["test/miou"] == pytest.approx(
        np.mean([fold.metrics["test/miou"] for fold in folds])
    )


def test_fold_that_is_not_there(tiny: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such fold 'r0-f7'.*folds are r0-f0, r0-f1"):
        launch(compose([*tiny, *FOLDS, "cv.fold=7"]), tmp_path / "cv", QUIET)


@pytest.mark.slow
def test_folds_side_by_side_give_the_same_numbers(
    tiny: list[str], finished: RunRecord, tmp_path: Path
) -> None:
    lines = Console(record=True, quiet=False, file=(tmp_path / "out").open("w"))
    words = [*tiny, *FOLDS, "cv.workers=2", "logger=none"]
    record = RunRecord(launch(compose(words), tmp_path / "cv", lines).run_dir)
    assert record.metrics["val/miou"] == finished.metrics["val/miou"]
    text = lines.export_text()
    assert text.count("starts on cpu") == 2
    assert text.count("finished, val/miou") == 2


@pytest.mark.slow
def test_failed_fold_is_named_and_the_others_are_kept(tiny: list[str], tmp_path: Path) -> None:
    words = [*tiny, *FOLDS, "cv.workers=2", "logger=none", "optimizer=sgd", "optimizer.lr=1e20"]
    with pytest.raises(Exception, match=r"2 of 2 folds failed"):
        launch(compose(words), tmp_path / "cv", QUIET)
    record = RunRecord(tmp_path / "cv")
    assert record.status == "failed"
    assert {fold.status for fold in fold_records(record)} == {"failed"}


def test_plan_is_written_with_its_hash(finished: RunRecord) -> None:
    table = pd.read_parquet(finished.run_dir / "folds.parquet")
    assert set(table["role"]) == {"train", "val"}
    assert "hash" in (finished.run_dir / "folds.yaml").read_text()
    assert json.loads(finished.json_path.read_text())["fold"] is None


@pytest.mark.slow
def test_leak_report_trains_random_folds_beside(tiny: list[str], tmp_path: Path) -> None:
    words = [*tiny, *FOLDS, "cv.leak_report=true", "logger=none"]
    record = RunRecord(launch(compose(words), tmp_path / "cv", QUIET).run_dir)
    random = RunRecord(next((record.run_dir / "leak_report").iterdir()))
    assert random.read()["parent"] == record.run_id
    assert record.metrics["leak/random_miou"] == random.metrics["val/miou"]
    gap = random.metrics["val/miou"] - record.metrics["val/miou"]
    assert record.metrics["leak/gap"] == pytest.approx(gap)
