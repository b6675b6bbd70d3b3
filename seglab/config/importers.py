"""The keys under `data.options`: the keyword options of each importer, a floor below it.

A test compares names and defaults with the importers' signatures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from seglab.config.fields import Bounds, Fraction, Name, NotNegative, Positive, ProperFraction

Byte = Annotated[int, Bounds(0, 255)]
Side = Annotated[int, Bounds(48, 1024)]


@dataclass
class Folder:
    """Folders of images and masks of your own."""

    images: str = "images"
    masks: str | None = "masks"
    class_names: list[Name] | None = None
    palette: list[tuple[Byte, Byte, Byte]] | None = None
    mask_encoding: Literal["index", "colour"] = "index"
    binary: bool = False
    raw_ids: dict[Any, Byte | Name] | Literal["identity"] | None = None
    ignore_index: Byte | None = None
    ignore_colour: tuple[Byte, Byte, Byte] | None = None
    split: Literal["auto", "lists", "folders", "fractions"] = "auto"
    lists: str = "{split}.txt"
    val_fraction: ProperFraction = 0.2
    test_fraction: ProperFraction = 0.0
    seed: NotNegative = 0
    group_pattern: str | None = None
    allow_unlabeled: bool = False


@dataclass
class CamVid:
    """CamVid in SegNet's layout."""

    group_by_drive: bool = True


@dataclass
class Voc:
    """PASCAL VOC."""

    year: Name = "2012"
    train_list: str = "train"
    mask_folder: str = "SegmentationClass"


@dataclass
class Cityscapes:
    """Cityscapes."""

    test: bool = True


@dataclass
class Ade20k:
    """ADE20K."""

    scene_tags: bool = True


@dataclass
class OxfordPet:
    """Oxford-IIIT Pet."""

    target: Literal["trimap", "binary"] = "trimap"
    val_fraction: ProperFraction = 0.2
    seed: NotNegative = 0
    download: bool = False


@dataclass
class Synth:
    """Scenes drawn by seglab itself."""

    num_images: Positive = 240
    image_size: tuple[Side, Side] = (192, 256)
    frames_per_group: Positive = 6
    val_fraction: Fraction = 0.2
    test_fraction: Fraction = 0.2
    seed: NotNegative = 0
    void_border: Annotated[int, Bounds(0, 8)] = 1
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
