"""LitServe on the bundle's own ONNX, batching as it does. Usage: lit.py BUNDLE PORT (needs litserve)."""

from __future__ import annotations

import base64
import io
import json
import sys
from pathlib import Path
from typing import Any

import litserve
import numpy as np
import onnxruntime
from fastapi import Response
from PIL import Image

FOLDER = Path(sys.argv[1])
DIVISOR = json.loads((FOLDER / "bundle.json").read_text())["input"]["size_divisor"]


class Segment(litserve.LitAPI):  # type: ignore[misc]
    """Decode, predict, encode, each where LitServe wants it."""

    def setup(self, device: str) -> None:
        """Load the network."""
        self.net = onnxruntime.InferenceSession(str(FOLDER / "model.onnx"))

    def decode_request(self, request: dict[str, str]) -> np.ndarray:
        """Return `(C, H, W)` float32, padded; LitServe takes JSON, so images come in base64."""
        content = base64.b64decode(request["image"])
        pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
        missing = [(0, -side % DIVISOR) for side in pixels.shape[:2]]
        padded = np.pad(pixels, [*missing, (0, 0)], "reflect")
        return padded.transpose(2, 0, 1).astype(np.float32)

    def batch(self, inputs: list[np.ndarray]) -> np.ndarray:
        """Put images of one size together."""
        return np.stack(inputs)

    def unbatch(self, output: np.ndarray) -> Any:
        """Take them apart."""
        return list(output)

    def predict(self, batch: np.ndarray) -> np.ndarray:
        """Return masks."""
        return self.net.run(["logits"], {"image": batch})[0].argmax(1).astype(np.uint8)

    def encode_response(self, output: np.ndarray) -> Response:
        """Return PNG."""
        held = io.BytesIO()
        Image.fromarray(output).save(held, "PNG")
        return Response(held.getvalue(), media_type="image/png")


if __name__ == "__main__":
    api = Segment(max_batch_size=8, batch_timeout=0.002, api_path="/v1/predict")
    server = litserve.LitServer(api, accelerator="cpu", healthcheck_path="/readyz", timeout=60)
    server.run(
        host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", generate_client_file=False
    )
