"""BentoML on the bundle's own ONNX, for `bentoml serve` with BUNDLE in the environment (needs bentoml)."""

from __future__ import annotations

import json
import os
from pathlib import Path

import bentoml
import numpy as np
import onnxruntime
from PIL.Image import Image, fromarray

FOLDER = Path(os.environ["BUNDLE"])
DIVISOR = json.loads((FOLDER / "bundle.json").read_text())["input"]["size_divisor"]


@bentoml.service(traffic={"timeout": 60})
class Segment:
    """One network behind HTTP."""

    def __init__(self) -> None:
        self.net = onnxruntime.InferenceSession(str(FOLDER / "model.onnx"))

    @bentoml.api(route="/v1/predict")
    def predict(self, image: Image) -> Image:
        """Return the mask."""
        pixels = np.asarray(image.convert("RGB"))
        missing = [(0, -side % DIVISOR) for side in pixels.shape[:2]]
        padded = np.pad(pixels, [*missing, (0, 0)], "reflect")
        batch = padded.transpose(2, 0, 1).astype(np.float32)[None]
        mask = self.net.run(["logits"], {"image": batch})[0][0].argmax(0).astype(np.uint8)
        return fromarray(mask[: pixels.shape[0], : pixels.shape[1]])
