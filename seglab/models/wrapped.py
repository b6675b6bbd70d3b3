"""A module of one's own as a `Segmenter`: tried on one image, and told what it asks of images."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from seglab.core.errors import ConfigError
from seglab.core.parts.own_parts import OwnPart
from seglab.models.freezing import freeze_unused
from seglab.models.normalization import Normalization
from seglab.models.options import ModelFacts
from seglab.models.segmenter import Segmenter


class WrappedModel(Segmenter):
    """A plain module with the contract of `Segmenter` around it.

    Args:
        net: From image float `(B, C, H, W)` to logits `(B, num_classes, H, W)`.
        name: What to call it.
        num_classes: Number of classes.
        in_channels: Number of image channels.
        facts: What it asks of images, and which of its parts are encoder and head.

    Raises:
        ConfigError: It has no such part, or `mean` is not one value per channel.
    """

    def __init__(
        self, net: nn.Module, name: str, num_classes: int, in_channels: int, facts: ModelFacts
    ) -> None:
        own = Normalization(tuple(facts.mean), tuple(facts.std or ())) if facts.mean else None
        super().__init__(
            name, num_classes, in_channels, own or Normalization().for_channels(in_channels), facts
        )
        self.net = net
        self.encoder_name = facts.encoder or ""
        self.parts = {
            part: path for part in ("encoder", "head") if (path := getattr(facts, part)) is not None
        }
        problems = [
            f"model.facts.{part}: {name} has no module '{path}'"
            for part, path in self.parts.items()
            if path not in dict(net.named_modules())
        ]
        if own and len(own.mean) != in_channels:
            problems.append(
                f"model.facts.mean: expected one value per channel ({in_channels}), got {len(own.mean)}"
            )
        if problems:
            raise ConfigError(problems)

    def __getattr__(self, name: str) -> Any:
        """Return `encoder` or `head` from inside the net: registered twice, they would be saved twice."""
        parts = self.__dict__.get("parts", {})
        return self.net.get_submodule(parts[name]) if name in parts else super().__getattr__(name)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits `(B, num_classes, H, W)` of images `(B, C, H, W)`."""
        self.check_image(image)
        logits: Tensor = self.net(image)
        return logits


def wrap_model(
    part: OwnPart, facts: ModelFacts, num_classes: int, in_channels: int, crop_size: tuple[int, int]
) -> Segmenter:
    """Build a model of one's own and try it on one image of the training's size.

    Args:
        part: Class or function; one that gives a `Segmenter` is taken as it is.
        facts: What seglab cannot know of it.
        num_classes: Number of classes.
        in_channels: Number of image channels.
        crop_size: Height and width of the images it is trained on.

    Raises:
        ConfigError: It cannot be built, is no module, fails on an image, or gives something else
            than logits of the image's size; what was expected and what came are told.
    """
    net = part.make(num_classes=num_classes, in_channels=in_channels)
    if isinstance(net, Segmenter):
        return net
    if not isinstance(net, nn.Module):
        raise part.wrong("give a torch.nn.Module", type(net).__name__)
    target = part.target
    model = WrappedModel(net, target.rpartition(".")[2].lower(), num_classes, in_channels, facts)
    _try_out(model, target, crop_size)
    return model


def _try_out(model: WrappedModel, target: str, size: tuple[int, int]) -> None:
    """Run one image; parameters without a part in the logits get frozen, as in our own models."""
    shape = (1, model.in_channels, *size)
    former = model.training
    model.eval()
    try:
        # No draw of the model's own moves the seed that the training goes on with.
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            logits = model(torch.zeros(shape))
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(
            f"model: {target} fails on an image {shape}: {type(error).__name__}: {error}"
        ) from error
    finally:
        model.train(former)
    wanted = (1, model.num_classes, *size)
    if not isinstance(logits, Tensor) or tuple(logits.shape) != wanted:
        came = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ConfigError(
            f"model: expected {target} to give logits {wanted} for an image {shape}, got {came}"
        )
    model.unused_parameters = freeze_unused(model, logits)
