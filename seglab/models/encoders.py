"""Which encoder a name means: timm's names first, then those only segmentation-models-pytorch has.

Users type timm names (`resnet18`, `tf_efficientnet_lite0`, `vit_small_patch16_224.augreg_in21k`).
timm comes first because its pretrained configuration then holds for weights and normalisation
alike, and because it leaves out the stages that a smaller depth does not use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import segmentation_models_pytorch as smp
import timm
from torch import Tensor

from seglab.core.errors import ConfigError, nearest
from seglab.models.normalization import Normalization

_HALF = Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
# SMP keeps these values on its hub only; they are the ones the published weights were trained with.
_NATIVE_NORMALIZATION = {"inceptionresnetv2": _HALF, "inceptionv4": _HALF, "xception": _HALF}
_TIMM_PREFIX = "tu-"


@dataclass(frozen=True)
class EncoderChoice:
    """An encoder that exists.

    Args:
        name: The name as the user gave it.
        smp_name: What segmentation-models-pytorch takes; `tu-` marks timm's own.
        timm_name: The name in timm; None for encoders only segmentation-models-pytorch has.
        normalization: Mean and standard deviation of its pretrained weights (RGB).
    """

    name: str
    smp_name: str
    timm_name: str | None
    normalization: Normalization

    @property
    def published(self) -> str:
        """What its ImageNet weights are called on the hub; empty where that is not known."""
        if self.timm_name is not None:
            config = timm.models.get_pretrained_cfg(self.timm_name)
            return str((config and config.hf_hub_id) or "")
        weights = smp.encoders.encoders[self.smp_name]["pretrained_settings"].get("imagenet", {})
        return str(weights.get("repo_id", ""))

    def fetch(self) -> Mapping[str, Tensor]:
        """Return the published ImageNet weights, from the local cache or the network."""
        if self.timm_name is not None:
            state: Mapping[str, Tensor] = timm.create_model(
                self.timm_name, pretrained=True
            ).state_dict()
            return state
        native: Mapping[str, Tensor] = smp.encoders.get_encoder(
            self.smp_name, weights="imagenet"
        ).state_dict()
        return native


def resolve_encoder(name: str) -> EncoderChoice:
    """Return the encoder a name means.

    Args:
        name: A timm name, with or without pretrained tag or the prefix `tu-`, or a name of
            segmentation-models-pytorch (`mit_b0`, `mobilenet_v2`, ...).

    Raises:
        ConfigError: Neither library knows the name, or timm does not know its tag; the nearest
            name is given.
    """
    timm_name = name.removeprefix(_TIMM_PREFIX)
    base, _, tag = timm_name.partition(".")
    if base in _timm_names():
        if tag:
            _check_tag(base, timm_name)
        return EncoderChoice(name, _TIMM_PREFIX + timm_name, timm_name, _timm_values(timm_name))
    if name in _native_names():
        return EncoderChoice(name, name, None, _NATIVE_NORMALIZATION.get(name, Normalization()))
    known = [*_timm_names(), *_native_names()]
    raise ConfigError(
        f"model.encoder_name: neither timm nor segmentation-models-pytorch knows "
        f"'{name}'{nearest(base, known)}; `timm.list_models('*part*')` lists names"
    )


@cache
def _timm_names() -> frozenset[str]:
    return frozenset(timm.list_models())


@cache
def _native_names() -> frozenset[str]:
    # The `timm-` ones are deprecated copies of encoders that timm itself has.
    return frozenset(key for key in smp.encoders.encoders if not key.startswith("timm-"))


def _check_tag(base: str, timm_name: str) -> None:
    tagged = timm.list_models(f"{base}.*", pretrained=True)
    if timm_name not in tagged:
        raise ConfigError(
            f"model.encoder_name: timm has no weights '{timm_name}'{nearest(timm_name, tagged)}; "
            f"it has {', '.join(tagged) or 'none for ' + base}"
        )


def _timm_values(timm_name: str) -> Normalization:
    config = timm.models.get_pretrained_cfg(timm_name)
    if config is None or config.mean is None or config.std is None:
        return Normalization()
    return Normalization(tuple(config.mean), tuple(config.std))
