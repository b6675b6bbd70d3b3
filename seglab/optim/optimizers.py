"""Optimizers by name, with the parameter groups that fine-tuning a segmentation model needs.

timm's registry knows some eighty optimizers; it also drops arguments an optimizer does not take.
Here such an argument is an error, so that a sweep never varies a number without effect.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from timm.optim import create_optimizer_v2, get_optimizer_class, get_optimizer_info, list_optimizers
from torch import nn
from torch.optim import Optimizer

from seglab.core.errors import ConfigError, nearest
from seglab.core.options import takes
from seglab.core.parts.own_parts import OwnPart
from seglab.optim.options import OptimizerOptions

logger = logging.getLogger(__name__)

# Arguments of their own in `build_optimizer`.
_RESERVED = ("self", "params", "lr", "weight_decay", "args", "kwargs")


@takes(OptimizerOptions, "optimizer", also=lambda told: _name_problems(**told))
def build_optimizer(model: nn.Module, *, chosen: OptimizerOptions) -> Optimizer:
    """Build an optimizer over the trainable parameters of a model.

    Up to four groups, named `encoder/decay`, `encoder/no_decay`, `rest/decay`, `rest/no_decay`:
    what lies in `model.encoder` may have its own learning rate, and weight decay spares biases,
    weights of normalisation (both of one dimension) and what timm excludes (position embeddings).

    Args:
        model: The model; its `encoder`, if it has one, makes the first two groups.
        chosen: The fields of `OptimizerOptions`, each given by its name.

    Raises:
        ConfigError: A name, number or option is wrong, the optimizer cannot be used here, or
            nothing is left to train.
    """
    name, lr, encoder_lr = chosen.name, chosen.lr, chosen.encoder_lr
    given = {key: _tuples_for_lists(value) for key, value in (chosen.options or {}).items()}
    _require_encoder(model, encoder_lr)
    groups = parameter_groups(model, lr, encoder_lr, chosen.weight_decay)
    if encoder_lr is not None and not any(g["name"].startswith("encoder") for g in groups):
        logger.warning("optimizer.encoder_lr=%g has no effect: the encoder is frozen", encoder_lr)
    try:
        optimizer: Optimizer = create_optimizer_v2(
            groups, name, lr=lr, **_fused_on_cpu(name, groups, given)
        )
    except (ValueError, TypeError, RuntimeError) as error:
        raise ConfigError(f"optimizer: {name} refuses its arguments: {error}") from error
    return optimizer


def wrap_optimizer(
    part: OwnPart, model: nn.Module, lr: float, encoder_lr: float | None
) -> Optimizer:
    """Build an optimizer of torch's or of one's own over the same groups as ours.

    Args:
        part: Called with the groups; weight decay becomes that of those that are not spared.
        model: As for `build_optimizer`.
        lr: Learning rate.
        encoder_lr: Learning rate of `model.encoder`; None: the same.

    Raises:
        ConfigError: It refuses its arguments, is no optimizer, or needs a closure in its step.
    """
    _require_encoder(model, encoder_lr)
    own = inspect.signature(part.found).parameters.get("weight_decay")
    decay: Any = part.options.get("weight_decay", 0.0 if own is None else own.default)
    groups = parameter_groups(model, lr, encoder_lr, float(decay))
    if own is None:
        for group in groups:
            del group["weight_decay"]
    optimizer = part.make(groups, lr=lr)
    if not isinstance(optimizer, Optimizer):
        raise part.wrong("give a torch.optim.Optimizer", type(optimizer).__name__)
    closure = inspect.signature(type(optimizer).step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise part.wrong("step without a closure", "one that needs it")
    return optimizer


def _require_encoder(model: nn.Module, encoder_lr: float | None) -> None:
    if encoder_lr is not None and not isinstance(getattr(model, "encoder", None), nn.Module):
        raise ConfigError(
            "optimizer.encoder_lr: the model has no encoder; set it to null, or name one with "
            "model.facts.encoder"
        )


def _fused_on_cpu(
    name: str, groups: Sequence[Mapping[str, Any]], given: dict[str, Any]
) -> dict[str, Any]:
    """Add `fused` where it helps and the user chose no implementation.

    On a CPU torch steps parameter by parameter, in several passes over memory: 35 ms for AdamW and a
    U-Net of 14 M parameters, 9 ms fused. On a GPU fused optimizers unscale fp16 gradients themselves,
    which clipping cannot see, and torch's own choice is fast there.
    """
    chosen = {"fused", "foreach", "capturable", "differentiable"} & given.keys()
    takes_it = "fused" in inspect.signature(get_optimizer_class(name)).parameters
    on_cpu = all(p.device.type == "cpu" for group in groups for p in group["params"])
    return {**given, "fused": True} if takes_it and on_cpu and not chosen else given


def parameter_groups(
    model: nn.Module, lr: float, encoder_lr: float | None, weight_decay: float
) -> list[dict[str, Any]]:
    """Return parameter groups with `name`, `params`, `lr` and `weight_decay`; empty ones left out.

    Raises:
        ConfigError: No parameter of the model takes a gradient.
    """
    encoder = getattr(model, "encoder", None)
    inside = set()
    if isinstance(encoder, nn.Module):
        inside = {id(parameter) for parameter in encoder.parameters()}
    spared = _spared_names(model)
    groups: dict[str, dict[str, Any]] = {
        f"{part}/{decay}": {
            "name": f"{part}/{decay}",
            "params": [],
            "lr": encoder_lr if part == "encoder" and encoder_lr is not None else lr,
            "weight_decay": weight_decay if decay == "decay" else 0.0,
        }
        for part in ("encoder", "rest")
        for decay in ("decay", "no_decay")
    }
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        part = "encoder" if id(parameter) in inside else "rest"
        decay = "no_decay" if parameter.ndim <= 1 or name in spared else "decay"
        groups[f"{part}/{decay}"]["params"].append(parameter)
    filled = [group for group in groups.values() if group["params"]]
    if not filled:
        raise ConfigError("optimizer: nothing to train, no parameter of the model takes a gradient")
    return filled


def _spared_names(model: nn.Module) -> set[str]:
    """Return full names of parameters that modules (timm's) exclude from weight decay."""
    spared = set()
    for prefix, module in model.named_modules():
        exclude = getattr(module, "no_weight_decay", None)
        if callable(exclude):
            spared |= {f"{prefix}.{name}" if prefix else name for name in exclude()}
    return spared


def _tuples_for_lists(value: object) -> object:
    """Turn OmegaConf's lists into tuples, as optimizers expect of `betas`."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(value)
    return value


def _name_problems(
    name: Any = None, options: Mapping[str, Any] | None = None, **_others: Any
) -> list[str]:
    if not isinstance(name, str):
        return []  # told already
    known = list_optimizers()
    if name not in known:
        return [
            f"optimizer.name: timm has no optimizer '{name}'{nearest(name, known)}; "
            f"it has {', '.join(known)}"
        ]
    if get_optimizer_info(name).second_order:
        return [f"optimizer.name: '{name}' needs second derivatives, which training does not keep"]
    try:
        optimizer_class = get_optimizer_class(name, bind_defaults=False)
    # timm asserts that CUDA and the package behind the optimizer are there.
    except (AssertionError, ImportError) as error:
        return [f"optimizer.name: '{name}' cannot be used on this machine: {error}"]
    allowed = [key for key in inspect.signature(optimizer_class).parameters if key not in _RESERVED]
    return [
        f"optimizer.options.{key}: {name} takes no such argument{nearest(key, allowed)}; "
        f"it takes {', '.join(allowed)}"
        for key in options or {}
        if key not in allowed
    ]
