"""Every training is a W&B run of its own, closed with the right status; read back, not trusted."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from seglab.analysis.evaluation.class_scores import class_table
from seglab.config.compose import compose
from seglab.core.errors import TrainingError
from seglab.core.labels import LabelSpace
from seglab.data.manifest import Manifest
from seglab.engine.step.evaluation import EvalResult
from seglab.engine.tracking.tracking import WandbConfig, WandbView
from seglab.experiment.parts import Dataset
from seglab.experiment.scoring.summary import _show
from seglab.experiment.train import train
from seglab.metrics.names import safe_class_names
from seglab.metrics.scores import score_dict
from seglab.runs import RunRecord, find_runs

pytestmark = pytest.mark.skipif(
    shutil.which("wandb") is None and not (Path(sys.executable).parent / "wandb").exists(),
    reason="the wandb command is not installed",
)


def _inspect(run_dir: Path, *options: str) -> str:
    (file,) = (run_dir / "wandb").glob("offline-run-*/run-*.wandb")
    wandb = Path(sys.executable).parent / "wandb"
    return subprocess.run(
        [str(wandb), "leet", "inspect", "--json", *options, str(file)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout


def _summary(run_dir: Path) -> dict[str, Any]:
    return dict(json.loads(_inspect(run_dir, "--summary"))["summary"])


def _read(run_dir: Path) -> dict[str, Any]:
    """Return id, exit code, config and summary keys of the one offline run of a record."""
    shown = _inspect(run_dir)
    found: dict[str, Any] = {"text": shown}
    records = [json.loads(line) for line in shown.splitlines() if line.startswith("{")]
    for record in records:
        for kind, content in record.items():
            if isinstance(content, dict):
                found.setdefault(kind, []).append(content)
    return found


@pytest.mark.slow
def test_multirun_gives_each_job_its_own_closed_run(tiny: list[str], tmp_path: Path) -> None:
    words = [*tiny, "trainer.max_epochs=1", "seed=0,1", "logger.wandb.mode=offline"]
    command = [sys.executable, "-m", "seglab.cli", "train", "-m", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    runs = find_runs(tmp_path / "runs")
    assert len(runs) == 2
    records = [RunRecord.open(run_dir) for run_dir in runs]
    assert {record.read()["seed"] for record in records} == {0, 1}
    ids = {record.read()["wandb"]["id"] for record in records}
    assert len(ids) == 2
    for record in records:
        found = _read(record.run_dir)
        assert record.run_id in found["text"]
        assert "val/miou" in found["text"]
        assert "overlays/val" in found["text"]
        assert "SegNetBasic" in found["text"]  # the architecture, for parallel coordinates
        assert "tables/classes" in found["text"]
        assert "exit_code" in found["text"]


def test_run_that_raises_is_closed_as_failed(tiny: list[str], tmp_path: Path) -> None:
    words = [*tiny, "optimizer=sgd", "optimizer.lr=1e20", "logger.wandb.mode=offline"]
    with pytest.raises(TrainingError):
        train(compose(words), tmp_path / "run", Console(quiet=True))
    found = _read(tmp_path / "run")
    assert '"exit_code": 1' in found["text"] or '"exit_code":1' in found["text"]
    assert "failed" in found["text"]


NASTY = (
    "sign[/old]",
    "=1+1",
    "a*b",
    "c*",
    "a.b",
    "$x$",
    "a\nb",
    "x.png",
    "<b>|</b>",
    "Straße",
    "d\\e",
)


@pytest.mark.parametrize("count", [11, pytest.param(150, marks=pytest.mark.slow)])
def test_all_of_a_run_with_many_or_odd_classes_is_in_its_file(count: int, tmp_path: Path) -> None:
    names = (*NASTY, *(f"class {index}" for index in range(count)))[:count]
    labels = LabelSpace(names)
    row = {
        "sample_id": "a[/b]",
        "image": "a.png",
        "mask": "a.png",
        "height": 1,
        "width": count,
        "split": "val",
        "group": "g",
        "annotator": None,
        "tags": [],
        "sha256": None,
        "phash": None,
        "class_pixels": [1] * count + [0],
        "flags": [],
        "keep": True,
    }
    manifest = Manifest(pd.DataFrame([row]), labels, tmp_path, "Mühle [x]", "index", {})
    record = RunRecord.create(
        tmp_path / "run", experiment="e", kind="train", config={}, config_yaml="a: 1\n"
    )
    (record.checkpoints_dir / "best.ckpt").write_bytes(b"weights")
    confusion = np.eye(count, dtype=np.int64) + 1
    results, metrics = {}, {"best_epoch": 3.0}
    for split in ("val", "test"):
        scores = score_dict(confusion, names, split)
        metrics |= scores
        results[split] = EvalResult(split, scores, confusion, pd.DataFrame())
    rows = class_table(dict.fromkeys(results, confusion), names)
    tags = ("[/t]", "x" * 80, "")
    view = WandbView(
        WandbConfig(
            record.run_dir, record.run_id, "offline", name="n[/b]", group="g[/r]", tags=tags
        )
    )
    view.start({})
    view.log_epoch({"epoch": 0, **metrics}, 1)
    _show(view, record, Dataset(manifest, None), results, rows, {}, metrics)  # type: ignore[arg-type]
    view.finish("finished")

    found = _read(record.run_dir)
    by_type = {one["type"]: one for one in found["artifact"]}
    best, data = by_type["model"], by_type["dataset"]
    assert (data["name"], best["name"]) == ("dataset-M-hle--x-", "run-best")
    told = json.loads(data["metadata"]) if isinstance(data["metadata"], str) else data["metadata"]
    assert told == {"fingerprint": manifest.fingerprint, "splits": manifest.splits()}
    assert "best" in best["aliases"]
    shown = json.loads(best["metadata"]) if isinstance(best["metadata"], str) else best["metadata"]
    assert shown["val/miou"] == pytest.approx(metrics["val/miou"])
    assert shown["fingerprint"] == manifest.fingerprint
    assert len(shown) < 20
    files = [entry["path"] for entry in best["manifest"]["contents"]]
    assert sorted(files) == ["best.ckpt", "config.yaml"]
    (segment,) = (record.run_dir / "wandb").glob("offline-run-*")
    table = json.loads(next(segment.glob("files/media/table/tables/classes*")).read_text("utf-8"))
    assert [line[0] for line in table["data"]] == [*names, f"mean of {count}"]
    for split in results:
        place = next(segment.glob(f"files/media/table/confusion/{split}_table*"))
        pairs = json.loads(place.read_text("utf-8"))["data"]
        assert len(pairs) == count**2
    summary = _summary(record.run_dir)
    assert not {f"final/{key}" for key in metrics} - set(summary)
    run = found["run"][0]
    assert (run["display_name"], run["run_group"]) == ("n[/b]", "g[/r]")
    assert sorted(run["tags"]) == ["[/t]", "x" * 64]
    for name in safe_class_names(names):
        assert summary[f"final/val/iou/{name}"] == pytest.approx(metrics[f"val/iou/{name}"])
    axes = {
        one.get("name") or one.get("glob_name"): one.get("step_metric") for one in found["metric"]
    }
    for name in safe_class_names(names):
        pattern = f"val/iou/{name}"
        pattern = pattern[: pattern.index("*") + 1] if "*" in pattern else pattern
        assert axes.get(pattern, axes.get(pattern.rstrip("*"))) == "epoch"


def test_artifact_that_cannot_be_logged_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    view = WandbView(WandbConfig(tmp_path, "r", "offline"))
    view._run = object()
    view._failures = 1
    view.log_artifact_files("model", "r-best", [tmp_path / "gone.ckpt"])
    assert "W&B failed (artifact r-best): " in caplog.text
    assert view.active
