"""The options of each importer, as under `data.options`, and what its root folder holds.

References:
    Hariharan et al. (2011): https://doi.org/10.1109/ICCV.2011.6126343
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Interval

from seglab.core.options import FromList, Name, NotNegative, Options, ProperFraction, Words
from seglab.core.parts.components import component

Byte = Annotated[int, Interval(ge=0, le=255)]
Colour = Annotated[tuple[Byte, Byte, Byte], FromList, Words("three numbers in 0..255")]


class ImporterOptions(Options):
    """Base of the options of importers."""

    holds: ClassVar[str]
    """What the folder is to hold, for messages."""
    makes_data: ClassVar[bool] = False
    """Whether it makes the data itself, so that no folder need be there."""
    takes_file: ClassVar[bool] = False
    """Whether a file may stand for the folder, see `located`."""

    @classmethod
    def located(cls, root: Path, options: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
        """Return the folder of the data, and the options for it, where a file may stand for both."""
        return root, options


class OwnImporterOptions(ImporterOptions):
    """Those of an importer of your own that declares none."""

    holds: ClassVar[str] = "the data that your importer reads"


@component("importer", "seglab.data.importers.folder.import_folder", "folder")
class FolderOptions(ImporterOptions):
    """Folders of images and masks of your own."""

    holds: ClassVar[str] = "the images and masks (data.options names the sub-folders)"
    images: str = "images"
    """Folder (searched with its sub-folders) or glob pattern below the root, such as `images/*.jpg` or
    `*/images`."""
    masks: str | None = "masks"
    """Folder, in which a mask has its image's relative path or stem; or a pattern with `{stem}`,
    `{name}`, `{key}` (path below the images folder without suffix), `{folder}` (the image's folder
    below the root) and `{split}`; null: nothing is labelled."""
    class_names: list[Name] | None = None
    """Class names in index order; null: `class_0`, ... as far as the masks go."""
    palette: list[Colour] | None = None
    """One RGB triple a class."""
    mask_encoding: Literal["index", "colour"] = "index"
    """`colour`: then `palette` says which colour is which class."""
    binary: bool = False
    """Masks hold 0 and 255 (or 0 and 1): background and foreground."""
    raw_ids: dict[Any, Byte | Name] | Literal["identity"] | None = None
    """What each raw mask value, or range as `0-127`, means: a class index or name, or `ignore`; names
    make up `class_names` in the order given. `identity`: values are class indices, and `ignore_index`
    is ignored. null: inferred, where only one reading fits."""
    ignore_index: NotNegative | None = None
    """Value of pixels that do not count; null: 255, if the masks leave no doubt."""
    ignore_colour: Colour | None = None
    """RGB of pixels that do not count, for `mask_encoding=colour`; null: none, and black that is not in
    the palette is refused."""
    split: Literal["auto", "lists", "folders", "fractions"] = "auto"
    """Where splits come from; `auto`: the first of the others that the data allows."""
    lists: str = "{split}.txt"
    """Name of the list files below the root; a line is `image mask`, or one name, stem, key or path.
    Images in no list are left out, which is noted."""
    val_fraction: ProperFraction = 0.2
    """Share of samples for validation, for `fractions`."""
    test_fraction: ProperFraction = 0.0
    """Share of samples for test, for `fractions`."""
    seed: NotNegative = 0
    """Which draw, for `fractions`."""
    group_pattern: str | None = None
    """Regular expression that finds the group in the key; null: no groups."""
    allow_unlabeled: bool = False
    """Images without a mask become unlabeled rather than faults."""


@component("importer", "seglab.data.importers.datasets.camvid.import_camvid", "camvid")
class CamVidOptions(ImporterOptions):
    """CamVid in SegNet's layout."""

    holds: ClassVar[str] = "CamVid's images and label images"
    group_by_drive: bool = True
    """Group frames by drive; false makes every frame its own group."""


@component("importer", "seglab.data.importers.datasets.voc.import_voc", "voc")
class VocOptions(ImporterOptions):
    """PASCAL VOC."""

    holds: ClassVar[str] = "VOCdevkit/VOC2012"
    year: Name = "2012"
    """Part of the folder name."""
    train_list: str = "train"
    """List of training images; `train_aug` with `mask_folder=SegmentationClassAug` for the extra
    annotations of Hariharan et al. (2011)."""
    mask_folder: str = "SegmentationClass"
    """Folder of the masks."""


@component("importer", "seglab.data.importers.datasets.cityscapes.import_cityscapes", "cityscapes")
class CityscapesOptions(ImporterOptions):
    """Cityscapes."""

    holds: ClassVar[str] = "leftImg8bit and gtFine"
    test: bool = True
    """Include the test images, as unlabeled ones."""


@component("importer", "seglab.data.importers.datasets.ade20k.import_ade20k", "ade20k")
class Ade20kOptions(ImporterOptions):
    """ADE20K."""

    holds: ClassVar[str] = "ADEChallengeData2016"
    scene_tags: bool = True
    """Tag each sample with its scene from `sceneCategories.txt`, if that is there."""


@component("importer", "seglab.data.importers.datasets.oxford_pet.import_oxford_pet", "oxford_pet")
class OxfordPetOptions(ImporterOptions):
    """Oxford-IIIT Pet."""

    holds: ClassVar[str] = "images and annotations of Oxford-IIIT Pet"
    target: Literal["trimap", "binary"] = "trimap"
    """`trimap` (3 classes) or `binary` (2 classes, border ignored)."""
    val_fraction: ProperFraction = 0.2
    """Share of each breed's images outside test that become validation."""
    seed: NotNegative = 0
    """Which ones do."""
    download: bool = False
    """Fetch the data (800 MB) into `root/oxford-iiit-pet` through torchvision first."""


@component("importer", "seglab.data.importers.frameworks.mmseg.import_mmseg", "mmseg")
class MmsegOptions(ImporterOptions):
    """Folders as mmsegmentation has them."""

    holds: ClassVar[str] = "img_dir and ann_dir, as mmsegmentation has them"
    images: str = "img_dir/{split}"
    """Folder of the images below the root (`img_path`); `{split}` is `train` or `training`, `val` or
    `validation`, `test` or `testing`."""
    masks: str = "ann_dir/{split}"
    """Folder of the masks, likewise (`seg_map_path`)."""
    class_names: list[Name] | None = None
    """Names in index order, as in `METAINFO['classes']`. Must be given."""
    palette: list[Colour] | None = None
    """One RGB triple a class, as in `METAINFO['palette']`."""
    reduce_zero_label: bool = False
    """0 does not count, and raw k is class k - 1; `class_names` are then those without it."""
    img_suffix: str = ".jpg"
    """Ending of an image, which its mask has not."""
    seg_map_suffix: str = ".png"
    """Ending of its mask instead."""
    lists: str | None = None
    """Files that name the images of each split (`ann_file`), such as `splits/{split}.txt`: a line is a
    path below `images` without suffix; null: all images of the folder."""
    group_pattern: str | None = None
    """Regular expression that finds the group in `SPLIT/NAME`; null: no groups."""


@component("importer", "seglab.data.importers.frameworks.nnunet.import_nnunet", "nnunet")
class NnunetOptions(ImporterOptions):
    """A data set of nnU-Net: `dataset.json`, imagesTr, labelsTr, imagesTs."""

    holds: ClassVar[str] = "a folder of nnUNet_raw: dataset.json, imagesTr and labelsTr"
    labels: dict[Name, Any] | None = None
    """Name: value in the masks, or values, or `ignore: 3`, in the place of `labels` of `dataset.json`; for
    data sets whose regions overlap."""
    splits: str = "splits_final.json"
    """nnU-Net's folds, if this file is below the root (it writes it to `nnUNet_preprocessed`)."""
    fold: NotNegative = 0
    """Which of those folds is the validation."""
    val_fraction: ProperFraction = 0.2
    """Share of the training cases for validation, where there are no folds."""
    seed: NotNegative = 0
    """Which ones."""
    group_pattern: str | None = None
    """Regular expression that finds the group in the case's name, such as the patient; null: no groups."""
    stacked: str = ".seglab-images"
    """Folder below the root in which cases of several files become one array each."""
