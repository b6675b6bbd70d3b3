"""What follows from the batch size: the learning rates, and the part of a batch a device holds.

So that `data.batch_size` can be sampled like any other number: what does not fit into memory is run
in parts, and earlier trainings of the same kind say which parts need not be tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from seglab.augment import AugmentSpec
from seglab.config.rules.model_rules import limits_of
from seglab.config.rules.valid_view import ValidView
from seglab.core.disk.provenance import package_versions
from seglab.data.manifest import Manifest
from seglab.engine.device.facts import inspect_device
from seglab.engine.device.memory_limit import memory_limit, others_use_it
from seglab.engine.device.plan import ExecutionPlan
from seglab.engine.step.micro_batch import MicroBatcher
from seglab.engine.step.micro_batch_memory import MicroBatchMemory
from seglab.engine.step.micro_batch_probe import MicroBatchKeeper, WorstCase
from seglab.experiment.prepare.bands import bands_to_read, num_channels
from seglab.experiment.prepare.initial_weights import SOURCES
from seglab.experiment.prepare.resolved import resolved
from seglab.optim.lr_scaling import LearningRates
from seglab.optim.options import LrScaling


def learning_rates(cfg: DictConfig) -> LearningRates:
    """Return the peak learning rates of a training; those of the optimizer without `lr_scaling`."""
    # Configurations recorded before there was a rule have none.
    scaling = LrScaling.read(resolved(cfg.get("lr_scaling")) or {}, "lr_scaling")
    return LearningRates.of(cfg.optimizer, scaling, cfg.data.batch_size)


def micro_batch_memory(
    cfg: DictConfig, manifest: Manifest, plan: ExecutionPlan
) -> MicroBatchMemory | None:
    """Return what is known of micro-batches for such trainings; None where the size is set by hand."""
    if isinstance(cfg.trainer.micro_batch_size, int):
        return None
    facts = memory_facts(cfg, manifest.labels.num_classes, plan)
    if bands_to_read(cfg, manifest):
        facts["channels"] = num_channels(cfg, manifest)
    return MicroBatchMemory(Path(cfg.paths.cache_dir).expanduser(), facts)


def memory_facts(cfg: DictConfig, num_classes: int, plan: ExecutionPlan) -> dict[str, Any]:
    """Return all but the batch that decides how much memory a step takes, and how much there is.

    Numbers a sweep may draw from intervals (dropout, weights of a loss, momentum) count as on or
    off, or every trial would be a kind of its own and nothing would be learnt.
    """
    model = {key: value for key, value in resolved(cfg.model).items() if key not in SOURCES}
    devices = resolved(cfg.trainer.devices)
    indices = devices if isinstance(devices, list) else range(plan.num_devices)
    # All logits of a batch lie on the device then. Not a fact where it does not hold, so that what
    # was remembered before there was a choice still counts.
    exact = cfg.trainer.get("whole_batch_losses") == "exact"
    return ({"whole_batch_losses": "exact"} if exact else {}) | {
        "model": _kind(model),
        "num_classes": num_classes,
        "crop_size": resolved(cfg.data.crop_size),
        "loss": sorted({term["_target_"] for term in resolved(cfg.loss.terms).values()}),
        "optimizer": _kind(
            {key: cfg.optimizer.get(key) for key in ("_target_", "name")}
            | {"options": resolved(cfg.optimizer.get("options"))}
        ),
        "ema": cfg.trainer.ema_decay is not None,
        "augment_on_device": _augments_on_device(cfg, plan),
        "precision": plan.precision,
        "memory_format": plan.memory_format,
        "compile": plan.compile,
        "num_devices": plan.num_devices,
        "device": inspect_device(plan.accelerator).name,
        "memory_bytes": memory_limit(plan.accelerator, indices),
        "versions": package_versions(("torch",)),
    }


def _kind(value: Any) -> Any:
    if isinstance(value, float):
        return value > 0
    if isinstance(value, dict):
        return {key: _kind(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_kind(inner) for inner in value]
    return value


def _augments_on_device(cfg: DictConfig, plan: ExecutionPlan) -> bool:
    spec = AugmentSpec.read(resolved(cfg.augment), "augment")
    return spec.resolve_backend(plan.accelerator, plan.num_workers) == "kornia"


def begin_with_what_fits(cfg: DictConfig, manifest: Manifest, plan: ExecutionPlan) -> ExecutionPlan:
    """Return the plan of a new training, without the sizes that earlier ones failed with."""
    memory = micro_batch_memory(cfg, manifest, plan)
    if memory is None or plan.micro_batch_size is not None:
        return plan
    smallest = limits_of(ValidView(cfg, ())).min_train_batch
    size = memory.start_size(_largest_share(cfg, manifest, plan), smallest)
    if size is None:
        return plan
    reason = f"micro-batch {size} remembered from an earlier run on this device"
    reasons = (*plan.reasons, reason)
    return replace(plan, micro_batch_size=size, compile_mode="default", reasons=reasons)


def build_micro_batcher(
    cfg: DictConfig, manifest: Manifest, plan: ExecutionPlan, min_size: int
) -> MicroBatcher:
    """Return what splits the batches of a training; its failures are remembered for the next."""
    memory = micro_batch_memory(cfg, manifest, plan)

    def remember(batch_size: int, held: int) -> None:
        if memory is not None and not others_use_it(plan.accelerator):
            memory.note_failure(batch_size, held)

    return MicroBatcher(
        plan.micro_batch_size,
        min_size,
        can_halve=plan.num_devices == 1,
        on_failure=None if memory is None else remember,
    )


def build_keeper(cfg: DictConfig, manifest: Manifest, plan: ExecutionPlan) -> MicroBatchKeeper:
    """Return the callback that probes, under DDP or where asked to, and remembers what fitted."""
    memory = micro_batch_memory(cfg, manifest, plan)
    asked = cfg.trainer.micro_batch_size == "probe"
    probes = asked or (memory is not None and plan.num_devices > 1)
    if not probes:
        return MicroBatchKeeper(None, memory)
    share = _largest_share(cfg, manifest, plan)
    return MicroBatchKeeper(WorstCase(share, tuple(cfg.data.crop_size)), memory)


def _largest_share(cfg: DictConfig, manifest: Manifest, plan: ExecutionPlan) -> int:
    """Return the images of the largest batch on one device; a small data set never fills it."""
    return int(min(cfg.data.batch_size, manifest.splits()["train"])) // plan.num_devices
