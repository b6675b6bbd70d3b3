"""What trainings would cost on this machine and these data, before any of them is started.

Each model is built with random weights and takes a few steps on random images. So the answer comes
in seconds a model, and says nothing about scores.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from omegaconf import DictConfig
from torch import nn
from torch.nn import functional as F

from seglab.config.overrides import check_overrides
from seglab.core.errors import ConfigError, DataError
from seglab.data.manifest import Manifest
from seglab.engine.device.plan import ExecutionPlan
from seglab.engine.loop.trainer import apply_threads
from seglab.engine.step.micro_batch import is_out_of_memory
from seglab.experiment.parts import build_model, make_plan
from seglab.experiment.prepare.bands import num_channels
from seglab.inference import pad_to_multiple
from seglab.inference.cost import Cost, measure_cost, measure_step
from seglab.models import Segmenter

log = logging.getLogger(__name__)

STEPS = 3
_AUTOCAST = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
# Bytes a parameter takes in training: itself, its gradient, the two averages of Adam.
_COPIES = 4


@dataclass(frozen=True)
class ModelBudget:
    """What one model costs; numbers are NaN where it does not fit into memory.

    Attributes:
        model: Its choice in conf/model.
        encoder: Its encoder; `-` for a model without a choice of them.
        params_m: Parameters in millions.
        gflops: 1e9 operations of one prediction at the size of the images.
        latency_ms: Median milliseconds of one prediction at that size.
        memory_mb: 1e6 bytes at the peak of a training step.
        memory_is: `measured` on CUDA; elsewhere `estimated`, as weights, gradients, optimizer state
            and what the backward pass needs, without what the kernels take for themselves.
        step_ms: Median milliseconds of a training step of a whole batch.
        hours: For all epochs: the steps, and one prediction for each validation image an epoch.
            Loading and augmentation that the steps do not hide come on top.
        note: Why numbers are missing; empty otherwise.
    """

    model: str
    encoder: str
    params_m: float
    gflops: float = math.nan
    latency_ms: float = math.nan
    memory_mb: float = math.nan
    memory_is: str = "estimated"
    step_ms: float = math.nan
    hours: float = math.nan
    note: str = ""


@dataclass(frozen=True)
class Budget:
    """Costs of several models, and what they hold for.

    Attributes:
        models: One a model, in the order asked for.
        image_hw: Most frequent size of the images.
        crop_hw: Size of training crops.
        batch_size: Images in a step.
        epochs: Epochs the hours are for.
        num_train: Training images.
        num_val: Validation images.
        plan: How this machine would train, in words.
    """

    models: list[ModelBudget]
    image_hw: tuple[int, int]
    crop_hw: tuple[int, int]
    batch_size: int
    epochs: int
    num_train: int
    num_val: int
    plan: str


def compose_models(
    models: Sequence[str], words: Sequence[str] = (), encoder: str | None = None
) -> dict[str, DictConfig]:
    """Return the training configuration of each model, without pretrained weights.

    Args:
        models: Choices in conf/model.
        words: Further words as after `seglab train`, such as `data=camvid`.
        encoder: Encoder of the models that have a choice of them.

    Raises:
        ConfigError: With all mistakes found.
    """
    found, problems = {}, []
    for model in dict.fromkeys(models):
        chosen = [f"model={model}", *words]
        checked = check_overrides("train", chosen, allow_missing=True)
        if not checked.problems and checked.config is not None:
            chosen = [*checked.overrides, *_encoder_words(checked.config, encoder)]
            checked = check_overrides("train", chosen, allow_missing=True)
        problems += [line for line in checked.problems if line not in problems]
        if not checked.problems and checked.config is not None:
            found[model] = checked.config
    if problems:
        raise ConfigError(problems)
    return found


def _encoder_words(cfg: DictConfig, encoder: str | None) -> list[str]:
    if "encoder_name" not in cfg.model:
        return []
    name = [] if encoder is None else [f"model.encoder_name={encoder}"]
    # Weights change no cost, and fetching them would take longer than all the rest.
    return [*name, "model.encoder_weights=null"]


def measure_budget(manifest: Manifest, configurations: Mapping[str, DictConfig]) -> Budget:
    """Measure what each configuration would cost on a data set, on this machine.

    Args:
        manifest: The data.
        configurations: What `compose_models` returned; all of one crop, batch and epochs.

    Raises:
        ConfigError: No model is asked for, or a batch has more images than there are.
        DataError: The data set has no training images.
    """
    if not configurations:
        raise ConfigError("--models: expected at least one model, got none")
    counts, cfg = manifest.splits(), next(iter(configurations.values()))
    if not counts["train"]:
        raise DataError(f"data set {manifest.name}: its training split is empty, nothing to train")
    if cfg.data.batch_size > counts["train"]:
        raise ConfigError(
            f"--batch-size: expected at most the {counts['train']} training images, "
            f"got {cfg.data.batch_size}"
        )
    image_hw = tuple(cfg.data.image_size) if cfg.data.image_size else common_size(manifest)
    crop_hw: tuple[int, int] = tuple(cfg.data.crop_size)
    plan, _ = make_plan(cfg)
    apply_threads(plan)
    rows = []
    for name, one in configurations.items():
        log.info("measuring %s", name)
        one = one.copy()
        one.model.in_channels = num_channels(one, manifest)
        rows.append(_measure(name, one, manifest, image_hw))
    return Budget(
        rows,
        image_hw,
        crop_hw,
        cfg.data.batch_size,
        cfg.trainer.max_epochs,
        counts["train"],
        counts["val"],
        plan.sentence(),
    )


def common_size(manifest: Manifest) -> tuple[int, int]:
    """Return the most frequent (H, W) of the kept images; of equally frequent ones the largest."""
    kept = manifest.table[manifest.table["keep"]]
    sizes = kept.groupby(["height", "width"]).size().reset_index(name="count")
    best = sizes.sort_values(["count", "height", "width"]).iloc[-1]
    return int(best["height"]), int(best["width"])


def _measure(
    name: str, cfg: DictConfig, manifest: Manifest, image_hw: tuple[int, int]
) -> ModelBudget:
    model = build_model(cfg, manifest.labels.num_classes)
    plan, _ = make_plan(cfg, model)
    encoder = str(cfg.model.get("encoder_name", "-"))
    params = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    try:
        cost, memory, seconds = _measure_on_device(model, cfg, image_hw, plan)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return ModelBudget(name, encoder, params, note="does not fit into memory")
    counts = manifest.splits()
    steps = counts["train"] / cfg.data.batch_size
    steps = math.floor(steps) if cfg.data.drop_last else math.ceil(steps)
    an_epoch = steps * seconds + counts["val"] * cost.latency_ms / 1e3 / cfg.trainer.val_every
    return ModelBudget(
        name,
        encoder,
        cost.params_m,
        cost.gflops,
        cost.latency_ms,
        memory,
        "measured" if plan.accelerator == "cuda" else "estimated",
        1e3 * seconds,
        cfg.trainer.max_epochs * an_epoch / 3600,
    )


def _measure_on_device(
    model: Segmenter, cfg: DictConfig, image_hw: tuple[int, int], plan: ExecutionPlan
) -> tuple[Cost, float, float]:
    """Return cost of a prediction, bytes / 1e6 of a training step, and its seconds."""
    device = torch.device(plan.accelerator)
    autocast = _AUTOCAST[plan.precision]
    model = model.to(device=device, memory_format=plan.torch_memory_format)  # type: ignore[call-overload]
    channels, crop = cfg.model.in_channels, tuple(cfg.data.crop_size)
    padded = pad_to_multiple(torch.zeros(1, 1, *image_hw), model.size_divisor, model.min_size)
    height, width = padded.shape[2:]
    with torch.autocast(device.type, dtype=autocast, enabled=autocast is not None):
        cost = measure_cost(model, (height, width), channels, device, repeats=STEPS)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    seconds = measure_step(
        model,
        crop,
        cfg.data.batch_size,
        in_channels=channels,
        device=device,
        repeats=STEPS,
        autocast=autocast,
    )
    if device.type == "cuda":
        return cost, torch.cuda.max_memory_allocated(device) / 1e6, seconds
    image = torch.zeros(cfg.data.batch_size, channels, *crop)
    image = image.to(device, memory_format=plan.torch_memory_format)
    return cost, estimate_step_memory(model, image, autocast) / 1e6, seconds


def estimate_step_memory(
    model: nn.Module, image: torch.Tensor, autocast: torch.dtype | None = None
) -> int:
    """Return the bytes a training step with Adam holds when its backward pass begins.

    Weights, gradients and two averages of each parameter, the buffers, the batch, and every tensor
    that autograd keeps for the backward pass, each once. What kernels take while they work is not
    counted: on a CPU the process really grew by 16 to 22 % more (U-Net/resnet18 in fp32 and bf16,
    SegNet-Basic; batch 8, 192x256).

    Args:
        model: The model; it stays as it is but for statistics of normalisation.
        image: Float `(B, C, H, W)`.
        autocast: Type to compute in where it is safe.
    """
    own = {tensor.untyped_storage().data_ptr() for tensor in model.parameters()}
    own |= {tensor.untyped_storage().data_ptr() for tensor in model.buffers()}
    kept = {image.untyped_storage().data_ptr(): image.untyped_storage().nbytes()}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    mode = model.training
    model.train()
    # What is kept stays alive to the end of the block, so that no address is given out twice.
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        with torch.autocast(image.device.type, dtype=autocast, enabled=autocast is not None):
            logits = model(image)
        mask = torch.zeros(len(logits), *logits.shape[2:], dtype=torch.long, device=image.device)
        loss = F.cross_entropy(logits.float(), mask)
        activations = sum(kept.values())
    del loss
    model.train(mode)
    weights = sum(tensor.numel() * tensor.element_size() for tensor in model.parameters())
    buffers = sum(tensor.numel() * tensor.element_size() for tensor in model.buffers())
    return _COPIES * weights + buffers + activations


def format_budget(budget: Budget) -> str:
    """Return the costs as plain text: what they hold for, then a table of the models."""
    height, width = budget.image_hw
    crop = "x".join(map(str, budget.crop_hw))
    head = (
        f"Budget: {budget.num_train} training and {budget.num_val} validation images of "
        f"{height}x{width}, crops of {crop}, batch {budget.batch_size}, {budget.epochs} epochs\n"
        f"{budget.plan}"
    )
    rows = [
        {
            "model": one.model,
            "encoder": one.encoder,
            "params (M)": _text(one.params_m, 2),
            "GFLOPs": _text(one.gflops, 2),
            "prediction (ms)": _text(one.latency_ms, 1),
            "training memory (MB)": one.note or f"{_text(one.memory_mb, 0)} {one.memory_is}",
            "step (ms)": _text(one.step_ms, 0),
            f"hours, {budget.epochs} epochs": _text(one.hours, 2),
        }
        for one in budget.models
    ]
    notes = (
        "GFLOPs: a multiply-add is 2; at the size of the images. Hours: steps and validation alone, "
        "measured just now in a few steps."
    )
    return "\n\n".join([head, pd.DataFrame(rows).to_string(index=False), notes]) + "\n"


def _text(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"
