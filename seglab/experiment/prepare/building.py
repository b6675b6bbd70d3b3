"""Builds what a `_target_` names: a component of ours, or a part of one's own that may be imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytorch_lightning.callbacks import Callback
from torch import Tensor

from seglab.config.declared.targets import SCHEMAS, own_keys
from seglab.core.labels import LabelSpace
from seglab.core.parts.own_parts import OwnPart, read_part
from seglab.core.parts.plugins import TARGET, imported
from seglab.engine.step.module import OptimizerFactory, SchedulerFactory
from seglab.inference.predictor import Predictor
from seglab.inference.wrapped import wrap_predictor
from seglab.losses import SegmentationLoss, wrap_loss
from seglab.metrics.wrapped import WrappedMetric, wrap_metric
from seglab.models import Segmenter, wrap_model
from seglab.models.options import ModelFacts
from seglab.optim import wrap_optimizer, wrap_scheduler


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
        group: A key of `seglab.core.parts.kinds.KINDS`.
        node: `_target_` and options.

    Raises:
        ConfigError: The target is none of ours and may not be imported, or options are wrong; all
            mistakes at once.
    """
    return read_part(key, group, node, lambda found: own_keys(group, found))


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
    return wrap_model(part, facts or ModelFacts(), num_classes, in_channels, crop_size)


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
    return wrap_loss(part, labels.ignore_index, class_weights, labels.num_classes)


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
    return lambda model: wrap_optimizer(part, model, lr, encoder_lr)


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
    return lambda optimizer: wrap_scheduler(part, optimizer, run)


def build_callbacks(nodes: Mapping[str, Mapping[str, Any]]) -> list[Callback]:
    """Build Lightning callbacks of one's own, in the order they stand in.

    Args:
        nodes: Name -> `_target_` and options, as under `callbacks.extra`.

    Raises:
        ConfigError: One cannot be built, or is no callback.
    """
    made = []
    for name, node in nodes.items():
        part = own_part(f"callbacks.extra.{name}", "callback", node)
        callback = part.make()
        if not isinstance(callback, Callback):
            raise part.wrong("give a pytorch_lightning.Callback", type(callback).__name__)
        made.append(callback)
    return made


def build_metrics(
    nodes: Mapping[str, Mapping[str, Any]], labels: LabelSpace
) -> list[WrappedMetric]:
    """Build scores of one's own.

    Args:
        nodes: Name -> `_target_` and options, as under `metrics.extra`.
        labels: Classes and ignored index.

    Raises:
        ConfigError: One cannot be built, fails on a small confusion matrix, or gives no number.
    """
    num_classes, ignored = labels.num_classes, labels.ignore_index
    return [
        wrap_metric(name, own_part(f"metrics.extra.{name}", "metric", node), num_classes, ignored)
        for name, node in nodes.items()
    ]


def build_own_predictor(node: Mapping[str, Any], inner: Predictor, num_classes: int) -> Predictor:
    """Put a predictor of one's own, from `predict.predictor`, around another one."""
    part = own_part("predict.predictor", "predictor", node)
    return wrap_predictor(part, inner, num_classes)


def _options(node: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in node.items() if key != TARGET}
