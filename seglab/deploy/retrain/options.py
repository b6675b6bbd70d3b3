"""The options of `seglab retrain`."""

from __future__ import annotations

from typing import Annotated, Literal

from seglab.core.options import (
    Fraction,
    FromList,
    Name,
    NotNegativeFloat,
    OnDisk,
    OpenFraction,
    PositiveFloat,
)
from seglab.deploy.registry.options import InRegistry

Texts = Annotated[tuple[Name, ...], FromList]


class RetrainOptions(InRegistry):
    """What is trained anew, on what, and when it is promoted."""

    data: Annotated[Name, OnDisk("file or folder")]
    """The new version of the data: a manifest's folder or .parquet; its train and val are trained on."""
    holdout: Annotated[Name, OnDisk("file or folder")] | None = None
    """Manifest with the frozen images that both models are scored on; null: the same as `data`."""
    holdout_split: Literal["val", "test"] = "test"
    """The split of `holdout` that is frozen."""
    new_holdout: bool = False
    """Use a holdout other than the one that the registry's comparisons were made on."""
    run: Annotated[Name, OnDisk("folder")] | None = None
    """Folder of the run whose configuration is trained; null: the champion's, by its id in `runs_dir`."""
    runs_dir: Name = "runs"
    """Where runs are looked up, and the new one is kept."""
    start: Literal["finetune", "scratch"] = "finetune"
    """finetune: from the champion's weights, with `lr_factor`; scratch: as the run began."""
    lr_factor: PositiveFloat = 0.1
    """What the learning rate is multiplied by for a fine-tuning."""
    overrides: Texts = ()
    """Changes of the configuration, such as trainer.max_epochs=10."""
    margin: Fraction = 0.01
    """What the mIoU may lose: the interval of the difference must lie above -margin."""
    level: OpenFraction = 0.95
    """Confidence of that interval."""
    guard: Texts = ()
    """Slices that must be better or equal: class:NAME (its IoU), tag:NAME (mIoU of images with the tag)."""
    guard_tolerance: Fraction = 0.0
    """What a guarded slice may lose all the same."""
    max_latency_ms: PositiveFloat | None = None
    """Milliseconds an image (p95, decoding included, on this machine) of the new model at most."""
    audit: Texts = ("error",)
    """Kinds or severities of `seglab data audit` that stop it; none for no audit."""
    max_renamed: Fraction | None = 0.08
    """Share of new labels' pixels by which the champion may agree more under other class names; null: any."""
    max_label_errors: Fraction | None = None
    """Share of newly labelled images with labels that the champion takes for wrong, at most; null: any."""
    int8: bool = True
    """Try 8-bit integers for the bundle, as `seglab export`."""
    output: Name | None = None
    """Folder of what comes of it; null: below the registry's `retrain`, named by data and champion."""
    dry_run: bool = False
    """Check the data and say what would be done; nothing is trained or written."""
    max_miou_drop: NotNegativeFloat = 0.005
    """What the bundle may lose of its own run's mIoU, as `seglab export`."""
