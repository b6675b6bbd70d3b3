"""A test split without a labelled pixel: scores are undefined, and everything else is as ever."""

from __future__ import annotations

import json
import math

import cv2
import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from seglab.analysis.comparison.compare import compare
from seglab.analysis.report.reading.collect import collect_report
from seglab.config.compose import compose
from seglab.experiment.evaluate import evaluate
from seglab.experiment.train import train
from seglab.runs import RunRecord

pytestmark = pytest.mark.slow

COUNTS = ("test/num_classes_averaged", "test/num_classes_present", "test/num_images_averaged")
# What else is a number without a labelled pixel: counts beside scores.
BESIDE = ("test/hd95_missed", "test/hd95_penalty", "test/interval_units")


@pytest.fixture(scope="module")
def runs(
    tiny_words: list[str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[RunRecord, RunRecord, str]:
    """A training, its evaluation on the test split, and all that was printed."""
    root = tmp_path_factory.mktemp("void")
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2), ("test", 2)):
        for number in range(count):
            mask = np.zeros((48, 64), np.uint8)
            mask[:, 20 + number :] = 1
            image = np.repeat(mask[..., None] * 150 + 50, 3, 2) + rng.integers(0, 30, (48, 64, 3))
            for kind, pixels in (("images", image.astype(np.uint8)), ("masks", mask)):
                path = root / "data" / kind / split / f"{split}{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                void = split == "test" and kind == "masks"
                cv2.imwrite(str(path), np.full_like(pixels, 255) if void else pixels)
    words = [word for word in tiny_words if not word.startswith("data")]
    words += [
        "data=folder",
        f"data.root={root / 'data'}",
        "data.crop_size=[48,64]",
        "data.batch_size=4",
        "data.options.class_names=[left,right]",
        "data.options.raw_ids=identity",
        "trainer.max_epochs=1",
        "logger=none",
        'objective.targets=["test/miou >= 0.5", "hd95 <= 9"]',
        f"paths.data_dir={root / 'd'}",
    ]
    console = Console(width=300, record=True, file=(root / "said").open("w"))
    trained = train(compose(words), root / "runs" / "run", console)
    suite = [
        f"run={trained.run_dir}",
        "data.split=test",
        "suite.corruptions=[gaussian_noise]",
        "suite.severities=[1]",
        "suite.gallery=2",
        "logger=none",
    ]
    scored = evaluate(compose(suite, "evaluate"), root / "runs" / "eval", console)
    return RunRecord(trained.run_dir), RunRecord(scored.run_dir), console.export_text()


def test_scores_of_test_are_undefined_and_said_to_be(
    runs: tuple[RunRecord, RunRecord, str],
) -> None:
    trained, scored, said = runs
    for record in (trained, scored):
        assert record.status == "finished"
        of_test = {key: value for key, value in record.metrics.items() if key.startswith("test/")}
        counts = {key: of_test.pop(key) for key in COUNTS}
        assert set(counts.values()) == {0}
        assert not {key for key, value in of_test.items() if not math.isnan(value)} - set(BESIDE)
        # Strict JSON: browsers read no NaN.
        json.loads((record.run_dir / "run.json").read_text(), parse_constant=pytest.fail)
    assert trained.metrics["val/miou"] > 0
    assert said.count("test/miou undefined: no pixel of test has a class") == 2
    assert "Test was left out: no pixel of it is of a class that the others share." in said
    assert "cannot tell (undefined) test/miou >= 0.5; not measured hd95 <= 9" in said
    assert "nan" not in said.lower().split()


def test_what_the_evaluation_left_can_be_read(runs: tuple[RunRecord, RunRecord, str]) -> None:
    trained, scored, _ = runs
    slices = pd.read_parquet(scored.run_dir / "slices.parquet")
    assert slices[["slice_kind", "images", "pixels"]].to_dict("records") == [
        {"slice_kind": "all", "images": 0, "pixels": 0}
    ]
    for name in ("risk_coverage", "reliability", "corruptions", "gallery"):
        assert len(pd.read_parquet(scored.run_dir / f"{name}.parquet").columns)
    for name in ("slices", "reliability", "corruptions", "confusion_test"):
        assert (scored.run_dir / "figures" / f"{name}.png").is_file()
    report = collect_report([trained.run_dir, scored.run_dir])
    assert len(report.runs) == 2
    assert not report.problems
    compared = compare([trained.run_dir, scored.run_dir], split="test")
    assert compared.table["verdict"].tolist()[1:] == ["no difference told"]
