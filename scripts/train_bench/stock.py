"""The stock recipe: segmentation-models-pytorch + Lightning + albumentations at their defaults."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import segmentation_models_pytorch as smp
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from seglab.data.manifest import Manifest
from seglab.engine.device.facts import available_cores
from train_bench.arms import plain_loss
from train_bench.gauges import Clock, StepTimes
from train_bench.rows import Row, Sizes

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # It asks the network for news when imported.


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

    def __init__(self, row: Row, num_classes: int) -> None:
        super().__init__()
        build = getattr(smp, row.stock)
        self.model = build(row.encoder, encoder_weights=None, classes=num_classes)
        self.loss = plain_loss()

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        """Return the loss of one batch."""
        image, mask = batch
        return self.loss(self.model(image), mask)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer of the examples."""
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


def stock_loop(
    row: Row, sizes: Sizes, manifest: Manifest, device: str, times: StepTimes, workers: int
) -> None:
    """Train by the stock recipe."""
    rows = manifest.split("train")
    files = [
        (manifest.root / image, manifest.root / mask)
        for image, mask in zip(rows["image"], rows["mask"], strict=True)
    ]
    wanted = times.steps * sizes.batch_size
    files = (files * (wanted // len(files) + 1))[:wanted]
    loader = DataLoader(
        StockDataset(files, sizes.crop), sizes.batch_size, shuffle=True, num_workers=workers
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(
            accelerator=device,
            devices=1,
            max_epochs=1,
            callbacks=[Clock(times)],
            default_root_dir=folder,
            enable_progress_bar=False,
            enable_model_summary=False,
            logger=False,
            enable_checkpointing=False,
        )
        trainer.fit(StockModule(row, manifest.labels.num_classes), loader)


def tuned_workers(row: Row, sizes: Sizes, manifest: Manifest, device: str) -> int:
    """Return the number of loader workers with which the stock recipe is fastest here.

    On a CPU that is none: they take from the step what they give to the loader.
    """
    if device == "cpu":
        return 0
    cores, steps = available_cores(), min(sizes.steps, 24)
    rates = {}
    for workers in sorted({max(1, cores // 2), cores}):
        times = StepTimes(device, steps)
        stock_loop(row, sizes, manifest, device, times, workers)
        rates[workers] = times.images_per_second(sizes.batch_size)
    return max(rates, key=lambda workers: rates[workers])
