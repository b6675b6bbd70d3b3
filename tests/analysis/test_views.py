"""Views of runs: what they draw is what the records say."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.figure import Figure

import seglab.analysis
from seglab.analysis import (
    confused_pairs,
    confusion,
    curves,
    fold_boxplot,
    fold_scores,
    image_by_image,
    labels_of,
    load_runs,
    open_run,
    paired_images,
    setting_groups,
    varied_settings,
)
from seglab.analysis.learning.overlaid_curves import mean_and_band
from seglab.core.errors import DataError, RunNotFoundError
from seglab.core.labels import LabelSpace
from seglab.runs import RunRecord

LABELS = LabelSpace(("road", "car", "sky"))


def _run(
    run_dir: Path, kind: str = "train", config: dict[str, Any] | None = None, **facts: Any
) -> RunRecord:
    given = {"git": {"commit": "abc", "dirty": True}, "packages": {"x": "1"}, **facts}
    return RunRecord.create(
        run_dir,
        experiment=run_dir.parent.name,
        kind=kind,
        config_yaml="",
        config={"model": {"arch": "unet"}, "optimizer": {"lr": 0.1}, "seed": 0, **(config or {})},
        **given,
    )


def _trained(run_dir: Path, losses: list[float], **more: Any) -> RunRecord:
    record = _run(run_dir, **more)
    for epoch, loss in enumerate(losses):
        record.log_epoch(
            {"epoch": epoch, "train/loss": loss, "val/loss": loss + 1, "val/miou": 0.1}
        )
    record.finish("finished")
    return record


def _with_labels(record: RunRecord, place: Path | None = None) -> RunRecord:
    folder = (place or record.run_dir) / "manifest"
    folder.mkdir(parents=True)
    (folder / "manifest.yaml").write_text(yaml.safe_dump({"labels": LABELS.to_dict()}))
    return record


def _texts(figure: Figure) -> str:
    legends = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    parts = [text.get_text() for axes in figure.axes for text in axes.texts]
    for axes in figure.axes:
        parts += [axes.get_title(loc="left"), axes.get_xlabel(), axes.get_ylabel()]
    return "\n".join([*parts, *legends, figure.get_suptitle()])


def test_functions_are_not_hidden_by_modules_of_the_same_name() -> None:
    modules = {module.name for module in pkgutil.iter_modules(seglab.analysis.__path__)}
    assert modules.isdisjoint(seglab.analysis.__all__)
    wrong = [
        name for name in seglab.analysis.__all__ if not callable(getattr(seglab.analysis, name))
    ]
    assert not wrong
    assert set(seglab.analysis.__all__) <= set(dir(seglab.analysis))
    with pytest.raises(AttributeError, match="compared"):
        seglab.analysis.compared  # noqa: B018


def test_parts_that_need_no_torch_are_imported_without() -> None:
    code = "import sys, seglab.analysis.study; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_mean_and_band_by_hand() -> None:
    members = [
        (np.array([0.0, 1.0, 2.0]), np.array([1.0, 2.0, 9.0])),
        (np.array([0.0, 1.0]), np.array([3.0, 2.0])),
    ]
    table = mean_and_band(members)
    assert table["mean"].tolist() == [2.0, 2.0, 9.0]
    assert table["count"].tolist() == [2, 2, 1]
    np.testing.assert_allclose(table["low"], [2 - np.sqrt(2), 2.0, np.nan])
    np.testing.assert_allclose(table["high"], [2 + np.sqrt(2), 2.0, np.nan])
    np.testing.assert_array_equal(mean_and_band(members, "range")["high"], [3.0, 2.0, np.nan])
    assert mean_and_band(members, "none")["low"].isna().all()
    assert mean_and_band([(np.empty(0), np.empty(0))]).empty


def test_seeds_and_folds_become_one_curve_with_a_band(tmp_path: Path) -> None:
    for seed, losses in enumerate(([4.0, 2.0], [2.0, 2.0])):
        _trained(tmp_path / "e" / f"a{seed}", losses, seed=seed, config={"seed": seed})
    _trained(tmp_path / "e" / "b", [5.0, 1.0], config={"optimizer": {"lr": 0.5}})
    figure = curves(tmp_path)
    losses = figure.axes[0]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "lr 0.1 (2 runs)",
        "lr 0.5",
    ]
    drawn = [line.get_ydata().tolist() for line in losses.lines]
    assert drawn == [[4.0, 2.0], [2.0, 2.0], [3.0, 2.0], [5.0, 1.0]]
    assert len(losses.collections) == 1
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "Training loss",
        "Validation loss",
        "Validation mIoU",
    ]


def test_curves_of_a_table_of_chosen_runs_and_of_another_metric(tmp_path: Path) -> None:
    _trained(tmp_path / "e" / "a", [4.0, 2.0])
    _trained(tmp_path / "e" / "b", [5.0, 1.0], config={"optimizer": {"lr": 0.5}})
    _run(tmp_path / "e" / "c", "eval")
    table = load_runs(tmp_path)
    figure = curves(
        table[table["run_id"] != "a"], metrics=["val/loss", "none/such"], by="model.arch"
    )
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["arch unet"]
    assert [line.get_ydata().tolist() for line in figure.axes[0].lines] == [[6.0, 2.0]]
    assert "no run has none/such" in _texts(figure)


def test_folds_of_a_cross_validation_form_the_band(tmp_path: Path) -> None:
    cv = _run(tmp_path / "e" / "cv1", "cv")
    for fold in range(3):
        _trained(
            cv.run_dir / "folds" / f"cv1-r0-f{fold}",
            [1.0 + fold, 1.0],
            kind="fold",
            parent="cv1",
            fold=f"r0-f{fold}",
            config={"cv": {"fold": fold}},
        )
    figure = curves(cv)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["cv1 (3 runs)"]
    assert figure.axes[0].lines[-1].get_ydata().tolist() == [2.0, 1.0]


def test_curves_refuse_what_cannot_be_drawn(tmp_path: Path) -> None:
    _run(tmp_path / "e" / "c", "eval")
    with pytest.raises(DataError, match="none of the runs has a learning curve"):
        curves(tmp_path)
    for number in range(13):
        _trained(tmp_path / "f" / f"r{number}", [1.0], config={"optimizer": {"lr": float(number)}})
    with pytest.raises(DataError, match="13 settings cannot be told apart"):
        curves(tmp_path / "f")


def test_settings_leave_out_seed_names_and_places() -> None:
    table = pd.DataFrame(
        {
            "run_id": ["a", "b", "c"],
            "experiment": "e",
            "name": [None, "n", None],
            "config.seed": [0, 1, 0],
            "config.run_name": ["x", "y", "z"],
            "config.paths.runs_dir": ["p", "q", "p"],
            "config.cv.fold": ["r0-f0", "r0-f1", None],
            "config.data.crop_size": [[1, 2], [1, 2], [3, 4]],
            "config.lr": [np.nan, np.nan, np.nan],
            "config.optimizer.name": ["sgd", "sgd", "sgd"],
        }
    )
    assert varied_settings(table) == ["config.data.crop_size"]
    groups = setting_groups(table)
    assert {name: rows["run_id"].tolist() for name, rows in groups.items()} == {
        "crop_size [1, 2]": ["a", "b"],
        "crop_size [3, 4]": ["c"],
    }
    assert list(setting_groups(table, by="optimizer.name")) == ["name sgd"]
    with pytest.raises(DataError, match=r"did you mean 'config\.optimizer\.name'"):
        setting_groups(table, by="config.optimizer.nam")


def test_groups_of_one_name_get_their_run_ids() -> None:
    table = pd.DataFrame(
        {
            "run_id": ["a", "b"],
            "experiment": ["e", "e"],
            "name": ["n", "n"],
            **{f"config.x{i}": [0, 1] for i in range(5)},
        }
    )
    assert list(setting_groups(table)) == ["n (a)", "n (b)"]


MATRIX = np.array([[6, 2, 0], [1, 3, 0], [1, 0, 0]])


def test_confusion_by_target_and_by_prediction(tmp_path: Path) -> None:
    record = _with_labels(_run(tmp_path / "e" / "r1"))
    record.write_confusion("val", MATRIX)
    shown = confusion(record.run_dir)
    np.testing.assert_allclose(shown.axes[0].images[0].get_array()[0], [75, 25, 0])
    assert "e r1, val" in _texts(shown)
    turned = confusion(record, normalise="prediction")
    np.testing.assert_allclose(turned.axes[0].images[0].get_array()[0], [75, 12.5, 12.5])
    texts = _texts(turned)
    assert (turned.axes[0].get_ylabel(), turned.axes[0].get_xlabel()) == ("prediction", "target")
    assert "is never predicted" in texts
    assert "does not occur in the target" not in texts
    with pytest.raises(DataError, match="target or prediction, got 'all'"):
        confusion(record, normalise="all")  # type: ignore[arg-type]


def test_confused_pairs_by_hand(tmp_path: Path) -> None:
    record = _with_labels(_run(tmp_path / "e" / "r1"))
    record.write_confusion("val", MATRIX)
    pairs = confused_pairs(record)
    assert pairs[["target", "prediction", "pixels"]].to_numpy().tolist() == [
        ["road", "car", 2],
        ["car", "road", 1],
        ["sky", "road", 1],
    ]
    np.testing.assert_allclose(pairs["share_of_target"], [0.25, 0.25, 1.0])
    np.testing.assert_allclose(pairs["share_of_prediction"], [0.4, 0.125, 0.125])
    np.testing.assert_allclose(pairs["share_of_errors"], [0.5, 0.25, 0.25])
    assert len(confused_pairs(record, count=1)) == 1


def test_labels_are_found_with_the_run_its_folds_or_the_scored_run(tmp_path: Path) -> None:
    trained = _with_labels(_run(tmp_path / "e" / "r1"))
    scored = _run(tmp_path / "f" / "v1", "eval", {"run": str(trained.run_dir)}, parent="r1")
    beside = _run(tmp_path / "e" / "v2", "eval", parent="r1")
    cv = _run(tmp_path / "e" / "cv1", "cv")
    _with_labels(_run(cv.run_dir / "folds" / "cv1-0", "fold", parent="cv1"))
    for record in (trained, scored, beside, cv):
        assert labels_of(record) == LABELS
    lost = _run(tmp_path / "g" / "r9")
    with pytest.raises(DataError, match=r"run r9: expected manifest.manifest.yaml"):
        labels_of(lost)


def test_a_run_is_a_path_a_record_or_a_row(tmp_path: Path) -> None:
    record = _run(tmp_path / "e" / "r1")
    row = load_runs(tmp_path).iloc[0]
    for run in (record, record.run_dir, str(record.json_path), row, row.to_dict()):
        assert open_run(run).run_id == "r1"
    with pytest.raises(DataError, match="run_dir"):
        open_run({"run_id": "r1"})


def test_fold_scores_and_boxplot(tmp_path: Path) -> None:
    cv = _run(tmp_path / "e" / "cv1", "cv")
    with pytest.raises(RunNotFoundError, match=r"run cv1 \(cv\) has no fold_scores.parquet; train"):
        fold_scores(cv)
    frame = pd.DataFrame(
        {
            "fold": ["r0-f0", "r0-f1"],
            "miou": [0.4, 0.6],
            "dice": [0.5, 0.7],
            "iou/road": [0.4, 0.6],
            "iou/car": [np.nan, 0.2],
        }
    )
    frame.to_parquet(cv.run_dir / "fold_scores.parquet")
    pd.testing.assert_frame_equal(fold_scores(cv.run_dir), frame)
    figure = fold_boxplot(cv)
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels == ["mean of classes", "road", "car"]
    frame.drop(columns="miou").to_parquet(cv.run_dir / "fold_scores.parquet")
    with pytest.raises(DataError, match="it lacks miou"):
        fold_scores(cv)


def _scored(run_dir: Path, scores: dict[str, float], split: str = "val") -> RunRecord:
    record = _run(run_dir)
    record.write_per_image(
        pd.DataFrame({"sample_id": list(scores), "split": split, "miou": list(scores.values())})
    )
    return record


def test_images_are_paired_by_their_id(tmp_path: Path) -> None:
    first = _scored(tmp_path / "e" / "r1", {"a": 0.5, "b": 0.5, "c": 0.1})
    second = _scored(tmp_path / "e" / "r2", {"b": 0.75, "a": 0.25, "d": 0.0})
    pair = paired_images(first, second)
    assert pair["sample_id"].tolist() == ["b", "a"]
    assert pair["gain"].tolist() == [-0.25, 0.25]
    points = image_by_image(first, second).axes[0].collections[0].get_offsets()
    np.testing.assert_allclose(points, [[0.75, 0.5], [0.25, 0.5]])
    assert "2 images, 50% of them better" in _texts(image_by_image(first, second))
    with pytest.raises(DataError, match="no image of the split test in common"):
        paired_images(first, second, "test")


def test_what_changes_a_training_is_a_setting_and_how_it_is_kept_is_none(tmp_path: Path) -> None:
    for number, patience in enumerate((None, 3)):
        callbacks = {
            "early_stopping": {"patience": patience},
            "checkpoint": {"every_n_steps": number},
            "overlays": {"num_images": number},
            "progress": f"p{number}",
        }
        _run(tmp_path / "e" / f"r{number}", config={"callbacks": callbacks})
    wanted = ["config.callbacks.early_stopping.patience"]
    assert varied_settings(load_runs(tmp_path)) == wanted
