"""The keys under `data.options`: the keyword options of each importer, a floor below it.

A test compares names and defaults with the importers' signatures.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from annotated_types import Interval

from seglab.core.options import (
    Fraction,
    FromList,
    Name,
    NotNegative,
    Options,
    Positive,
    ProperFraction,
)

Byte = Annotated[int, Interval(ge=0, le=255)]
Colour = Annotated[tuple[Byte, Byte, Byte], FromList]
Side = Annotated[int, Interval(ge=48, le=1024)]


class Folder(Options):
    """Folders of images and masks of your own."""

    images: str = "images"
    masks: str | None = "masks"
    class_names: list[Name] | None = None
    palette: list[Colour] | None = None
    mask_encoding: Literal["index", "colour"] = "index"
    binary: bool = False
    raw_ids: dict[Any, Byte | Name] | Literal["identity"] | None = None
    ignore_index: Byte | None = None
    ignore_colour: Colour | None = None
    split: Literal["auto", "lists", "folders", "fractions"] = "auto"
    lists: str = "{split}.txt"
    val_fraction: ProperFraction = 0.2
    test_fraction: ProperFraction = 0.0
    seed: NotNegative = 0
    group_pattern: str | None = None
    allow_unlabeled: bool = False


class CamVid(Options):
    """CamVid in SegNet's layout."""

    group_by_drive: bool = True


class Voc(Options):
    """PASCAL VOC."""

    year: Name = "2012"
    train_list: str = "train"
    mask_folder: str = "SegmentationClass"


class Cityscapes(Options):
    """Cityscapes."""

    test: bool = True


class Ade20k(Options):
    """ADE20K."""

    scene_tags: bool = True


class OxfordPet(Options):
    """Oxford-IIIT Pet."""

    target: Literal["trimap", "binary"] = "trimap"
    val_fraction: ProperFraction = 0.2
    seed: NotNegative = 0
    download: bool = False


class Synth(Options):
    """Scenes drawn by seglab itself."""

    num_images: Positive = 240
    image_size: Annotated[tuple[Side, Side], FromList] = (192, 256)
    frames_per_group: Positive = 6
    val_fraction: Fraction = 0.2
    test_fraction: Fraction = 0.2
    seed: NotNegative = 0
    void_border: Annotated[int, Interval(ge=0, le=8)] = 1
    noise_boundary: Fraction = 0.0
    noise_missing: Fraction = 0.0
    noise_swap: Fraction = 0.0
    noise_shift: Fraction = 0.0
    noise_splits: str = "train"
    near_duplicates: NotNegative = 0
    corrupt_files: NotNegative = 0
    class_imbalance: Fraction = 0.0
    domain_shift: Literal["none", "night", "fog", "blur", "colour", "noise"] = "none"


IMPORTER_OPTIONS: dict[str, type] = {
    "folder": Folder,
    "camvid": CamVid,
    "voc": Voc,
    "cityscapes": Cityscapes,
    "ade20k": Ade20k,
    "oxford_pet": OxfordPet,
    "synth": Synth,
}
