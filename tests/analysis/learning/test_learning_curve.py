from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from seglab.analysis.learning.learning_curve import (
    CurveRules,
    fit_curve,
    learning_curve,
    learning_curve_figure,
    learning_curve_verdict,
)
from seglab.analysis.learning.power_law import PowerLaw
from seglab.analysis.style import save_figure
from seglab.core.errors import DataError
from seglab.runs import RunRecord

SHARES = (0.125, 0.25, 0.5, 1.0)


def make_run(
    folder: Path, fraction: float, seed: int, miou: float, *, arch: str = "unet", **more: Any
) -> RunRecord:
    epochs = round(14 / fraction)
    config = {
        "seed": seed,
        "data": {"train_fraction": fraction},
        "model": {"arch": arch},
        "trainer": {"max_epochs": epochs, "val_every": round(1 / fraction)},
    }
    facts = {"kind": "train", "seed": seed, "dataset_fingerprint": f"f{fraction}", **more}
    record = RunRecord.create(
        folder, experiment="lc", config=config, config_yaml="", git={}, packages={}, **facts
    )
    record.set_metrics({"val/miou": miou} if facts["kind"] == "train" else {"train/miou": miou})
    record.finish("finished")
    return record


def write_manifest(run_dir: Path, images: int) -> None:
    rows = [("train", True)] * images + [("train", False)] * 5 + [("val", True)] * 7
    (run_dir / "manifest").mkdir()
    frame = pd.DataFrame(rows, columns=["split", "keep"])
    frame.to_parquet(run_dir / "manifest" / "manifest.parquet")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for number, fraction in enumerate(SHARES):
        miou = 0.9 - 0.8 * (144 * fraction) ** -0.5
        run_dir = make_run(tmp_path / f"run{number}", fraction, 0, miou).run_dir
        write_manifest(run_dir, round(144 * fraction))
    make_run(tmp_path / "eval", 1.0, 0, 0.95, kind="eval", parent="run3", main_split="train")
    make_run(
        tmp_path / "elsewhere", 1.0, 0, 0.1, kind="eval", parent="run3", dataset_fingerprint="other"
    )
    return tmp_path


def test_curve_is_read_from_records(runs: Path) -> None:
    curve = learning_curve(runs)
    assert curve["run_id"].tolist() == ["run0", "run1", "run2", "run3"]
    assert curve["fraction"].tolist() == list(SHARES)
    assert curve["images"].tolist() == [18, 36, 72, 144]
    assert curve["score"].tolist() == pytest.approx([0.9 - 0.8 * n**-0.5 for n in curve["images"]])
    assert curve["train_score"].tolist()[:3] == pytest.approx([math.nan] * 3, nan_ok=True)
    assert curve["train_score"].tolist()[3] == 0.95


def test_unfinished_runs_are_left_out(runs: Path) -> None:
    record = make_run(runs / "late", 0.5, 1, 0.1)
    record.update(status="failed")
    assert "late" not in learning_curve(runs)["run_id"].tolist()


def test_runs_without_a_manifest_count_by_share(runs: Path) -> None:
    make_run(runs / "bare", 0.5, 1, 0.8)
    curve = learning_curve(runs)
    assert math.isnan(curve.set_index("run_id").loc["bare", "images"])
    law = fit_curve(curve[curve["run_id"] != "bare"].assign(images=math.nan))
    assert law is not None
    assert law.c == pytest.approx(0.9, rel=1e-3)
    assert law.a == pytest.approx(0.8 * 144**-0.5, rel=1e-2)


def test_runs_that_differ_in_more_are_refused(runs: Path) -> None:
    make_run(runs / "other", 0.5, 1, 0.8, arch="segnet")
    with pytest.raises(DataError) as caught:
        learning_curve(runs)
    assert "differ in data.train_fraction and seed only" in str(caught.value)
    assert "model.arch: segnet, unet" in str(caught.value)
    assert "max_epochs" not in str(caught.value)


def test_score_that_nobody_has(runs: Path) -> None:
    with pytest.raises(DataError, match="expected finished trainings with test/miou, got none"):
        learning_curve(runs, "test/miou")


def make_curve(
    scores: list[float], train: float = math.nan, sizes: tuple[float, ...] = (18, 36, 72, 144)
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "run_id": [f"r{number}" for number in range(len(scores))],
            "fraction": [size / max(sizes) for size in sizes],
            "images": [float(size) for size in sizes],
            "seed": 0,
            "score": scores,
            "train_score": train,
        }
    )


RISING = [0.9 - 0.8 * n**-0.5 for n in (18, 36, 72, 144)]
FLAT = [0.58, 0.5999, 0.6, 0.6001]


@pytest.mark.parametrize(
    ("scores", "train", "kind", "words"),
    [
        (
            RISING,
            math.nan,
            "more data",
            "Twice the data (144 to 288 images) would bring about +0.020",
        ),
        (RISING, 0.99, "more data", "the model overfits what it has (0.990 in training, 0.833"),
        (RISING, 0.85, "more data", "a bigger model may help too"),
        (FLAT, math.nan, "flat", "the training score tells: seglab evaluate run=RUN data.split="),
        (FLAT, 0.95, "flat", "flat, yet the model overfits (0.950 in training, 0.600 in valida"),
        (
            FLAT,
            0.62,
            "flat",
            "no overfitting (0.620 in training, 0.600 in validation): a bigger "
            "model or better labels",
        ),
        ([0.90, 0.9199, 0.92, 0.9201], 0.93, "flat", "little is left to gain"),
        ([0.4, 0.7, 0.5, 0.65], math.nan, "cannot tell", "repeat with more seeds"),
    ],
)
def test_verdict(scores: list[float], train: float, kind: str, words: str) -> None:
    verdict = learning_curve_verdict(make_curve(scores, train))
    assert verdict.kind == kind, verdict
    assert words in verdict.sentence
    assert verdict.gap == pytest.approx(train - scores[-1], nan_ok=True)


def law_with_gains(gains: list[float]) -> PowerLaw:
    """A law whose gain from 144 images on is the median, with draws of the given gains."""
    scale = 144**-0.5 * (1 - 2**-0.5)
    draws = np.array([[gain / scale, 0.5, 0.9] for gain in gains])
    return PowerLaw(float(np.median(gains)) / scale, 0.5, 0.9, 0.01, draws)


@pytest.mark.parametrize(
    ("gains", "kind"),
    [
        ([0.0051, 0.0101, 0.03], "more data"),
        ([0.004, 0.0101, 0.03], "cannot tell"),
        ([0.0, 0.0099, 0.0199], "flat"),
        ([0.0, 0.0099, 0.03], "cannot tell"),
    ],
)
def test_thresholds_of_the_verdict(gains: list[float], kind: str) -> None:
    law = law_with_gains(gains)
    # Between three draws the 95 % bounds lie close to the outer two.
    assert learning_curve_verdict(make_curve(RISING), law=law).kind == kind


def test_rules_move_the_thresholds() -> None:
    assert learning_curve_verdict(make_curve(RISING), CurveRules(worthwhile=0.05)).kind == "flat"
    verdict = learning_curve_verdict(make_curve(FLAT, 0.62), CurveRules(gap=0.01))
    assert "yet the model overfits" in verdict.sentence


def test_three_sizes_have_a_verdict_without_an_interval() -> None:
    verdict = learning_curve_verdict(make_curve(RISING[1:], sizes=(36, 72, 144)))
    assert verdict.kind == "more data"
    assert math.isnan(verdict.low)
    assert "+0.020 (interval unknown" in verdict.sentence


def test_too_few_sizes_are_no_error() -> None:
    curve = make_curve(RISING[:2], sizes=(18, 36))
    verdict = learning_curve_verdict(curve)
    assert verdict.kind == "too few sizes"
    assert verdict.sentence.startswith("Too few sizes: 2, at least 3 are needed")
    assert fit_curve(curve) is None


def test_figure_shows_law_runs_and_verdict(tmp_path: Path) -> None:
    figure = learning_curve_figure(make_curve(RISING, 0.95), "lc")
    (axes,) = figure.axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert "validation, one run each" in labels
    assert "training" in labels
    assert "0.900 - 0.8 n^-0.50" in labels
    assert axes.get_title("left") == "Learning curve: more data"
    assert axes.get_xlabel() == "training images"
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        "18",
        "36",
        "72",
        "144",
        "288",
    ]
    assert save_figure(figure, tmp_path / "lc.png").stat().st_size > 10_000


def test_figure_of_too_few_sizes_shows_the_runs(tmp_path: Path) -> None:
    figure = learning_curve_figure(make_curve(RISING[:2], sizes=(18, 36)))
    assert len(figure.axes[0].lines) == 2  # the runs, and where the data ends
    save_figure(figure, tmp_path / "lc.png")
