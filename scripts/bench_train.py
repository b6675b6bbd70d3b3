"""Measure what seglab's training loop costs beside the bare step, and beside the stock recipe.

In one run, with the same model, batch, crop, loss and threads, in turn and several rounds:

- `bare fp32`: forward, backward, optimizer on a batch that is in memory; fp32, NCHW;
- `bare plan`: the same under the execution plan that seglab picks for this device;
- `seglab`: the whole loop of `seglab train`: loader, augmentation (`standard`), step, callbacks,
  run record;
- `stock`: segmentation-models-pytorch + Lightning + albumentations at their defaults, decoding PNG
  files in the loader.

Prints the median images per second over the rounds and the two ratios that matter. Run it on an
otherwise idle machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import segmentation_models_pytorch as smp
import torch
from omegaconf import DictConfig
from PIL import Image
from rich.console import Console
from torch import nn
from torch.utils.data import DataLoader, Dataset

from seglab.config.compose import compose
from seglab.engine.device.plan import ExecutionPlan
from seglab.engine.loop.trainer import apply_threads, build_trainer
from seglab.engine.options import TrainerOptions
from seglab.experiment.parts import (
    build_datamodule,
    build_model,
    build_module,
    make_plan,
    open_dataset_of,
)

WARM_UP_STEPS = 4


class Clock(pl.Callback):
    """Times steps after a warm-up, from the end of one to the end of the last."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        """Note the time at which a step ended."""
        self.times.append(time.perf_counter())

    def images_per_second(self, batch_size: int) -> float:
        """Return throughput from the end of the warm-up to the last step."""
        counted = self.times[WARM_UP_STEPS:]
        return batch_size * (len(counted) - 1) / (counted[-1] - counted[0])


def bare_step(cfg: DictConfig, num_classes: int, plan: ExecutionPlan, steps: int) -> float:
    """Return images per second of forward, backward and optimizer on a fixed batch."""
    model = build_model(cfg, num_classes).to(memory_format=plan.torch_memory_format).train()
    loss_fn = _plain_loss()
    # The plan's choice steps all parameters at once, as seglab does; torch's default one by one.
    fused = True if plan.precision != "fp32" else None
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=fused)
    height, width = cfg.data.crop_size
    image = torch.randn(cfg.data.batch_size, 3, height, width).to(
        memory_format=plan.torch_memory_format
    )
    mask = torch.randint(0, num_classes, (cfg.data.batch_size, height, width))
    times = []
    for _ in range(steps):
        with torch.autocast("cpu", torch.bfloat16, enabled=plan.precision == "bf16"):
            loss = loss_fn(model(image), mask)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        times.append(time.perf_counter())
    counted = times[WARM_UP_STEPS:]
    return cfg.data.batch_size * (len(counted) - 1) / (counted[-1] - counted[0])


def _plain_loss() -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    cross_entropy = nn.CrossEntropyLoss(ignore_index=255)

    def loss_fn(logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return cross_entropy(logits.float(), mask)

    return loss_fn


def seglab_loop(cfg: DictConfig, plan: ExecutionPlan, steps: int) -> float:
    """Return images per second of the whole training loop, augmentation and loader included."""
    from seglab.engine.loop.callbacks import FiniteLossGuard, HistoryWriter, InterruptGuard
    from seglab.engine.loop.checkpoint import CheckpointWriter
    from seglab.engine.loop.progress import RunProgress

    dataset = open_dataset_of(cfg)
    datamodule = build_datamodule(cfg, dataset, plan)
    model = build_model(cfg, dataset.labels.num_classes)
    module = build_module(cfg, dataset, model, plan, datamodule.steps_per_epoch)
    epochs = -(-steps // datamodule.steps_per_epoch)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        writer = CheckpointWriter(Path(folder), cfg.monitor.metric, cfg.monitor.mode, 0)
        callbacks = [
            FiniteLossGuard(None),
            HistoryWriter(None, []),
            RunProgress(Console(quiet=True), "val/miou"),
            InterruptGuard(writer),
            writer,
            clock,
        ]
        loop = TrainerOptions(max_epochs=epochs, val_every=epochs + 1, limit_train_batches=steps)
        build_trainer(plan, loop, callbacks, Path(folder)).fit(module, datamodule=datamodule)
    return clock.images_per_second(cfg.data.batch_size)


class StockDataset(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Image and mask files read and augmented as the libraries' examples do."""

    def __init__(self, files: list[tuple[Path, Path]], crop: tuple[int, int]) -> None:
        import albumentations as album

        self.files = files
        self.transform = album.Compose(
            [
                album.HorizontalFlip(p=0.5),
                album.Affine(scale=(0.75, 1.5), rotate=(-10, 10), p=1.0),
                album.RandomCrop(*crop, pad_if_needed=True),
                album.ColorJitter(p=0.8),
                album.Normalize(),
                album.ToTensorV2(),
            ]
        )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        image_path, mask_path = self.files[index]
        image = np.array(Image.open(image_path).convert("RGB"))
        done = self.transform(image=image, mask=np.array(Image.open(mask_path)))
        return done["image"], done["mask"].long()


class StockModule(pl.LightningModule):
    """The LightningModule of the libraries' own examples, without metrics."""

    def __init__(self, encoder_name: str, num_classes: int) -> None:
        super().__init__()
        self.model = smp.Unet(encoder_name, encoder_weights=None, classes=num_classes)
        self.loss = _plain_loss()

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        """Return the loss of one batch."""
        image, mask = batch
        return self.loss(self.model(image), mask)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer of the examples."""
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


def stock_loop(cfg: DictConfig, steps: int) -> float:
    """Return images per second of the stock recipe at its defaults."""
    manifest = open_dataset_of(cfg).manifest
    rows = manifest.split("train")
    files = [
        (manifest.root / image, manifest.root / mask)
        for image, mask in zip(rows["image"], rows["mask"], strict=True)
    ]
    files = (files * (steps * cfg.data.batch_size // len(files) + 1))[: steps * cfg.data.batch_size]
    crop = (int(cfg.data.crop_size[0]), int(cfg.data.crop_size[1]))
    loader = DataLoader(StockDataset(files, crop), batch_size=cfg.data.batch_size, shuffle=True)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(
            accelerator="cpu",
            max_epochs=1,
            callbacks=[clock],
            default_root_dir=folder,
            enable_progress_bar=False,
            enable_model_summary=False,
            logger=False,
            enable_checkpointing=False,
        )
        trainer.fit(StockModule(cfg.model.encoder_name, manifest.labels.num_classes), loader)
    return clock.images_per_second(cfg.data.batch_size)


def main() -> None:
    """Run the rounds and print medians and ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--rounds", type=int, default=5, help="rounds, all four in turn (default 5)"
    )
    parser.add_argument("--steps", type=int, default=24, help="steps a round (default 24)")
    parser.add_argument("--encoder", default="resnet18", help="encoder of the U-Net")
    parser.add_argument("--crop", type=int, nargs=2, default=(192, 256), metavar=("H", "W"))
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()

    cfg = compose(
        [
            "data=synth",
            "model=unet",
            f"model.encoder_name={arguments.encoder}",
            "augment=standard",
            "loss=ce",
            f"data.crop_size={list(arguments.crop)}",
            f"data.batch_size={arguments.batch_size}",
            "data.options.image_size=[360,480]",
        ]
    )
    num_classes = open_dataset_of(cfg).labels.num_classes
    plan, device = make_plan(cfg, build_model(cfg, num_classes))
    stock_cfg = cfg.copy()
    stock_cfg.trainer.plan = "stock"
    plain_plan, _ = make_plan(stock_cfg)
    apply_threads(plan)
    arms: dict[str, Callable[[], float]] = {
        "bare fp32": lambda: bare_step(cfg, num_classes, plain_plan, arguments.steps),
        "bare plan": lambda: bare_step(cfg, num_classes, plan, arguments.steps),
        "seglab": lambda: seglab_loop(cfg, plan, arguments.steps),
        "stock": lambda: stock_loop(cfg, arguments.steps),
    }
    results: dict[str, list[float]] = {name: [] for name in arms}
    for round_number in range(arguments.rounds):
        for name, arm in arms.items():
            results[name].append(arm())
        shown = "  ".join(f"{name} {values[-1]:.2f}" for name, values in results.items())
        print(f"round {round_number + 1}: {shown} img/s", flush=True)
    report(results, plan, device.name, arguments.json)


def report(
    results: dict[str, list[float]], plan: ExecutionPlan, device: str, target: Path | None
) -> None:
    """Print medians, and ratios: of the medians, and round by round so that drift cancels."""
    medians = {name: statistics.median(values) for name, values in results.items()}
    print(f"\n{device}; {plan.sentence()}")
    for name, value in medians.items():
        print(f"{name:>10}  {value:7.2f} img/s")
    figures = {}
    for name, above, below in (
        ("loop over bare step, same plan", "seglab", "bare plan"),
        ("loop over stock recipe", "seglab", "stock"),
        ("plan over fp32 NCHW, bare", "bare plan", "bare fp32"),
    ):
        rounds = [a / b for a, b in zip(results[above], results[below], strict=True)]
        figures[name] = {"of_medians": medians[above] / medians[below], "rounds": rounds}
        print(
            f"{name}: {figures[name]['of_medians']:.3f} of the medians; by rounds "
            f"{statistics.median(rounds):.3f} ({min(rounds):.3f} to {max(rounds):.3f})"
        )
    if target:
        target.write_text(json.dumps({"medians": medians, "ratios": figures, "rounds": results}))


if __name__ == "__main__":
    main()
