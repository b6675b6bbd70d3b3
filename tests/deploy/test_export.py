"""A training and a cross-validation as bundles that predict what their own evaluation predicts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from seglab.bundle.loader import load
from seglab.config.compose import compose
from seglab.core.errors import ConfigError
from seglab.deploy.export import bundling
from seglab.deploy.export.graph import ExportError
from seglab.deploy.options import ExportOptions
from seglab.experiment.evaluate import evaluate
from seglab.experiment.train import TrainResult, train
from seglab.runs import RunRecord
from seglab.runs.predictions import prediction_path
from tests import training

pytestmark = pytest.mark.slow
QUIET = Console(quiet=True)
TINY = [*training.TINY, "trainer.accelerator=cpu", "logger=none"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """A finished tiny training."""
    words = [*TINY, "trainer.max_epochs=2"]
    return train(compose(words), tmp_path_factory.mktemp("exp") / "run", QUIET)


@pytest.fixture(scope="module")
def exported(trained: TrainResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its bundle."""
    words: dict[str, Any] = {
        "run": str(trained.run_dir),
        "flips": ["h"],
        "window": [32, 48],
        "licence": "MIT",
    }
    words |= {"output": str(tmp_path_factory.mktemp("out") / "b"), "calibration_images": 4}
    return bundling.export(ExportOptions.read(words), QUIET)


def info_of(bundle: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((bundle / "bundle.json").read_text())
    return content


def test_masks_are_those_of_the_evaluation(
    trained: TrainResult, exported: Path, tmp_path: Path
) -> None:
    words = [f"run={trained.run_dir}", "data.split=test", "suite=scores", "save_predictions=true"]
    # A bundle computes in fp32; an evaluation takes bf16 where the processor multiplies it.
    views = ["predict.flips=[h]", "predict.window=[32,48]", "trainer.precision=fp32"]
    result = evaluate(compose([*words, *views], "evaluate"), tmp_path / "eval", QUIET)
    info = info_of(exported)
    assert info["export"]["split"] == "test"
    assert info["export"]["variants"]["fp32"]["miou"] == pytest.approx(
        result.metrics["test/miou"], abs=1e-4
    )
    bundle, different, total = load(exported, variant="fp32"), 0, 0
    for source in bundling.open_run(ExportOptions(run=str(trained.run_dir))).sources("test"):
        found = bundle.predict(bundle.decode(source.image.read_bytes())).mask
        wanted = np.array(_opened(prediction_path(tmp_path / "eval", source.sample_id)))
        different, total = different + int((found != wanted).sum()), total + wanted.size
    assert total > 0
    assert different / total < 1e-3


def _opened(path: Path) -> Any:
    from PIL import Image

    return Image.open(path)


def test_bundle_says_where_it_comes_from(trained: TrainResult, exported: Path) -> None:
    info, record = info_of(exported), RunRecord.open(trained.run_dir)
    assert info["run_id"] == record.run_id
    assert info["data"]["fingerprint"] == record.read()["dataset_fingerprint"]
    assert info["licence"] == "MIT"
    assert info["scores"]["val/miou"] == record.metrics["val/miou"]
    assert info["temperature"] > 0
    assert len(info["export"]["sizes_tried"]) == 8
    card = (exported / "MODEL_CARD.md").read_text()
    assert record.run_id in card
    assert "| fp32 |" in card
    assert load(exported.with_suffix(".zip")).id == load(exported).id


def test_reference_statistics_are_of_the_holdout(exported: Path) -> None:
    info = info_of(exported)
    with np.load(exported / "reference.npz", allow_pickle=False) as held:
        assert len(held["class_shares"]) == info["export"]["images"]
        np.testing.assert_allclose(held["class_shares"].sum(1), 1, atol=1e-5)
        assert ((held["entropy"] >= 0) & (held["entropy"] <= 1)).all()
        pixels = held["true_confusion"].sum((1, 2))
        np.testing.assert_allclose(held["confusion"].sum((1, 2)), pixels, rtol=0.5)
        assert len(held["streams"]) == len(pixels)


def test_loads_where_torch_is_not(exported: Path) -> None:
    script = (
        "import sys; sys.modules['torch'] = None; from seglab.bundle.loader import load; "
        f"print(load({str(exported)!r}).class_names)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert str(info_of(exported)["labels"]["class_names"]) in ended.stdout


def test_nothing_is_overwritten(trained: TrainResult, exported: Path) -> None:
    with pytest.raises(ConfigError, match="is there already; remove it"):
        bundling.export(ExportOptions(run=str(trained.run_dir), output=str(exported)), QUIET)


def test_a_bundle_that_loses_too_much_is_refused_and_leaves_nothing(
    trained: TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = bundling._describe

    def wrong(*given: Any) -> dict[str, Any]:
        info = described(*given)
        return {**info, "predict": {**info["predict"], "scales": [0.05]}}

    monkeypatch.setattr(bundling, "_describe", wrong)
    options = ExportOptions(run=str(trained.run_dir), output=str(tmp_path / "b"), max_miou_drop=0.0)
    with pytest.raises(
        ExportError, match=r"loses 0\.\d+ of the run's mIoU, more than max_miou_drop"
    ):
        bundling.export(options, QUIET)
    assert list(tmp_path.iterdir()) == []


def test_folds_become_one_ensemble(tmp_path: Path) -> None:
    words = [*TINY, "trainer.max_epochs=1", "cv=grouped", "cv.folds=2"]
    from seglab.experiment.launch import launch

    run_dir = launch(compose(words), tmp_path / "cv", QUIET).run_dir
    options = ExportOptions(run=str(run_dir), output=str(tmp_path / "b"), int8=False)
    info = info_of(bundling.export(options, QUIET))
    assert info["variants"] == {"fp32": ["model.onnx", "model_1.onnx"]}
    assert info["export"]["variants"]["fp32"]["mask_agreement"] > 0.999
    assert info["temperature"] == pytest.approx(
        RunRecord.open(run_dir).metrics["val/temperature"], abs=1e-4
    )
