"""How logits come about in an evaluation: whole or by windows, mirrored, rescaled, by many models."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from seglab.core.errors import ConfigError
from seglab.experiment.prepare.building import build_own_predictor
from seglab.experiment.prepare.resolved import resolved
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
        self.size_divisor, self.min_size = model.size_divisor, model.min_size
        self.num_classes = model.num_classes
        own_mean, own_std = torch.tensor(model.mean), torch.tensor(model.std)
        scale = torch.tensor(list(std)) / own_std
        shift = (torch.tensor(list(mean)) - own_mean) / own_std
        self.register_buffer("scale", scale[:, None, None])
        self.register_buffer("shift", shift[:, None, None])

    def forward(self, image: Tensor) -> Tensor:
        """Return the model's logits of `(B, C, H, W)`."""
        return self.model(image * self.scale + self.shift)  # type: ignore[operator,no-any-return]


Net = Segmenter | Renormalised


def take_same_images(models: Sequence[Segmenter]) -> list[Net]:
    """Let all models take the images as they are normalised for the first one.

    Raises:
        ConfigError: They take images of different channels.
    """
    first = models[0]
    seen = {(model.band_numbers, model.full_scale) for model in models}
    if len(seen) > 1:
        listed = " and ".join(str(list(numbers or ())) for numbers, _ in sorted(seen, key=str))
        raise ConfigError(
            f"predict.ensemble: expected models of the same bands and type of values, got {listed}"
        )
    if any(len(model.mean) != len(first.mean) for model in models):
        channels = ", ".join(str(len(model.mean)) for model in models)
        raise ConfigError(
            f"predict.ensemble: expected models of the same input channels, got {channels}"
        )
    wanted = (list(first.mean), list(first.std))
    return [
        model
        if (list(model.mean), list(model.std)) == wanted
        else Renormalised(model, first.mean, first.std)
        for model in models
    ]


def build_predictor(cfg: DictConfig, nets: Sequence[Net]) -> Predictor:
    """Return what `cfg.predict` asks for: one predictor, or the ensemble of several.

    Args:
        cfg: Of the evaluation.
        nets: From `take_same_images`; moved to the device by whoever owns them.
    """
    views = [_one(cfg.predict, net) for net in nets]
    return views[0] if len(views) == 1 else Ensemble(views)


def _one(predict: DictConfig, net: Net) -> Predictor:
    sizes = {"size_divisor": net.size_divisor, "min_size": net.min_size}
    predictor: Predictor
    if predict.window is None:
        predictor = WholeImage(net, **sizes)
    else:
        window = (int(predict.window[0]), int(predict.window[1]))
        predictor = SlidingWindow(net, window, predict.overlap, **sizes)
    if own := resolved(predict.get("predictor")):
        predictor = build_own_predictor(own, predictor, net.num_classes)
    if list(predict.flips) or list(predict.scales) != [1.0]:
        predictor = TestTimeAugmentation(predictor, list(predict.flips), list(predict.scales))
    return predictor
