"""What a configuration may hold: one declaration a node, one field a key.

`seglab.config.check` holds a composed configuration against them and reports every difference. A field
without a default must be in the YAML; one with a default may be left out, because what the node builds
has that default itself.

Nodes that are built from a `_target_` are declared beside what is built, see `seglab.config.targets`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from annotated_types import Interval
from pydantic import Field

import seglab.data.importers.options
import seglab.data.synth.options  # noqa: F401 - declare importers
from seglab.augment.options import AugmentSpec
from seglab.config.cross_validation import SCHEMES
from seglab.config.evaluation import Predict, Suite
from seglab.config.study import STUDIES, Study
from seglab.core.components import components
from seglab.core.options import (
    ChosenBy,
    FromList,
    Name,
    NotNegative,
    NotNegativeFloat,
    OnDisk,
    OneOf,
    Options,
    Positive,
    PositiveFloat,
    Size,
    Targets,
)

Auto = Literal["auto"]
Limit = Positive | None
Share = Annotated[float, Interval(gt=0, le=1)]
Importer = Annotated[str, OneOf(tuple(components("importer")))]


class Monitor(Options):
    """The one score that decides: best checkpoint, early stopping, plateau, sweeps."""

    metric: Name
    mode: Literal["min", "max"]


class Data(Options):
    """Where samples come from and how they are batched."""

    name: str
    importer: Importer
    root: str | None
    manifest: Annotated[str, OnDisk("file or folder")] | None
    options: Annotated[dict[str, Any], ChosenBy("importer", dict(components("importer")))]
    image_size: Size | None
    crop_size: Size
    batch_size: Positive
    eval_batch_size: Positive
    drop_last: bool
    train_fraction: Share = 1.0
    # Numbers of bands, counted from 1 as in GDAL; null reads RGB, or all bands where there are others.
    bands: list[Positive] | None = None
    display_bands: Annotated[tuple[Positive, Positive, Positive], FromList] | None = None


class EvaluationData(Data):
    """Another data set to score a run on."""

    split: Literal["train", "val", "test"]


class RunData(Options):
    """The data a run was trained on; what is null stays as it was in the run."""

    importer: Literal["run"]
    split: Literal["train", "val", "test"]
    root: Annotated[str, OnDisk("folder")] | None
    manifest: Annotated[str, OnDisk("file or folder")] | None
    eval_batch_size: Positive | None


class Trainer(Options):
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
    ema_decay: Annotated[float, Interval(gt=0, lt=1)] | None
    val_every: Positive
    limit_train_batches: Limit
    limit_val_batches: Limit
    deterministic: bool


class LrScaling(Options):
    """How the optimizer's learning rates follow data.batch_size; see `seglab.optim.lr_scaling`."""

    rule: Literal["none", "linear", "sqrt"]
    batch_size: Positive


class EvaluationTrainer(Options):
    """How the device is used while scoring."""

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"]
    precision: Literal["auto", "fp32", "bf16", "fp16"]
    memory_format: Literal["auto", "channels_last", "contiguous"]
    num_threads: Positive | Auto
    num_workers: NotNegative | Auto
    limit_batches: Limit


class Checkpoint(Options):
    """When weights are saved."""

    every_n_steps: NotNegative


class EarlyStopping(Options):
    """When to give up; patience null never does."""

    patience: Positive | None
    min_delta: NotNegativeFloat


class Overlays(Options):
    """Pictures of predictions on fixed validation images."""

    num_images: NotNegative


class Callbacks(Options):
    """What happens beside the training."""

    checkpoint: Checkpoint
    early_stopping: EarlyStopping
    overlays: Overlays
    progress: Literal["auto", "rich", "plain", "off"]


class Wandb(Options):
    """Weights & Biases: a view of the run record."""

    mode: Literal["auto", "online", "offline", "disabled"]
    project: str
    entity: str | None
    group: str | None
    log_model: bool
    log_every_n_steps: Positive


class Logger(Options):
    """Where a run is shown beside its own record."""

    wandb: Wandb


class Metrics(Options):
    """What is scored beside the model."""

    baseline: bool
    train_images: NotNegative


class Objective(Options):
    """What the model has to reach; see `seglab.core.targets`."""

    targets: list[str]


class Paths(Options):
    """The folders of this machine."""

    data_dir: str
    cache_dir: str
    runs_dir: str


class TrainConfig(Options):
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
    plugins: list[Name] = Field(default_factory=list)
    # Trials and runs of former versions have none.
    study: Annotated[
        dict[str, Any] | None, ChosenBy("sampler", STUDIES, inside=True, other=Study)
    ] = None


class EvaluateConfig(Options):
    """The whole of `seglab evaluate`."""

    experiment_name: str
    run_name: str | None
    tags: list[Name]
    notes: str
    run: Annotated[str, OnDisk("folder")]
    checkpoint: str
    save_predictions: bool
    data: Annotated[
        dict[str, Any], ChosenBy("importer", {"run": RunData}, inside=True, other=EvaluationData)
    ]
    trainer: EvaluationTrainer
    suite: Suite
    predict: Predict
    logger: Logger
    objective: Objective
    paths: Paths
    plugins: list[Name] = Field(default_factory=list)


SCHEMA_OF = {"train": TrainConfig, "evaluate": EvaluateConfig}
