"""Our side of the benchmark: the bare step, and the whole loop around it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from rich.console import Console
from torch import nn
from torch.utils.data import DataLoader

from seglab.data.loading.datamodule import SegDataModule
from seglab.engine.device.plan import ExecutionPlan
from seglab.engine.loop.callbacks import FiniteLossGuard, HistoryWriter, InterruptGuard
from seglab.engine.loop.checkpoint import CheckpointWriter
from seglab.engine.loop.progress import RunProgress
from seglab.engine.loop.trainer import build_trainer
from seglab.engine.options import TrainerOptions
from seglab.engine.step.module import SegmentationModule
from seglab.experiment.parts import Dataset, build_datamodule, build_model, build_module
from seglab.inference.depthwise import fp32_depthwise_gradients
from seglab.inference.deterministic import deterministic_forms
from train_bench.gauges import Clock, StepTimes

_HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


def plain_loss() -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Return cross-entropy in fp32, the loss of all recipes."""
    cross_entropy = nn.CrossEntropyLoss(ignore_index=255)
    return lambda logits, mask: cross_entropy(logits.float(), mask)


def torch_defaults() -> None:
    """Undo what a trainer before this told torch for the whole process."""
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = False


def bare_step(
    cfg: DictConfig,
    num_classes: int,
    plan: ExecutionPlan,
    times: StepTimes,
    compile_mode: str | None = None,
    deterministic: Literal["no", "as torch does", "our forms"] = "no",
) -> None:
    """Run forward, backward and optimizer on a batch that is already on the device.

    Args:
        cfg: Names the model.
        num_classes: Channels of its logits.
        plan: Device, precision and memory format.
        times: Told of each step.
        compile_mode: A mode of `torch.compile`; None: the model runs as it is.
        deterministic: By which operators.
    """
    torch.use_deterministic_algorithms(deterministic != "no", warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = deterministic == "as torch does"  # type: ignore[attr-defined]
    device, layout = plan.accelerator, plan.torch_memory_format
    model = build_model(cfg, num_classes).to(device).to(memory_format=layout).train()
    if compile_mode is not None:
        model.compile(mode=compile_mode)
    loss_fn = plain_loss()
    # The plan's choice steps all parameters at once, as seglab does; torch's default one by one.
    fused = True if plan.precision != "fp32" else None
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=fused)
    height, width = cfg.data.crop_size
    size = cfg.data.batch_size
    image = torch.randn(size, 3, height, width).to(device, memory_format=layout)
    mask = torch.randint(0, num_classes, (size, height, width), device=device)
    half = _HALF.get(plan.precision)
    for _ in range(times.steps):
        half_precision = torch.autocast(device, half or torch.bfloat16, enabled=half is not None)
        forms = deterministic_forms(deterministic == "our forms")
        with half_precision, forms, fp32_depthwise_gradients(image.device):
            loss = loss_fn(model(image), mask)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        times.tick()


def seglab_loop(
    cfg: DictConfig,
    dataset: Dataset,
    plan: ExecutionPlan,
    times: StepTimes,
    with_parts: Callable[[pl.Trainer, SegmentationModule], None] = lambda trainer, module: None,
    deterministic: bool = True,
    one_batch: bool = False,
) -> None:
    """Run the whole training loop: loader, augmentation, step, callbacks, run record.

    Args:
        cfg: What to train.
        dataset: What on; an epoch has all steps.
        plan: How.
        times: Told of each step.
        with_parts: Sees the trainer and the module before they begin.
        deterministic: As `trainer.deterministic`.
        one_batch: Show the first batch again and again, so that the loader costs nothing.
    """
    datamodule = build_datamodule(cfg, dataset, replace(plan, num_workers=0) if one_batch else plan)
    if one_batch:
        _repeat_first_batch(datamodule, times.steps)
    model = build_model(cfg, dataset.labels.num_classes)
    module = build_module(cfg, dataset, model, plan, datamodule.steps_per_epoch)
    with tempfile.TemporaryDirectory() as folder:
        writer = CheckpointWriter(Path(folder), cfg.monitor.metric, cfg.monitor.mode, 0)
        callbacks: list[pl.Callback] = [
            FiniteLossGuard(None),
            HistoryWriter(None, []),
            RunProgress(Console(quiet=True), "val/miou"),
            InterruptGuard(writer),
            writer,
            Clock(times),
        ]
        loop = TrainerOptions(
            max_epochs=1, val_every=2, limit_train_batches=times.steps, deterministic=deterministic
        )
        trainer = build_trainer(plan, loop, callbacks, Path(folder))
        with_parts(trainer, module)
        trainer.fit(module, datamodule=datamodule)


def _repeat_first_batch(datamodule: SegDataModule, steps: int) -> None:
    load = datamodule.train_dataloader

    def repeated() -> DataLoader[Any]:
        batch = next(iter(load()))
        return DataLoader([batch] * steps, batch_size=None, collate_fn=lambda one: one)  # type: ignore[arg-type]

    datamodule.train_dataloader = repeated  # type: ignore[method-assign,assignment]
