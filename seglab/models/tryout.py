"""A small image through a new model, so that what does not fit shows before training, not in it.

Of the thousand encoders of timm many go with a decoder only on paper. One image of odd multiples
tells whether sizes come out right, and which parameters have no part in the logits.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from seglab.core.errors import ConfigError
from seglab.models.freezing import freeze_unused
from seglab.models.segmenter import Segmenter


def try_out(model: Segmenter, depth: int, img_size: int | Sequence[int] | None = None) -> None:
    """Run a small image: logits must have its size; parameters that have no part get frozen.

    An encoder that asks for whole multiples of its own stride raises `model.size_divisor` to that.
    No batch statistics change and no random number is drawn. The model is left in training mode.

    Args:
        model: The model, on the CPU.
        depth: Its encoder depth.
        img_size: The only size (edge, or H and W) the encoder takes; None for any.

    Raises:
        ConfigError: The model fails, or its logits have another size than the image.
    """
    problem = ""
    for divisor in sorted({model.size_divisor, max(model.size_divisor, 2**depth)}):
        model.size_divisor = divisor
        size = _small_size(model, img_size)
        try:
            logits = _run(model, size)
        except (RuntimeError, ValueError, AssertionError, IndexError, TypeError) as error:
            problem = f"{type(error).__name__}: {error}"
            continue
        if logits.shape[-2:] == size:
            model.unused_parameters = freeze_unused(model, logits)
            return
        problem = f"logits of {tuple(logits.shape[-2:])} for an image of {size}"
    raise ConfigError(
        f"model: {model.arch} does not work with the encoder '{model.encoder_name}' at depth "
        f"{depth} ({problem}). Encoders of one image size take model.options.encoder.img_size"
    )


def _small_size(model: Segmenter, img_size: int | Sequence[int] | None) -> tuple[int, int]:
    if img_size is not None:
        height, width = (img_size, img_size) if isinstance(img_size, int) else img_size
        return int(height), int(width)
    step = model.size_divisor
    start = -(-model.min_size // step) * step
    return start + step, start + 2 * step


def _run(model: Segmenter, size: tuple[int, int]) -> Tensor:
    model.eval()
    with torch.enable_grad():
        logits: Tensor = model(torch.zeros(1, model.in_channels, *size))
    model.train()
    return logits
