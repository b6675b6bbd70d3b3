"""A record is whole at any moment, says the truth about dead runs and refuses typing mistakes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from seglab.core.disk.files import hash_json
from seglab.core.errors import DataError, RunNotFoundError
from seglab.runs import RunRecord, find_runs, new_run_dir
from seglab.runs.record_text import RecordText
from seglab.runs.schema import read_record

CONFIG = {"seed": 3, "model": {"arch": "unet"}}


def _create(run_dir: Path, **facts: Any) -> RunRecord:
    return RunRecord.create(
        run_dir,
        experiment="demo",
        kind="train",
        config=CONFIG,
        config_yaml="seed: 3\n",
        **{"git": {"commit": "abc", "dirty": False}, "packages": {"torch": "2.0"}, **facts},
    )


def test_create_writes_every_field_of_the_contract(tmp_path: Path) -> None:
    record = _create(tmp_path / "demo" / "r1", seed=3, fold=2, parent="cv1", device="cpu")
    content = json.loads((tmp_path / "demo" / "r1" / "run.json").read_text())
    promised = {
        "schema_version",
        "run_id",
        "experiment",
        "name",
        "kind",
        "parent",
        "status",
        "started",
        "ended",
        "config_hash",
        "git",
        "dataset_fingerprint",
        "fold",
        "seed",
        "packages",
        "device",
        "execution_plan",
        "wall_time_s",
        "metrics",
        "wandb",
        "pid",
        "host",
        "error",
        "resumed",
    }
    assert promised <= set(content)
    assert (content["run_id"], content["status"], content["fold"]) == ("r1", "running", 2)
    assert content["config_hash"] == hash_json(CONFIG)
    assert content["pid"] == os.getpid()
    assert record.config_path.read_text() == "seed: 3\n"
    assert record.checkpoints_dir.is_dir()
    assert record.figures_dir.is_dir()


def test_create_finds_git_and_packages_itself(tmp_path: Path) -> None:
    content = _create(tmp_path / "r1", git=None, packages=None).read()
    assert set(content["git"]) == {"commit", "dirty"}
    assert "numpy" in content["packages"]


def test_create_never_overwrites_a_run(tmp_path: Path) -> None:
    _create(tmp_path / "r1")
    with pytest.raises(DataError, match="holds a run already"):
        _create(tmp_path / "r1")


def test_unknown_names_are_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'sed' \(did you mean 'seed'\?\)"):
        _create(tmp_path / "r1", sed=1)
    record = _create(tmp_path / "r1")
    with pytest.raises(DataError, match="status must be one of running, finished"):
        record.update(status="done")
    with pytest.raises(DataError, match="ends as one of finished, failed"):
        record.finish("running")
    with pytest.raises(DataError, match="kind must be one of train, fold, cv, trial, eval"):
        RunRecord.create(tmp_path / "x", experiment="e", kind="run", config={}, config_yaml="")


def test_open_takes_folder_json_or_id_below_a_root(tmp_path: Path) -> None:
    _create(tmp_path / "runs" / "demo" / "r1")
    folder = tmp_path / "runs" / "demo" / "r1"
    for given in (folder, str(folder), folder / "run.json"):
        assert RunRecord.open(given).run_id == "r1"
    assert RunRecord.open("r1", root=tmp_path / "runs").run_dir == folder


def test_open_of_a_wrong_path_names_the_nearest_run(tmp_path: Path) -> None:
    _create(tmp_path / "demo" / "camvid-unet-1")
    with pytest.raises(RunNotFoundError, match="did you mean 'camvid-unet-1'") as caught:
        RunRecord.open(tmp_path / "demo" / "camvid-unet-l")
    assert caught.value.exit_code == 2
    with pytest.raises(RunNotFoundError, match=r"newest under .*: camvid-unet-1"):
        RunRecord.open(tmp_path / "demo" / "zzz")
    with pytest.raises(RunNotFoundError, match="nor a folder of runs near it"):
        RunRecord.open(tmp_path / "not" / "even" / "close" / "r1")


def test_open_refuses_broken_and_newer_records(tmp_path: Path) -> None:
    record = _create(tmp_path / "r1")
    record.json_path.write_text(json.dumps({**record.read(), "schema_version": 99}))
    with pytest.raises(DataError, match="has schema 99, this seglab reads up to 1"):
        RunRecord.open(record.run_dir)
    record.json_path.write_text("{")
    with pytest.raises(DataError, match=r"run\.json is not JSON"):
        RunRecord.open(record.run_dir)


def test_metrics_merge_and_undefined_ones_stay_nan(tmp_path: Path) -> None:
    record = _create(tmp_path / "r1")
    record.set_metrics({"val/miou": np.float32(0.5), "val/iou/car": float("nan")})
    record.set_metrics({"val/num_classes": 11, "val/miou": 0.25})
    assert record.read()["metrics"]["val/iou/car"] is None
    assert np.isnan(record.metrics["val/iou/car"])
    assert (record.metrics["val/miou"], record.metrics["val/num_classes"]) == (0.25, 11)


def test_updates_from_many_threads_and_handles_lose_nothing(tmp_path: Path) -> None:
    _create(tmp_path / "r1")

    def work(worker: int) -> None:
        for step in range(10):
            RunRecord.open(tmp_path / "r1").set_metrics({f"m/{worker}/{step}": 1.0})

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(RunRecord.open(tmp_path / "r1").metrics) == 40


def test_finish_keeps_the_error_and_leaves_no_temporary_files(tmp_path: Path) -> None:
    record = _create(tmp_path / "r1")
    try:
        raise ZeroDivisionError("loss is 0/0")
    except ZeroDivisionError as error:
        record.finish("failed", error)
    content = record.read()
    assert content["status"] == record.effective_status == "failed"
    assert content["ended"] is not None
    assert content["error"]["type"] == "ZeroDivisionError"
    assert content["error"]["message"] == "loss is 0/0"
    assert "test_record.py" in content["error"]["traceback"]
    left = [path.name for path in record.run_dir.iterdir() if path.name.startswith(".")]
    assert left in ([], [".run.lock"])


def test_wall_time_adds_up_over_segments_and_not_while_nobody_runs(tmp_path: Path) -> None:
    record = _create(tmp_path / "r1")
    time.sleep(0.05)
    RunRecord.open(record.run_dir).update(notes="a second handle must not count twice")
    record.finish("interrupted")
    first = record.read()["wall_time_s"]
    assert 0.05 <= first < 1.0
    time.sleep(0.2)
    record.update(notes="nobody runs it")
    assert record.read()["wall_time_s"] == first
    again = RunRecord.open(record.run_dir)
    again.resume()
    time.sleep(0.05)
    again.finish("finished")
    content = again.read()
    assert first + 0.05 <= content["wall_time_s"] < first + 0.2
    assert (content["resumed"], content["status"], content["error"]) == (1, "finished", None)


def test_wall_time_reaches_the_disk_while_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seglab.runs.record._WALL_TIME_EVERY_S", 0.0)
    record = _create(tmp_path / "r1")
    time.sleep(0.02)
    record.log_epoch({"epoch": 0, "train/loss": 1.0})
    assert record.read()["wall_time_s"] >= 0.02
    assert record.history()["train/loss"].tolist() == [1.0]


def test_running_record_of_a_dead_process_reads_as_interrupted(tmp_path: Path) -> None:
    code = (
        "import sys, os, signal; from pathlib import Path; from seglab.runs import RunRecord\n"
        "r = RunRecord.create(Path(sys.argv[1]), experiment='e', kind='train', config={},"
        " config_yaml='')\n"
        "r.log_epoch({'epoch': 0, 'x': 1.0}); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    checkout = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "r1")], cwd=checkout)
    assert done.returncode == -9
    record = RunRecord.open(tmp_path / "r1")
    assert (record.status, record.effective_status) == ("running", "interrupted")
    assert record.history()["x"].tolist() == [1.0]


def test_running_record_is_believed_for_this_process_and_other_hosts(tmp_path: Path) -> None:
    record = _create(tmp_path / "r1")
    assert record.effective_status == "running"
    record.update(pid_started=1.0)
    assert record.effective_status == "interrupted", "the process id was given to another process"
    record.update(host="another-machine")
    assert record.effective_status == "running"


def test_confusion_and_per_image_go_to_their_files(tmp_path: Path) -> None:
    record = _create(tmp_path / "r1")
    matrix = np.array([[3, 1], [0, 5]])
    record.write_confusion("val", matrix)
    record.write_confusion("test", matrix * 2)
    assert (record.run_dir / "confusion.npy").is_file()
    assert (record.run_dir / "confusion_test.npy").is_file()
    np.testing.assert_array_equal(record.confusion(), matrix)
    np.testing.assert_array_equal(record.confusion("test"), matrix * 2)
    assert record.confusion().dtype == np.int64
    with pytest.raises(DataError, match=r"no confusion_train\.npy; it has \['confusion\.npy'"):
        record.confusion("train")
    with pytest.raises(DataError, match="square integer confusion matrix"):
        record.write_confusion("val", matrix / 2)
    frame = pd.DataFrame({"sample_id": ["a", "b"], "miou": [0.5, float("nan")]})
    with pytest.raises(DataError, match=r"has no per_image\.parquet"):
        record.per_image()
    record.write_per_image(frame)
    pd.testing.assert_frame_equal(record.per_image(), frame)


def test_find_runs_is_sorted_and_stays_out_of_runs(tmp_path: Path) -> None:
    for name in ("b/r2", "a/r1", "a/r1/checkpoints/copy"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "run.json").write_text("{}")
    (tmp_path / ".trash" / "r9").mkdir(parents=True)
    (tmp_path / ".trash" / "r9" / "run.json").write_text("{}")
    assert find_runs(tmp_path) == [tmp_path / "a" / "r1", tmp_path / "b" / "r2"]
    assert find_runs(tmp_path / "absent") == []


def test_new_run_dirs_differ_and_are_safe_names(tmp_path: Path) -> None:
    made = {new_run_dir(tmp_path, "my study", "lr=0.1/a b") for _ in range(50)}
    assert len(made) == 50
    one = made.pop()
    assert one.parent == tmp_path / "my-study"
    assert "lr=0.1-a-b" in one.name


def test_record_imports_no_torch_and_no_lightning() -> None:
    code = "import sys, seglab.runs; print([m for m in ('torch', 'pytorch_lightning', 'wandb') if m in sys.modules])"  # noqa: E501
    checkout = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=checkout, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"


def test_scores_that_meant_something_else_when_written_are_not_read_as_todays(
    tmp_path: Path,
) -> None:
    def read(metrics: dict[str, float]) -> dict[str, float | None]:
        path = tmp_path / "run.json"
        path.write_text(json.dumps({"schema_version": 1, "metrics": metrics}, indent=2))
        content = RecordText().parse(path.read_bytes(), path)["metrics"]
        assert content == read_record(path)["metrics"]
        return content

    # A mean over what was found; today a missed object counts the image's diagonal.
    gated = {"val/hd95": 2.0, "val/hd95_missed": 5.0, "test/hd95": 3.0, "test/hd95_missed": 0.0}
    assert read(gated) == {**gated, "val/hd95": None, "val/hd95_found": 2.0}
    today = {"val/hd95": 26.0, "val/hd95_missed": 5.0, "val/hd95_penalty": 50.0}
    assert read(today) == today
    # Intervals of two images, of two folds.
    ends = {"val/miou_low": 0.3134, "val/miou_high": 0.3153, "val/iou_low/car": 0.1}
    for few in ({"val/num_images_averaged": 2}, {"num_folds": 2.0}):
        assert read({**ends, **few}) == {**dict.fromkeys(ends), **few}
    for enough in ({"val/num_images_averaged": 50}, {"num_folds": 5.0}, {}):
        assert read({**ends, **enough}) == {**ends, **enough}
