"""`seglab metrics explain` on run records made by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from seglab.cli.runs import metrics
from seglab.runs.record import RunRecord

Run = Callable[..., Any]


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """Two images per split: a 50-pixel object found, a 1-pixel object missed, class 2 nowhere."""
    record = RunRecord.create(
        tmp_path / "runs" / "roads" / "20250101-a",
        experiment="roads",
        kind="train",
        config={},
        config_yaml="",
        main_split="val",
        git={},
        packages={},
    )
    rows = [
        {"sample_id": "a", "tp": [50, 50, 0], "fp": [0, 0, 0], "fn": [0, 0, 0]},
        {"sample_id": "b", "tp": [99, 0, 0], "fp": [1, 0, 0], "fn": [0, 1, 0]},
    ]
    frame = pd.DataFrame([{**row, "split": split} for split in ("val", "test") for row in rows])
    record.write_per_image(frame)
    record.set_metrics(
        {
            f"{split}/iou/{name}": value
            for split in ("val", "test")
            for name, value in (("ground", 0.9933), ("thing", 0.9804), ("never", None))
        }
    )
    return record.run_dir


def test_table_and_advice(seglab: Run, run_dir: Path) -> None:
    answer = seglab("metrics", "explain", str(run_dir))

    assert answer.code == 0, answer.err
    assert "20250101-a, val, 2 images" in answer.out
    for score in ("0.9912", "0.9900", "0.9869", "0.7475", "0.1650"):
        assert score in answer.out
    assert answer.out.index("0.9912") < answer.out.index("0.7475") < answer.out.index("0.1650")
    assert "Void is left out of every row" in answer.out
    assert "Report val/miou = 0.9869, the mean over classes of one confusion" in answer.out


def test_json_is_complete(seglab: Run, run_dir: Path) -> None:
    answer = seglab("metrics", "explain", str(run_dir / "run.json"), "--split", "test", "--json")

    assert answer.code == 0, answer.err
    content = json.loads(answer.out)
    assert (content["split"], content["images"]) == ("test", 2)
    assert content["class_names"] == ["ground", "thing", "never"]
    assert content["advice"].startswith("Report test/miou")
    ours = next(row for row in content["conventions"] if row["name"] == "miou")
    assert ours["score"] == pytest.approx((149 / 150 + 50 / 51) / 2)
    assert "Here 1 of 3: never." in ours["why"]
    assert set(ours) == {"name", "library", "score", "kind", "why", "checked"}


def test_undefined_numbers_are_null(seglab: Run, run_dir: Path) -> None:
    record = RunRecord.open(run_dir)
    zeros = {name: [[0, 0, 0]] for name in ("tp", "fp", "fn")}
    record.write_per_image(pd.DataFrame({"sample_id": ["a"], "split": ["val"], **zeros}))

    rows = json.loads(seglab("metrics", "explain", str(run_dir), "--json").out)["conventions"]
    assert next(row for row in rows if row["name"] == "miou")["score"] is None


def test_wrong_path_names_the_nearest_run(seglab: Run, run_dir: Path) -> None:
    answer = seglab("metrics", "explain", str(run_dir.parent / "20250101-b"))

    assert answer.code == 2
    assert "no run record at" in answer.err
    assert "did you mean '20250101-a'?" in answer.err


def test_wrong_words_are_explained(seglab: Run, run_dir: Path) -> None:
    answer = seglab("metrics", "explain", str(run_dir), "--split", "tset")
    assert answer.code == 2
    assert (
        "--split: the run scored no 'tset' (did you mean 'test'?); it has test, val" in answer.err
    )

    answer = seglab("metrics", "explian")
    assert answer.code == 2
    assert "no such command 'explian' (did you mean 'explain'?)" in answer.err

    assert seglab("metrics", "explain").code == 2
    with pytest.raises(SystemExit):
        metrics.build_parser().parse_args([])


def test_run_without_counts_is_told(seglab: Run, run_dir: Path) -> None:
    (run_dir / "per_image.parquet").unlink()
    answer = seglab("metrics", "explain", str(run_dir))
    assert answer.code == 2
    assert "has no per_image.parquet" in answer.err


def test_run_without_class_scores_is_told(seglab: Run, tmp_path: Path) -> None:
    record = RunRecord.create(
        tmp_path / "r", experiment="e", kind="train", config={}, config_yaml="", git={}, packages={}
    )
    record.write_per_image(
        pd.DataFrame({"sample_id": ["a"], "split": ["val"], "tp": [[1]], "fp": [[0]], "fn": [[0]]})
    )
    answer = seglab("metrics", "explain", str(tmp_path / "r"))
    assert answer.code == 2
    assert "only finished runs" in answer.err


def test_learning_curve_says_whether_more_data_would_help(seglab: Any, tmp_path: Path) -> None:
    for share, images, miou in ((0.25, 25, 0.40), (0.5, 50, 0.50), (1.0, 100, 0.58)):
        record = RunRecord.create(
            tmp_path / "runs" / f"run-{images}",
            experiment="learning_curve",
            kind="train",
            config={"seed": 0, "data": {"train_fraction": share}},
            config_yaml="",
        )
        record.set_metrics({"val/miou": miou, "train/miou": miou + 0.02})
        record.finish("finished")
    answer = seglab("metrics", "learning-curve", "runs", "-o", "curve.png")
    assert answer.code == 0, answer.err
    assert "0.580" in answer.out
    assert "more data" in answer.out
    assert (tmp_path / "curve.png").stat().st_size > 5000
