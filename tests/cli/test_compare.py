"""`seglab compare` in this process: words in, table, verdict and files out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from seglab.runs import RunRecord

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def _make(run_dir: Path, hits: int, **facts: Any) -> None:
    """Write a run that finds about `hits` of 100 pixels of each of two classes in 30 images."""
    tp = hits + np.random.default_rng(5).integers(-9, 9, (30, 2))
    fn = 100 - tp
    record = RunRecord.create(
        run_dir,
        experiment="e",
        kind="train",
        config={"model": {"arch": run_dir.name}},
        config_yaml="",
        git={"commit": "a"},
        packages={"x": "1"},
        **{"dataset_fingerprint": "f1", **facts},
    )
    record.write_per_image(
        pd.DataFrame(
            {
                "sample_id": [f"i{n}" for n in range(30)],
                "split": "val",
                "tp": list(tp),
                "fp": list(fn[:, ::-1]),
                "fn": list(fn),
            }
        )
    )
    iou = tp.sum(0) / (tp + fn + fn[:, ::-1]).sum(0)
    record.set_metrics(
        {"val/miou": float(iou.mean()), "val/iou/road": float(iou[0]), "val/iou/car": float(iou[1])}
    )
    record.finish("finished")


def test_table_and_verdict_are_printed(seglab: Run) -> None:
    _make(Path("runs/e/small"), 70)
    _make(Path("runs/e/large"), 80)

    answer = seglab("compare", "small", "large")

    assert answer.code == 0, answer.err
    lines = answer.out.splitlines()
    header = next(line for line in lines if "p (Holm)" in line)
    for column in ("run", "model", "miou", "interval", "diff", "verdict"):
        assert column in header
    assert "GFLOPs" not in header, "nobody recorded them"
    assert any("small" in line and "worse" in line for line in lines)
    assert any(line.startswith("val/miou, paired by image: 30 images") for line in lines)
    assert any(line.startswith("large is better than small by 0.") for line in lines)


@pytest.mark.parametrize(("width", "shows_hours"), [("80", False), ("150", True)])
def test_numbers_stay_whole_on_a_terminal(
    seglab: Run, monkeypatch: pytest.MonkeyPatch, width: str, shows_hours: bool
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    for name, hits in (("20261122-173709-a-long-name", 70), ("20261122-173709-another", 80)):
        _make(Path("runs/e") / name, hits, wall_time_s=3600.0, wall_time_before_s=3600.0)

    table = seglab("compare", "runs/e", "--json", "c.json").out.split("val/miou, paired")[0]
    worse = json.loads(Path("c.json").read_text())["rows"][1]

    assert "…" not in table
    assert "worse" in table
    assert f"{worse['miou']:.3f}" in table
    assert f"[{worse['diff_low']:.3f}," in table
    assert ("hours" in table) == shows_hours
    assert max(len(line) for line in re.sub("\x1b[^m]*m", "", table).splitlines()) <= int(width)


def test_files_hold_everything(seglab: Run) -> None:
    for name, hits in (("a", 70), ("b", 71), ("c", 80)):
        _make(Path("runs/e") / name, hits)

    answer = seglab(
        "compare",
        "runs/e",
        "--baseline",
        "a",
        "--metric",
        "iou/car",
        "--level",
        "0.9",
        "--json",
        "out/c.json",
        "--csv",
        "out/c.csv",
    )

    assert answer.code == 0, answer.err
    content = json.loads(Path("out/c.json").read_text())
    assert (content["method"], content["reference"], content["comparisons"]) == ("images", "a", 2)
    assert [row["run"] for row in content["rows"]] == ["c", "b", "a"]
    assert content["rows"][2]["p"] is None, "the reference is not compared with itself"
    assert content["rows"][0]["verdict"] == "better"
    assert content["text"] in answer.out
    table = pd.read_csv("out/c.csv")
    assert table["iou/car"].tolist() == pytest.approx([r["iou/car"] for r in content["rows"]])
    assert "after Holm over 2 comparisons" in answer.out


def test_runs_that_cannot_be_compared_are_refused_with_reasons(seglab: Run) -> None:
    _make(Path("runs/e/a"), 70)
    _make(Path("runs/e/b"), 80, dataset_fingerprint="f2")

    refused = seglab("compare", "a", "b")
    assert refused.code == 2
    assert "these runs cannot be compared; --force (force=True) compares them all" in refused.err
    assert "  - the data differs: fingerprint f1 (a); fingerprint f2 (b)" in refused.err
    assert not refused.out

    forced = seglab("compare", "a", "b", "--force")
    assert forced.code == 0
    assert "Compared by force, although\n  - the data differs" in forced.out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["a", "bb"], "no run record at bb"),
        (["a"], "expected two runs or more to compare, got 1"),
        (["a", "b", "--split", "test"], "a has no scores of test; it was scored on val"),
        (
            ["a", "b", "--metric", "miuo"],
            "expected miou, iou/CLASS, dice, got 'miuo' (did you mean",
        ),
        (["a", "b", "--metric", "iou/tree"], "no class 'tree'; classes are road, car"),
        (["a", "b", "--level", "95"], "expected a number between 0 and 1, such as 0.95, got 95.0"),
        (["--split"], "expected one argument"),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)
def test_wrong_words_are_explained(seglab: Run, words: list[str], line: str) -> None:
    for name in ("a", "b"):
        _make(Path("runs/e") / name, 70)

    answer = seglab("compare", *words)

    assert answer.code == 2
    assert line in answer.err


def test_runs_are_looked_up_where_the_environment_or_the_flag_says(
    seglab: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        _make(tmp_path / "kept" / "e" / name, 70)
    monkeypatch.setenv("SEGLAB_RUNS", str(tmp_path / "kept"))
    assert seglab("compare", "a", "b").code == 0
    monkeypatch.delenv("SEGLAB_RUNS")
    assert seglab("compare", "a", "b").code == 2
    assert seglab("compare", "a", "b", "--runs-dir", "kept").code == 0


def test_help_needs_no_torch(seglab: Run) -> None:
    answer = seglab("compare", "--help")
    assert answer.code == 0
    assert "--baseline RUN" in answer.out


def test_targets_are_judged_run_by_run(seglab: Run) -> None:
    _make(Path("runs/e/small"), 70)
    _make(Path("runs/e/large"), 80)

    answer = seglab(
        "compare", "small", "large", "--target", "miou >= 0.6", "--target", "gflops <= 5"
    )

    assert answer.code == 0, answer.err
    lines = [line for line in answer.out.splitlines() if "miou >= 0.6" in line]
    assert ["missed" in line for line in lines if "small" in line] == [True]
    assert ["missed" in line for line in lines if "large" in line] == [False]
    assert answer.out.count("not measured") == 2
    assert "objective" not in seglab("compare", "small", "large").out
