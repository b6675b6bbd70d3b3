"""Builds what a `_target_` names: a component of ours, or a part of one's own that may be imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from seglab.config.targets import SCHEMAS, own_schema, schema_of
from seglab.core.errors import ConfigError
from seglab.core.labels import LabelSpace
from seglab.core.options import Options
from seglab.core.plugins import TARGET, imported, load_target
from seglab.engine.step.module import OptimizerFactory, SchedulerFactory
from seglab.losses import SegmentationLoss, wrap_loss
from seglab.models import Segmenter, wrap_model
from seglab.models.options import ModelFacts
from seglab.optim import wrap_optimizer, wrap_scheduler


@dataclass(frozen=True)
class OwnPart:
    """A part that is not ours, ready to be called.

    Attributes:
        key: Where it stands in the configuration.
        target: What the configuration calls it.
        found: The class or function.
        options: Those given, as its hints want them.
    """

    key: str
    target: str
    found: Callable[..., Any]
    options: dict[str, Any]

    def take(self, *names: str) -> list[Any]:
        """Take options out that are seglab's own; None for those not given."""
        return [self.options.pop(name, None) for name in names]


def is_ours(group: str, node: Mapping[str, Any]) -> bool:
    """Whether a node names a component of ours."""
    return node.get(TARGET) in SCHEMAS.get(group, ())


def build_ours(node: Mapping[str, Any], **supplied: Any) -> Any:
    """Build a component of ours, which checks its options itself."""
    target = str(node[TARGET])
    return imported(target)(**_options(node), **supplied)


def own_part(key: str, group: str, node: Mapping[str, Any]) -> OwnPart:
    """Import a part of one's own and check its options.

    Args:
        key: Of the node, for messages.
        group: A key of `seglab.core.plugins.KINDS`.
        node: `_target_` and options.

    Raises:
        ConfigError: The target is none of ours and may not be imported, or options are wrong; all
            mistakes at once.
    """
    target = node.get(TARGET)
    try:
        schema_of(group, target)
    except ConfigError as error:
        raise ConfigError([f"{key}.{TARGET}: {one}" for one in error.problems]) from error
    found = load_target(target, group)
    schema = own_schema(group, str(target), found)
    options = _options(node)
    if problems := schema.problems(options, key):
        raise ConfigError(problems)
    chosen = schema.read(options, key)
    return OwnPart(key, str(target), found, _given(chosen, options))


def build_model_of(
    node: Mapping[str, Any], num_classes: int, in_channels: int, crop_size: tuple[int, int]
) -> Segmenter:
    """Build the network that `cfg.model` names.

    Args:
        node: `_target_` and options.
        num_classes: Number of classes.
        in_channels: Number of image channels.
        crop_size: Of the images it is trained on.
    """
    if is_ours("model", node):
        model: Segmenter = build_ours({**node, "in_channels": in_channels}, num_classes=num_classes)
        return model
    part = own_part("model", "model", node)
    _, facts = part.take("in_channels", "facts")
    return wrap_model(
        part.target,
        part.found,
        part.options,
        facts or ModelFacts(),
        num_classes,
        in_channels,
        crop_size,
    )


def build_term(
    key: str, node: Mapping[str, Any], labels: LabelSpace, class_weights: Tensor | None
) -> SegmentationLoss:
    """Build one term of the loss.

    Args:
        key: Where it stands, for messages.
        node: `_target_` and options.
        labels: Classes and ignored index.
        class_weights: Worked out already, `(C,)`; None for equal ones.
    """
    if is_ours("loss_term", node):
        term: SegmentationLoss = build_ours(
            {**node, "class_weights": class_weights}, ignore_index=labels.ignore_index
        )
        return term
    part = own_part(key, "loss_term", node)
    part.take("class_weights")
    return wrap_loss(
        key,
        part.target,
        part.found,
        part.options,
        labels.ignore_index,
        class_weights,
        labels.num_classes,
    )


def optimizer_factory(
    node: Mapping[str, Any], lr: float, encoder_lr: float | None
) -> OptimizerFactory:
    """Return what builds the optimizer from the model.

    Args:
        node: `_target_` and options.
        lr: Learning rate, as the size of the batch scales it.
        encoder_lr: Likewise, of the encoder; None: the same.
    """
    if is_ours("optimizer", node):
        return lambda model: build_ours({**node, "lr": lr, "encoder_lr": encoder_lr}, model=model)
    part = own_part("optimizer", "optimizer", node)
    part.take("lr", "encoder_lr")
    return lambda model: wrap_optimizer(
        part.target, part.found, part.options, model, lr, encoder_lr
    )


def schedule_factory(
    node: Mapping[str, Any], total_steps: int, steps_per_epoch: int
) -> SchedulerFactory:
    """Return what builds the schedule from the optimizer.

    Args:
        node: `_target_` and options.
        total_steps: Optimizer steps of the whole run.
        steps_per_epoch: Optimizer steps of one epoch.
    """
    run = {"total_steps": total_steps, "steps_per_epoch": steps_per_epoch}
    if is_ours("scheduler", node):
        return lambda optimizer: build_ours(node, optimizer=optimizer, **run)
    part = own_part("scheduler", "scheduler", node)
    return lambda optimizer: wrap_scheduler(part.target, part.found, part.options, optimizer, run)


def _given(chosen: Options, options: Mapping[str, Any]) -> dict[str, Any]:
    # Those left out keep the signature's own default.
    return {name: getattr(chosen, name) for name in options}


def _options(node: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in node.items() if key != TARGET}
