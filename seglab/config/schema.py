"""What a configuration may hold: one dataclass a node, one field a key.

These classes are never instantiated. `seglab.config.walk` holds a composed configuration against
them and reports every difference. A field without a default must be in the YAML; one with a default
may be left out, because what the node builds has that default itself.

Nodes that are built from a `_target_` have their fields in `seglab.config.targets`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from seglab.config.augmentation import AugmentSpec
from seglab.config.cross_validation import SCHEMES
from seglab.config.evaluation import Predict, Suite
from seglab.config.fields import (
    Bounds,
    ChosenBy,
    Name,
    NotNegative,
    NotNegativeFloat,
    OnDisk,
    Positive,
    PositiveFloat,
    Size,
    Targets,
)
from seglab.config.importers import IMPORTER_OPTIONS
from seglab.config.study import STUDIES, Study

Auto = Literal["auto"]
Limit = Positive | None
Share = Annotated[float, Bounds(0, 1, low_open=True)]
Importer = Literal["folder", "camvid", "voc", "cityscapes", "ade20k", "oxford_pet", "synth"]


@dataclass
class Monitor:
    """The one score that decides: best checkpoint, early stopping, plateau, sweeps."""

    metric: Name
    mode: Literal["min", "max"]


@dataclass
class Data:
    """Where samples come from and how they are batched."""

    name: str
    importer: Importer
    root: str | None
    manifest: Annotated[str, OnDisk("file or folder")] | None
    options: Annotated[dict[str, Any], ChosenBy("importer", IMPORTER_OPTIONS)]
    image_size: Size | None
    crop_size: Size
    batch_size: Positive
    eval_batch_size: Positive
    drop_last: bool
    train_fraction: Share = 1.0
    # Numbers of bands, counted from 1 as in GDAL; null reads RGB, or all bands where there are others.
    bands: list[Positive] | None = None
    display_bands: tuple[Positive, Positive, Positive] | None = None


@dataclass(kw_only=True)
class EvaluationData(Data):
    """Another data set to score a run on."""

    split: Literal["train", "val", "test"]


@dataclass
class RunData:
    """The data a run was trained on; what is null stays as it was in the run."""

    importer: Literal["run"]
    split: Literal["train", "val", "test"]
    root: Annotated[str, OnDisk("folder")] | None
    manifest: Annotated[str, OnDisk("file or folder")] | None
    eval_batch_size: Positive | None


@dataclass
class Trainer:
    """How long to train, on what, and how the device is used."""

    max_epochs: Positive
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"]
    devices: Positive | list[NotNegative] | Auto
    plan: Literal["auto", "stock"]
    precision: Literal["auto", "fp32", "bf16", "fp16"]
    memory_format: Literal["auto", "channels_last", "contiguous"]
    compile: bool | Auto
    num_threads: Positive | Auto
    num_workers: NotNegative | Auto
    micro_batch_size: Positive | Literal["auto", "probe"]
    whole_batch_losses: Literal["approximate", "exact", "refuse"]
    gradient_clip: PositiveFloat | None
    ema_decay: Annotated[float, Bounds(0, 1, low_open=True, high_open=True)] | None
    val_every: Positive
    limit_train_batches: Limit
    limit_val_batches: Limit
    deterministic: bool


@dataclass
class LrScaling:
    """How the optimizer's learning rates follow data.batch_size; see `seglab.optim.lr_scaling`."""

    rule: Literal["none", "linear", "sqrt"]
    batch_size: Positive


@dataclass
class EvaluationTrainer:
    """How the device is used while scoring."""

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"]
    precision: Literal["auto", "fp32", "bf16", "fp16"]
    memory_format: Literal["auto", "channels_last", "contiguous"]
    num_threads: Positive | Auto
    num_workers: NotNegative | Auto
    limit_batches: Limit


@dataclass
class Checkpoint:
    """When weights are saved."""

    every_n_steps: NotNegative


@dataclass
class EarlyStopping:
    """When to give up; patience null never does."""

    patience: Positive | None
    min_delta: NotNegativeFloat


@dataclass
class Overlays:
    """Pictures of predictions on fixed validation images."""

    num_images: NotNegative


@dataclass
class Callbacks:
    """What happens beside the training."""

    checkpoint: Checkpoint
    early_stopping: EarlyStopping
    overlays: Overlays
    progress: Literal["auto", "rich", "plain", "off"]


@dataclass
class Wandb:
    """Weights & Biases: a view of the run record."""

    mode: Literal["auto", "online", "offline", "disabled"]
    project: str
    entity: str | None
    group: str | None
    log_model: bool
    log_every_n_steps: Positive


@dataclass
class Logger:
    """Where a run is shown beside its own record."""

    wandb: Wandb


@dataclass
class Metrics:
    """What is scored beside the model."""

    baseline: bool
    train_images: NotNegative


@dataclass
class Objective:
    """What the model has to reach; see `seglab.core.targets`."""

    targets: list[str]


@dataclass
class Paths:
    """The folders of this machine."""

    data_dir: str
    cache_dir: str
    runs_dir: str


@dataclass
class TrainConfig:
    """The whole of `seglab train`."""

    experiment_name: str
    run_name: str | None
    seed: NotNegative
    tags: list[Name]
    notes: str
    monitor: Monitor
    resume: None
    data: Data
    cv: Annotated[dict[str, Any], ChosenBy("scheme", SCHEMES, inside=True)]
    model: Annotated[dict[str, Any], Targets("model")]
    loss: Annotated[dict[str, Any], Targets("loss")]
    optimizer: Annotated[dict[str, Any], Targets("optimizer")]
    scheduler: Annotated[dict[str, Any], Targets("scheduler")]
    augment: AugmentSpec
    trainer: Trainer
    callbacks: Callbacks
    logger: Logger
    metrics: Metrics
    objective: Objective
    paths: Paths
    lr_scaling: LrScaling | None = None
    # Trials and runs of former versions have none.
    study: Annotated[
        dict[str, Any] | None, ChosenBy("sampler", STUDIES, inside=True, other=Study)
    ] = None


@dataclass
class EvaluateConfig:
    """The whole of `seglab evaluate`."""

    experiment_name: str
    run_name: str | None
    tags: list[Name]
    notes: str
    run: Annotated[str, OnDisk("folder")]
    checkpoint: str
    save_predictions: bool
    data: Annotated[
        dict[str, Any],
        ChosenBy("importer", {"run": RunData}, inside=True, other=EvaluationData),
    ]
    trainer: EvaluationTrainer
    suite: Suite
    predict: Predict
    logger: Logger
    objective: Objective
    paths: Paths


SCHEMA_OF = {"train": TrainConfig, "evaluate": EvaluateConfig}
