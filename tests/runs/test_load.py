"""Many records become one tidy table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seglab.core.errors import DataError, RunNotFoundError
from seglab.runs import RunRecord, load_histories, load_runs
from seglab.runs.locate import find_runs


def _run(run_dir: Path, lr: float, kind: str = "train", **facts: Any) -> RunRecord:
    record = RunRecord.create(
        run_dir,
        experiment=run_dir.parent.name,
        kind=kind,
        config={"optimizer": {"lr": lr, "options": {}}, "data": {"crop_size": [64, 96]}},
        config_yaml="",
        **{"git": {"commit": "abc", "dirty": True}, "packages": {"x": "1"}, **facts},
    )
    record.log_epoch({"epoch": 0, "train/loss": lr})
    return record


def test_one_row_a_run_with_flat_config_and_metrics(tmp_path: Path) -> None:
    first = _run(tmp_path / "a" / "r1", 0.1, seed=1, fold=0, dataset_fingerprint="f1")
    first.set_metrics({"val/miou": 0.5, "val/iou/car": float("nan")})
    first.finish("finished")
    second = _run(tmp_path / "b" / "r2", 0.2, seed=2)
    second.finish("failed", ValueError("no data"))
    frame = load_runs(tmp_path)
    assert frame["run_id"].tolist() == ["r1", "r2"]
    assert frame["config.optimizer.lr"].tolist() == [0.1, 0.2]
    assert frame["config.data.crop_size"][0] == [64, 96]
    assert "config.optimizer.options" in frame
    np.testing.assert_array_equal(frame["metrics.val/miou"], [0.5, np.nan])
    assert frame["metrics.val/iou/car"].isna().all()
    assert frame["status"].tolist() == ["finished", "failed"]
    assert frame["error"][1] == "ValueError: no data"
    assert frame["fingerprint"][0] == "f1"
    assert frame["git_commit"].tolist() == ["abc", "abc"]
    assert frame["run_dir"].tolist() == [str(tmp_path / "a" / "r1"), str(tmp_path / "b" / "r2")]


def test_list_of_paths_keeps_the_order_and_drops_repeats(tmp_path: Path) -> None:
    for name in ("r1", "r2", "r3"):
        _run(tmp_path / "a" / name, 0.1)
    frame = load_runs([tmp_path / "a" / "r3", tmp_path / "a" / "r1" / "run.json", tmp_path / "a"])
    assert frame["run_id"].tolist() == ["r3", "r1", "r2"]


def test_dead_run_reads_as_interrupted(tmp_path: Path) -> None:
    _run(tmp_path / "a" / "r1", 0.1).update(pid_started=1.0)
    assert load_runs(tmp_path)["status"].tolist() == ["interrupted"]


def test_empty_root_gives_an_empty_table_with_columns(tmp_path: Path) -> None:
    frame = load_runs(tmp_path)
    assert frame.empty
    assert {"run_id", "experiment", "kind", "status", "seed", "fold", "fingerprint"} <= set(frame)


def test_wrong_name_and_broken_records_are_named(tmp_path: Path) -> None:
    _run(tmp_path / "a" / "run-one", 0.1)
    with pytest.raises(RunNotFoundError, match="did you mean 'run-one'"):
        load_runs([tmp_path / "a" / "run-on"])
    for name, text in (("bad1", "{"), ("bad2", "{}"), ("bad3", "[]")):
        (tmp_path / "a" / name).mkdir()
        (tmp_path / "a" / name / "run.json").write_text(text)
    with pytest.raises(DataError, match="3 broken run records") as caught:
        load_runs(tmp_path)
    assert all(name in str(caught.value) for name in ("bad1", "bad2", "bad3"))


def test_histories_are_stacked_with_their_run(tmp_path: Path) -> None:
    _run(tmp_path / "a" / "r1", 0.1)
    _run(tmp_path / "a" / "r2", 0.2).log_epoch({"epoch": 1, "train/loss": 0.3})
    frame = load_histories(tmp_path)
    assert frame["run_id"].tolist() == ["r1", "r2", "r2"]
    assert frame["train/loss"].tolist() == [0.1, 0.2, 0.3]


def _cross_validation(run_dir: Path, folds: int = 2) -> None:
    _run(run_dir, 0.1, "cv").set_metrics({"val/miou": 0.5, "val/miou_std": 0.1})
    for fold in range(folds):
        place = run_dir / "folds" / f"r0-f{fold}"
        _run(place, 0.1, "fold", parent=run_dir.name, fold=fold).set_metrics({"val/miou": 0.4})


def test_folds_follow_their_cross_validation(tmp_path: Path) -> None:
    _cross_validation(tmp_path / "a" / "cv1")
    _run(tmp_path / "a" / "r2", 0.2)
    frame = load_runs(tmp_path)
    assert frame["kind"].tolist() == ["cv", "fold", "fold", "train"]
    assert frame["run_id"].tolist() == ["cv1", "r0-f0", "r0-f1", "r2"]
    assert frame["parent"].fillna("").tolist() == ["", "cv1", "cv1", ""]
    np.testing.assert_array_equal(frame["fold"], [np.nan, 0, 1, np.nan])
    assert load_runs(tmp_path, folds=False)["kind"].tolist() == ["cv", "train"]
    named = [tmp_path / "a" / "cv1" / "folds" / "r0-f1", tmp_path / "a" / "cv1"]
    assert load_runs(named)["run_id"].tolist() == ["r0-f1", "cv1", "r0-f0"]


def test_broken_fold_is_named(tmp_path: Path) -> None:
    _cross_validation(tmp_path / "a" / "cv1")
    (tmp_path / "a" / "cv1" / "folds" / "r0-f1" / "run.json").write_text("{")
    with pytest.raises(DataError, match="r0-f1"):
        load_runs(tmp_path)


def test_histories_of_folds_are_found(tmp_path: Path) -> None:
    _cross_validation(tmp_path / "a" / "cv1")
    (tmp_path / "a" / "cv1" / "history.csv").unlink()
    frame = load_histories(tmp_path / "a" / "cv1")
    assert frame["run_id"].tolist() == ["r0-f0", "r0-f1"]
    assert load_histories(tmp_path / "a" / "cv1", folds=False).empty


def test_runs_of_other_fields_share_a_table(tmp_path: Path) -> None:
    _run(tmp_path / "a" / "r1", 0.1).set_metrics({"val/miou": 0.5})
    _run(tmp_path / "a" / "r2", 0.2).set_metrics({"test/miou": 0.25})
    _run(tmp_path / "a" / "r3", 0.3).set_metrics({"val/miou": 0.75})
    frame = load_runs(tmp_path)
    np.testing.assert_array_equal(frame["metrics.val/miou"], [0.5, np.nan, 0.75])
    np.testing.assert_array_equal(frame["metrics.test/miou"], [np.nan, 0.25, np.nan])
    assert frame["config.optimizer.lr"].tolist() == [0.1, 0.2, 0.3]


def test_links_add_no_run_twice_and_lead_to_no_end(tmp_path: Path) -> None:
    elsewhere = _run(tmp_path / "disk" / "b" / "r2", 0.2).run_dir
    runs = tmp_path / "runs"
    first = _run(runs / "a" / "r1", 0.1).run_dir
    (runs / "a" / "latest").symlink_to(first)
    (runs / "0-newest").symlink_to(first)
    (runs / "a" / "again").symlink_to(runs)
    (runs / "a" / "above").symlink_to(tmp_path)
    (runs / "more").symlink_to(elsewhere.parent)
    (runs / "itself").symlink_to(runs / "itself")
    (runs / "gone").symlink_to(runs / "nowhere")
    (runs / "notes.txt").write_text("no folder")
    assert find_runs(runs) == [first, runs / "more" / "r2"]
    assert find_runs(runs, depth=1) == [runs / "0-newest"]
    assert find_runs(runs / "itself") == find_runs(runs / "nowhere") == []
    assert load_runs(runs)["run_id"].tolist() == ["r1", "r2"]
