"""A handler as people write it: FastAPI around an eager network in float32, a request at a time.

Usage: plain_torch.py RUN_DIR PORT
"""

from __future__ import annotations

import io
import sys

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, Request, Response
from PIL import Image

from seglab.deploy.export.trained import open_run
from seglab.deploy.options import ExportOptions
from seglab.inference.geometry import pad_to_multiple

app = FastAPI()
run = open_run(ExportOptions(run=sys.argv[1], int8=False))
model = run.models[0].to(memory_format=torch.contiguous_format)
mean, std = (torch.tensor(values).view(3, 1, 1) for values in (model.mean, model.std))


@app.get("/readyz")
def ready() -> dict[str, str]:
    """Say that the network is loaded."""
    return {"status": "ok"}


@app.post("/v1/predict")
async def predict(request: Request) -> Response:
    """Return the mask as PNG."""
    pixels = np.array(Image.open(io.BytesIO(await request.body())).convert("RGB"))
    image = (torch.from_numpy(pixels).permute(2, 0, 1).float() / 255 - mean) / std
    with torch.no_grad():
        logits = model(pad_to_multiple(image[None], model.size_divisor, model.min_size))
    mask = logits[0, :, : pixels.shape[0], : pixels.shape[1]].argmax(0).to(torch.uint8).numpy()
    held = io.BytesIO()
    Image.fromarray(mask).save(held, "PNG")
    return Response(held.getvalue(), media_type="image/png")


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
