"""The options around the training loop, as in `conf/trainer`, `callbacks` and `logger`, and `monitor`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from seglab.core.options import (
    Name,
    NotNegative,
    NotNegativeFloat,
    OpenFraction,
    Options,
    Positive,
    PositiveFloat,
    Targets,
)

Auto = Literal["auto"]

ProgressMode = Literal["auto", "rich", "plain", "off"]
WandbMode = Literal["auto", "online", "offline", "disabled"]


class DeviceOptions(Options):
    """How a device is used."""

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = "auto"
    """Kind of device; `auto` takes the fastest there is."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """What is computed in; `auto` takes half precision where the hardware multiplies it."""
    memory_format: Literal["auto", "channels_last", "contiguous"] = "auto"
    """Layout of images and convolution weights."""
    num_threads: Positive | Auto = "auto"
    """Threads that a process computes with; `auto`: its share of the cores, OMP_NUM_THREADS at the most."""
    num_workers: NotNegative | Auto = "auto"
    """Loader processes a device; `auto`: none on a CPU, on a GPU as many as cores and /dev/shm allow."""


class EvaluationTrainerOptions(DeviceOptions):
    """How the device is used while scoring."""

    limit_batches: Positive | None = None
    """Score only so many batches."""


class PlanOptions(DeviceOptions):
    """What the execution plan may choose (`auto`), and what is set by hand."""

    devices: Positive | list[NotNegative] | Auto = 1
    """How many, which by index, or `auto` for all."""
    plan: Literal["auto", "stock"] = "auto"
    """`auto` takes what is fast on this device, `stock` torch's own defaults."""
    compile: bool | Auto = "auto"
    """Whether the model goes through `torch.compile`; `auto`: where a run on a GPU is long enough."""


class TrainerOptions(PlanOptions):
    """How long to train, on what, and how the device is used."""

    max_epochs: Positive = 20
    """Passes over the training data."""
    micro_batch_size: Positive | Literal["auto", "probe"] = "auto"
    """Most images on a device at once; `auto` halves until it fits, `probe` tries before the first step."""
    whole_batch_losses: Literal["approximate", "exact", "refuse"] = "approximate"
    """What to do for losses that are no mean over images or pixels (Dice, Jaccard, Tversky and Lovasz
    without `per_image`, OHEM) where a batch is split: say so once, take a second forward pass, or stop."""
    gradient_clip: PositiveFloat | None = None
    """Largest norm of the gradient; null: any."""
    ema_decay: OpenFraction | None = None
    """Keep a moving average of the weights, such as 0.999; null: none."""
    val_every: Positive = 1
    """Epochs between validations."""
    limit_train_batches: Positive | None = None
    """Train on only so many batches an epoch."""
    limit_val_batches: Positive | None = None
    """Validate on only so many batches."""
    deterministic: bool = True
    """Use deterministic algorithms alone."""


class MonitorOptions(Options):
    """The one score that decides: best checkpoint, early stopping, plateau, sweeps."""

    metric: Name = "val/miou_present"
    """A score of the validation split, see `seglab metrics list`."""
    mode: Literal["min", "max"] = "max"
    """Which end of it is the best."""


class CheckpointOptions(Options):
    """When weights are saved."""

    every_n_steps: NotNegative = 200
    """A crash loses at most so many steps; 0 saves at the end of epochs only."""


class EarlyStoppingOptions(Options):
    """When to give up."""

    patience: Positive | None = None
    """Validations without gain before the run stops; null never stops."""
    min_delta: NotNegativeFloat = 0.0
    """Least change of the monitored score that is a gain."""


class OverlayOptions(Options):
    """Pictures of predictions on fixed validation images."""

    num_images: NotNegative = 8
    """How many; 0 draws none."""


class CallbackOptions(Options):
    """What happens beside the training."""

    checkpoint: CheckpointOptions = CheckpointOptions()
    """When weights are saved."""
    early_stopping: EarlyStoppingOptions = EarlyStoppingOptions()
    """When to give up."""
    overlays: OverlayOptions = OverlayOptions()
    """Pictures of predictions."""
    progress: ProgressMode = "auto"
    """How the progress is shown; `auto`: as a bar where there is a terminal, else as lines."""
    extra: dict[str, Annotated[dict[str, Any], Targets("callback")]] = Field(default_factory=dict)
    """Lightning callbacks of one's own, called after ours and before the checkpoint is written."""


class WandbOptions(Options):
    """Weights & Biases: a view of the run record."""

    mode: WandbMode = "auto"
    """`auto` is online where a key is set up, else offline."""
    project: str = "seglab"
    """W&B project."""
    entity: str | None = None
    """User or team; null: the default of the account."""
    group: str | None = None
    """Study or cross-validation the run belongs to; null: found by seglab."""
    log_model: bool = True
    """Register the best weights as an artifact."""
    log_every_n_steps: Positive = 20
    """Steps between two points of the curves of a step."""


class LoggerOptions(Options):
    """Where a run is shown beside its own record."""

    wandb: WandbOptions = WandbOptions()
    """Weights & Biases."""
