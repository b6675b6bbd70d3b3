"""How logits come about in an evaluation: whole or by windows, mirrored, rescaled, by many models."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from seglab.core.errors import ConfigError
from seglab.inference.ensemble import Ensemble
from seglab.inference.predictor import Predictor, WholeImage
from seglab.inference.sliding_window import SlidingWindow
from seglab.inference.tta import TestTimeAugmentation
from seglab.models import Segmenter


class Renormalised(nn.Module):
    """A model that is given images normalised for another one.

    Args:
        model: Takes images normalised by its own `mean` and `std`.
        mean: What the images that come were normalised by.
        std: Likewise.
    """

    def __init__(self, model: Segmenter, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.model = model
        own_mean, own_std = torch.tensor(model.mean), torch.tensor(model.std)
        scale = torch.tensor(list(std)) / own_std
        shift = (torch.tensor(list(mean)) - own_mean) / own_std
        self.register_buffer("scale", scale[:, None, None])
        self.register_buffer("shift", shift[:, None, None])

    def forward(self, image: Tensor) -> Tensor:
        """Return the model's logits of `(B, C, H, W)`."""
        return self.model(image * self.scale + self.shift)  # type: ignore[operator,no-any-return]


def build_predictor(cfg: DictConfig, models: Sequence[Segmenter]) -> Predictor:
    """Return what `cfg.predict` asks for.

    Args:
        cfg: Of the evaluation.
        models: The scored one first; images come normalised for it.

    Raises:
        ConfigError: The models take images of different channels.
    """
    first = models[0]
    if any(len(model.mean) != len(first.mean) for model in models):
        channels = ", ".join(str(len(model.mean)) for model in models)
        raise ConfigError(
            f"predict.ensemble: expected models of the same input channels, got {channels}"
        )
    views = [_one(cfg, model, first) for model in models]
    return views[0] if len(views) == 1 else Ensemble(views)


def _one(cfg: DictConfig, model: Segmenter, first: Segmenter) -> Predictor:
    same = (list(model.mean), list(model.std)) == (list(first.mean), list(first.std))
    net: nn.Module = (
        model if same else Renormalised(model, first.mean, first.std).to(_device(first))
    )
    sizes = {"size_divisor": model.size_divisor, "min_size": model.min_size}
    predict = cfg.predict
    predictor: Predictor
    if predict.window is None:
        predictor = WholeImage(net, **sizes)
    else:
        window = (int(predict.window[0]), int(predict.window[1]))
        predictor = SlidingWindow(net, window, predict.overlap, **sizes)
    if list(predict.flips) or list(predict.scales) != [1.0]:
        predictor = TestTimeAugmentation(predictor, list(predict.flips), list(predict.scales))
    return predictor


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
