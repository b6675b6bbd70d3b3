"""What does not go together in a model, found without building one."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from seglab.config.rules.installed_names import base_name, encoder_names, has_encoder
from seglab.config.rules.valid_view import InvalidValueError, Rule, ValidView, broken
from seglab.core.architectures import ARCHITECTURES, min_size, min_train_batch, size_divisor
from seglab.core.parts.components import components
from seglab.core.problems import Problem, did_you_mean, show
from seglab.models.options import ModelFacts


def one_architecture(target: Any) -> str | None:
    """Return the architecture of a target that builds only this one; None for any other."""
    return getattr(components("model").get(str(target)), "arch", None)


@dataclass(frozen=True)
class Limits:
    """What a model asks of images and batches, known before it is built."""

    name: str
    size_divisor: int
    min_size: int
    min_train_batch: int


def limits_of(value: ValidView) -> Limits:
    """Return what the model asks for: by its architecture, or as told under `model.facts`.

    Raises:
        InvalidValueError: There is no such architecture; that is told elsewhere.
    """
    target = value("model._target_")
    if is_own_model(target):
        facts = ModelFacts(**value("model.facts", {}))
        return Limits(target, facts.stride, facts.min_size, facts.min_train_batch)
    arch, depth, options = architecture(value)
    return Limits(
        arch,
        size_divisor(arch, depth, options),
        min_size(arch, depth, options),
        min_train_batch(arch),
    )


def is_own_model(target: Any) -> bool:
    """Whether a model is none of ours."""
    return not str(target).startswith("seglab.")


def architecture(value: ValidView) -> tuple[str, int | None, dict[str, Any]]:
    """Return architecture, encoder depth and options of a model of ours.

    Raises:
        InvalidValueError: There is no such architecture, or the model is not ours.
    """
    target = value("model._target_")
    if is_own_model(target):
        raise InvalidValueError
    if own := one_architecture(target):
        return own, None, {}
    arch = value("model.arch")
    if arch not in ARCHITECTURES:
        raise InvalidValueError
    return arch, value("model.encoder_depth", None), value("model.options", {})


def _encoder_is_known(value: ValidView) -> Iterator[Problem]:
    target = value("model._target_")
    if one_architecture(target) or is_own_model(target):
        return
    name = base_name(value("model.encoder_name"))
    if not has_encoder(name):
        meant = did_you_mean(difflib.get_close_matches(name, sorted(encoder_names()), n=1))
        yield broken(
            "model.encoder_name",
            f"neither timm nor segmentation-models-pytorch has such an encoder{meant}, "
            f"got {show(name)}",
        )


def _crop_fits_model(value: ValidView) -> Iterator[Problem]:
    limits = limits_of(value)
    crop = value("data.crop_size")
    divisor, smallest = limits.size_divisor, limits.min_size
    fitting = [-(-max(side, smallest) // divisor) * divisor for side in crop]
    if fitting != crop:
        multiples = f" in multiples of {divisor}," if divisor > 1 else " of"
        yield broken(
            "data.crop_size",
            f"{limits.name} takes sides{multiples} at least {smallest}; got {show(crop)}, "
            f"nearest above is {show(fitting)}",
        )


def _depth_fits_arch(value: ValidView) -> Iterator[Problem]:
    arch, depth, _ = architecture(value)
    depths = ARCHITECTURES[arch].depths
    if depth is not None and depths and depth not in depths:
        allowed = " or ".join(str(one) for one in depths)
        yield broken("model.encoder_depth", f"{arch} takes {allowed}, got {depth}")


def _frozen_encoder_has_no_rate(value: ValidView) -> Iterator[Problem]:
    rate = value("optimizer.encoder_lr", None)
    if rate is not None and value("model.freeze_encoder", False) is True:
        yield broken(
            "optimizer.encoder_lr",
            f"the encoder is frozen (model.freeze_encoder=true), so it has no rate; set null, got {rate}",
        )


def _frozen_encoder_has_weights(value: ValidView) -> Iterator[Problem]:
    if (
        value("model.freeze_encoder", False) is True
        and value("model.encoder_weights", None) is None
    ):
        yield broken(
            "model.freeze_encoder",
            "a frozen encoder without model.encoder_weights stays random; give weights or set false",
        )


MODEL_RULES: tuple[Rule, ...] = (
    _encoder_is_known,
    _crop_fits_model,
    _depth_fits_arch,
    _frozen_encoder_has_no_rate,
    _frozen_encoder_has_weights,
)
