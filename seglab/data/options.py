"""The options of the data of a run: where samples come from and how they are batched."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from annotated_types import Interval
from pydantic import Field

import seglab.data.annotated.options
import seglab.data.importers.options
import seglab.data.synth.options  # noqa: F401 - declare importers
from seglab.core.options import (
    ChosenBy,
    FromList,
    Name,
    OnDisk,
    OneOf,
    Options,
    Positive,
    PositiveFloat,
    Size,
)
from seglab.core.parts.components import components

Split = Literal["train", "val", "test"]
_IMPORTERS = dict(components("importer"))
_ImporterOptions = Annotated[dict[str, Any], ChosenBy("importer", _IMPORTERS, own="importer")]
_ManifestPath = Annotated[str, OnDisk("file or folder")] | None


class SamplingOptions(Options):
    """Which training images are drawn more often than others; an epoch stays as long as it is."""

    rarity: Annotated[float, Interval(gt=0, le=1)] | None = None
    """Images with classes that fewer than this share of the images hold are drawn more often: by the
    root of the share over that of their rarest class; null: all alike."""
    tags: dict[Name, PositiveFloat] = Field(default_factory=dict)
    """How many times as often images with a tag are drawn, such as `{night: 3}`."""


class DataOptions(Options):
    """Where samples come from and how they are batched."""

    name: str
    """Names the data set, and the folder of its runs."""
    importer: Annotated[str, OneOf(tuple(_IMPORTERS), or_own=True)]
    """What reads the folder."""
    root: str | None = None
    """The folder that holds the data."""
    manifest: _ManifestPath = None
    """A manifest that was written before, in place of importing."""
    options: _ImporterOptions = Field(default_factory=dict)
    """What the importer is told."""
    image_size: Size | None = None
    """Height and width that images are resized to on import; null leaves them."""
    crop_size: Size
    """Height and width of what the model trains on."""
    batch_size: Positive
    """Images of one optimizer step, over all devices."""
    eval_batch_size: Positive
    """Images that are scored at once."""
    drop_last: bool = True
    """Leave out the short training batch at the end of an epoch."""
    train_fraction: Annotated[float, Interval(gt=0, le=1)] = 1.0
    """Share of the training images that is trained on."""
    bands: list[Positive] | None = None
    """Numbers of bands, from 1 as in GDAL; null reads RGB, or all bands where there are others."""
    display_bands: Annotated[tuple[Positive, Positive, Positive], FromList] | None = None
    """The three bands that pictures show as red, green and blue."""
    sampling: SamplingOptions = Field(default_factory=SamplingOptions)
    """Which training images are drawn more often."""


class EvaluationDataOptions(DataOptions):
    """Another data set to score a run on."""

    split: Split = "val"
    """The split that is scored."""


class RunDataOptions(Options):
    """The data a run was trained on; what is null stays as it was in the run."""

    importer: Literal["run"] = "run"
    """That of the run."""
    split: Split = "val"
    """The split that is scored."""
    root: Annotated[str, OnDisk("folder")] | None = None
    """Where the data lies now."""
    manifest: _ManifestPath = None
    """A manifest of it."""
    eval_batch_size: Positive | None = None
    """Images that are scored at once."""
