"""The encoder that an audit looks at images with: pretrained weights in a file, or a run's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from seglab.models import Segmenter

# ImageNet's size: what pretrained encoders know best.
_SIDE = 224
# Deep features tell what an image shows, the shallow ones texture and light.
_MAPS = 3
Embed = Callable[[np.ndarray], np.ndarray]


def encoder_of_file(name: str, weights: Path) -> Embed:
    """Return `embed` of an encoder with pretrained weights.

    Args:
        name: Of timm or segmentation-models-pytorch.
        weights: Its weight file, see `seglab.models.weights.encoder_weights`.

    Raises:
        ConfigError: There is no such encoder, or the file does not hold its weights.
    """
    from seglab.models import build_smp

    weight_file = str(weights.expanduser())
    return embed_by(build_smp(2, arch="unet", encoder_name=name, encoder_weights=weight_file))


def encoder_of_run(run_dir: Path, num_classes: int) -> Embed | str:
    """Return `embed` of a run's own encoder, of a cross-validation that of its first fold.

    Returns:
        In words why there is none, where the run kept no weights or looks at other than RGB.
    """
    from omegaconf import OmegaConf

    from seglab.core.errors import SeglabError
    from seglab.engine.device.plan import ExecutionPlan
    from seglab.experiment.scoring.members import load_model, members_of
    from seglab.runs import RunRecord

    plan = ExecutionPlan("cpu", 1, "fp32", "contiguous", False, 1, 0)
    wanted = OmegaConf.create({"checkpoint": "best", "predict": {"ensemble": []}})
    try:
        member = members_of(wanted, RunRecord.open(run_dir.expanduser()))[0]
        model = load_model(member, num_classes, plan)
    except SeglabError as error:
        return f"no encoder in --run: {error}"
    if model.band_numbers is not None or model.in_channels != 3:
        return "the encoder of --run does not take RGB; give one with --weights"
    return embed_by(model)


def embed_by(model: Segmenter) -> Embed:
    """Return a function from an image, uint8 RGB `(H, W, 3)`, to its deepest features, pooled."""
    import cv2
    import torch

    encoder = model.encoder.eval()
    side = -(-_SIDE // model.size_divisor) * model.size_divisor
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (model.mean, model.std))

    def embed(image: np.ndarray) -> np.ndarray:
        small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        batch = torch.from_numpy(small).permute(2, 0, 1)[None].float() / 255
        with torch.inference_mode():
            maps = list(_maps(encoder((batch - mean) / std)))[-_MAPS:]
            pooled = [
                value for one in maps for value in (one.mean(dim=(0, 2, 3)), one.std(dim=(0, 2, 3)))
            ]
        return torch.cat(pooled).numpy()

    return embed


def _maps(output: Any) -> Iterator[Any]:
    """Yield the feature maps in what an encoder returns, shallow ones first."""
    import torch

    if isinstance(output, torch.Tensor):
        if output.ndim == 4 and output.is_floating_point():
            yield output
    elif isinstance(output, (list, tuple)):
        for one in output:
            yield from _maps(one)
