"""What a researcher brings: each part as plain as it can be."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
from torch import Tensor, nn

from seglab.core.labels import LabelSpace
from seglab.data.build import ImportedFiles, SampleFiles


class TinyNet(nn.Module):
    def __init__(
        self, num_classes: int, in_channels: int = 3, width: int = 8, dropout: float = 0.0
    ):
        super().__init__()
        self.body = nn.Conv2d(in_channels, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Conv2d(width, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.drop(self.norm(self.body(x)).relu()))


class PowerLoss(nn.Module):
    def __init__(self, ignore_index: int, power: float = 2.0):
        super().__init__()
        self.cross_entropy = nn.CrossEntropyLoss(ignore_index=ignore_index)
        self.power = power

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        return self.cross_entropy(logits, mask) ** self.power


def accuracy(confusion: np.ndarray) -> float:
    return np.trace(confusion) / confusion.sum()


class Darken:
    def __init__(self, by: float = 0.5):
        self.by = by

    def __call__(
        self, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        return (image * (1 - self.by * rng.random())).astype(image.dtype), mask


class Counter(pl.Callback):
    """Counts steps, slowly where asked to, and takes its count up after a resume."""

    def __init__(self, pause_s: float = 0.0):
        self.pause_s, self.steps = pause_s, 0

    def on_train_batch_end(self, trainer: pl.Trainer, *args: object) -> None:
        self.steps += 1
        time.sleep(self.pause_s)

    def on_fit_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        (Path(trainer.default_root_dir) / "steps.txt").write_text(str(self.steps))

    def state_dict(self) -> dict[str, int]:
        return {"steps": self.steps}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.steps = state["steps"]


def read(root: Path, suffix: str = ".png") -> ImportedFiles:
    names = sorted(path.name for path in (root / "img").glob(f"*{suffix}"))
    splits = ["train"] * (len(names) - 4) + ["val"] * 2 + ["test"] * 2
    samples = [
        SampleFiles(name, Path("img") / name, Path("ann") / name, split, group=name)
        for name, split in zip(names, splits, strict=True)
    ]
    return ImportedFiles(samples, LabelSpace(("back", "front")))
