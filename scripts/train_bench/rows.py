"""What is trained in the benchmark: models, sizes, and drawn images with their manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from omegaconf import DictConfig

from seglab.config.compose import compose
from seglab.data.loading.cache import PackedCache
from seglab.experiment.parts import Dataset, open_dataset_of


@dataclass(frozen=True)
class Row:
    """One network, for all recipes alike.

    Attributes:
        model: seglab's name of the architecture.
        encoder: timm's name of the encoder.
        stock: The class of segmentation-models-pytorch.
    """

    model: str
    encoder: str
    stock: str

    @property
    def name(self) -> str:
        """For tables."""
        return f"{self.model}/{self.encoder}"


ROWS = {
    "unet": Row("unet", "resnet34", "Unet"),
    "deeplabv3plus": Row("deeplabv3plus", "resnet50", "DeepLabV3Plus"),
    "segformer": Row("segformer", "mit_b0", "Segformer"),
}


@dataclass(frozen=True)
class Sizes:
    """How much is trained.

    Attributes:
        crop: Height and width in pixels; images have a margin of a quarter on each side.
        batch_size: Images of a step.
        steps: Steps of one measurement, the warm-up included.
        rounds: Measurements of each recipe, in turn.
    """

    crop: tuple[int, int]
    batch_size: int
    steps: int
    rounds: int


ON_CPU = Sizes((192, 256), 8, 24, 5)
ON_CUDA = Sizes((512, 512), 16, 64, 3)
QUICK = Sizes((64, 64), 2, 6, 1)


def compose_row(row: Row, sizes: Sizes, device: str, words: Sequence[str] = ()) -> DictConfig:
    """Return the configuration of one network at one size."""
    height, width = (side + side // 4 for side in sizes.crop)
    return compose(
        [
            "data=synth",
            f"model={row.model}",
            f"model.encoder_name={row.encoder}",
            "augment=standard",
            "loss=ce",
            f"data.crop_size=[{sizes.crop[0]},{sizes.crop[1]}]",
            f"data.batch_size={sizes.batch_size}",
            f"data.options.image_size=[{height},{width}]",
            "data.options.num_images=30",
            "data.options.frames_per_group=2",
            f"trainer.accelerator={device}",
            *words,
        ]
    )


def repeated_images(cfg: DictConfig, steps: int, folder: Path) -> Dataset:
    """Return drawn images, each so often that an epoch has all steps, with a cache of their own.

    Drawing thousands of images would take longer than the measurement; reading one twice costs as
    much as reading two.
    """
    drawn = open_dataset_of(cfg)
    table = drawn.manifest.table
    train = table[table["split"] == "train"]
    copies = -(-steps * cfg.data.batch_size // len(train))
    more = (
        train.assign(sample_id=train["sample_id"] + f"-{number}") for number in range(1, copies)
    )
    parts = [table, *more]
    manifest = drawn.manifest.with_table(pd.concat(parts, ignore_index=True))
    return Dataset(manifest, PackedCache.open(manifest, folder))
