"""What `seglab predict` may be told."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, model_validator

import seglab.annotations.options  # noqa: F401 - declares the formats
from seglab.core.options import (
    Fraction,
    FromList,
    Name,
    NotNegative,
    NotNegativeFloat,
    OneOf,
    Options,
    Positive,
    Size,
    broken_rule,
)
from seglab.core.parts.components import components

_FORMATS = tuple(components("annotation_format"))
_SHARD = re.compile(r"(\d+)/(\d+)")


def _a_shard(text: str) -> str:
    found = _SHARD.fullmatch(text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise broken_rule(f"expected i/n with i from 1 to n, such as 1/4, got {text!r}")
    return text


class PredictFilesOptions(Options):
    """What is predicted, what is written of it, and where the work is done."""

    bundle: Name
    """The bundle: a folder, or a zip of one, as `seglab export` writes it; or REGISTRY@champion."""
    input: Name
    """An image, a video, a folder (with its sub-folders), a pattern such as `images/*.png`, or a URL."""
    output: Name = "predictions"
    """Folder to write into; the same words again go on with what is left, and may ask for more outputs."""
    variant: Name | None = None
    """Which of the bundle's networks, such as `fp32` or `int8`; null: the one it prefers."""

    overlays: bool = False
    """Write the colours of the classes laid over the image, as JPEG (a video: MP4)."""
    overlay_alpha: Fraction = 0.55
    """Share of the class colour in overlays."""
    probabilities: bool = False
    """Write the probabilities of all classes, `.npy` of float16 (classes, H, W); of a GeoTIFF as one."""
    entropy: bool = False
    """Write how unsure each pixel is: the entropy of its probabilities, 255 at all classes alike."""
    areas: Literal["csv", "parquet", "none"] = "csv"
    """Table of the area of each class in each image."""
    annotations: Annotated[tuple[Annotated[str, OneOf(_FORMATS)], ...], FromList] = ()
    """Formats of annotation tools to write the masks in, such as `coco,labelme`."""
    annotation_images: Literal["copy", "link", "none"] = "copy"
    """Whether the images are put beside those annotations."""
    tolerance: NotNegativeFloat = 0.0
    """How far outlines in annotations may move, in pixels; 0 keeps what the format can hold."""
    unlabelled: Name = "void"
    """The class whose pixels no annotation covers; void: all classes are annotated."""

    whole_pixels: Positive = 2048 * 2048
    """Images of more pixels are read, predicted and written in bands, within bounded memory."""
    window: Size = (1024, 1024)
    """Windows of such an image, where the bundle itself does not predict by windows."""
    batch_size: Positive = 4
    """Images of one size that go through the network together."""
    threads: NotNegative = 0
    """Cores of the network; 0: all there are."""
    workers: Positive = 2
    """Threads that read files, and as many that write, beside the network."""

    shard: Annotated[str, AfterValidator(_a_shard)] | None = None
    """Which share of the files this call takes, such as `1/4`; null: all."""
    shards: Positive = 1
    """Share the files among so many processes, which this call starts and waits for."""
    launcher: Literal["local", "slurm", "ray"] = "local"
    """Where these run: on this machine, as SLURM jobs (submitit), or on a Ray cluster."""
    launcher_options: dict[str, Any] = {}  # noqa: RUF012 - a declaration
    """Of the launcher, as in conf/hydra/launcher, such as `launcher_options={partition: gpu}`."""

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        problems = []
        if self.shard is not None and self.shards > 1:
            problems.append(
                "shard says which share this call takes, shards=N starts them all: give one"
            )
        if self.shards == 1 and (self.launcher != "local" or self.launcher_options):
            problems.append(
                "launcher: starts the processes of shards=N, got shards=1; set shards=2 or more"
            )
        if problems:
            raise broken_rule(*problems)
        return self

    @property
    def place(self) -> tuple[int, int]:
        """Which share of how many; the first is 1."""
        first, _, last = (self.shard or "1/1").partition("/")
        return int(first), int(last)
