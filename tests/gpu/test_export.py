"""A training on a GPU leaves a bundle that predicts, on a CPU, what the network does there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglab.config.compose import compose
from seglab.deploy.options import ExportOptions
from seglab.experiment.evaluate import evaluate
from seglab.experiment.train import TrainResult
from seglab.runs.predictions import prediction_path

from .conftest import QUIET

NEEDS = "needs onnx, onnxscript and onnxruntime"
bundling = pytest.importorskip("seglab.deploy.export.bundling", reason=NEEDS, exc_type=ImportError)
loader = pytest.importorskip("seglab.bundle.loader", reason=NEEDS, exc_type=ImportError)


def test_bundle_predicts_what_the_device_does(
    device: str, trained: TrainResult, tmp_path: Path
) -> None:
    run = str(trained.run_dir)
    asked = {"run": run, "output": str(tmp_path / "bundle"), "calibration_images": 4}
    bundle = loader.load(bundling.export(ExportOptions.read(asked), QUIET), variant="fp32")
    words = [f"run={run}", "data.split=test", "suite=scores", "save_predictions=true"]
    words += [f"trainer.accelerator={device}", "trainer.precision=fp32", "logger=none"]
    evaluate(compose(words, "evaluate"), tmp_path / "eval", QUIET)
    same, total = 0, 0
    for source in bundling.open_run(ExportOptions(run=run)).sources("test"):
        found = bundle.predict(bundle.decode(source.image.read_bytes())).mask
        wanted = np.array(Image.open(prediction_path(tmp_path / "eval", source.sample_id)))
        same, total = same + int((found == wanted).sum()), total + wanted.size
    # TF32 of convolutions has ten bits of mantissa: a pixel on the fence falls on either side.
    assert total > 0
    assert same / total > 0.99
