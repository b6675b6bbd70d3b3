"""What the importers of annotations may be told, beside what their format may."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator

from seglab.annotations.options import (
    CityscapesJsonOptions,
    CocoOptions,
    CvatMasksOptions,
    CvatOptions,
    LabelMeOptions,
    LabelStudioOptions,
    SuperviselyOptions,
    YoloOptions,
)
from seglab.core.options import Name, NotNegative, ProperFraction, broken_rule
from seglab.core.parts.components import component
from seglab.data.importers.options import Colour, ImporterOptions

IGNORE = "ignore"
VOID = "void"


def _below_the_root(folder: str) -> str:
    if Path(folder).is_absolute() or ".." in Path(folder).parts:
        raise broken_rule(
            f"expected a folder below the root, such as .seglab-masks, got {folder!r}"
        )
    return folder


class AnnotatedOptions(ImporterOptions):
    """What all importers of annotations take."""

    holds: ClassVar[str] = "images and their annotations"
    unlabelled: Name | None = None
    """What pixels of no shape are: `void` (they do not count), or a class, such as `background`. Must
    be given."""
    class_names: list[Name] | None = None
    """Class names in index order; null: those that the annotation files declare."""
    class_map: dict[Name, Name] = {}  # noqa: RUF012 - a declaration
    """Name in the annotations: class name, or `ignore`. Names that are in neither are refused, all of
    them with their counts."""
    palette: list[Colour] | None = None
    """One RGB triple a class."""
    images: str = "."
    """Folder (with its sub-folders) or glob pattern of the images below the root."""
    masks: Annotated[str, AfterValidator(_below_the_root)] = ".seglab-masks"
    """Folder below the root in which the masks are written, in one of its own for these options."""
    val_fraction: ProperFraction = 0.2
    """Share of the annotated images for validation, where the files name no splits."""
    test_fraction: ProperFraction = 0.0
    """Share for test, likewise."""
    seed: NotNegative = 0
    """Which ones."""
    group_pattern: str | None = None
    """Regular expression that finds the group in the image's path; null: no groups."""


@component("importer", "seglab.data.annotated.importer.import_labelme", "labelme")
class LabelMeImport(AnnotatedOptions, LabelMeOptions):
    """Images annotated with LabelMe."""

    holds: ClassVar[str] = "images and LabelMe's JSON files"


@component("importer", "seglab.data.annotated.importer.import_coco", "coco")
class CocoImport(AnnotatedOptions, CocoOptions):
    """Images annotated in COCO's JSON."""

    holds: ClassVar[str] = "images and COCO's JSON files"


@component("importer", "seglab.data.annotated.importer.import_yolo", "yolo")
class YoloImport(AnnotatedOptions, YoloOptions):
    """Images annotated in YOLO's text files."""

    holds: ClassVar[str] = "images, YOLO's text files and data.yaml, or that file itself"
    takes_file: ClassVar[bool] = True

    @classmethod
    def located(cls, root: Path, options: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
        """Take the data YAML itself as what is imported, wherever its images are."""
        if not root.is_file():
            return root, options
        from seglab.annotations.data_yaml import root_of_data

        folder, data, images = root_of_data(root)
        masks = (Path(images) / options["masks"]).as_posix()
        return folder, options | {"data": data, "images": images, "masks": masks}


@component("importer", "seglab.data.annotated.importer.import_cvat", "cvat")
class CvatImport(AnnotatedOptions, CvatOptions):
    """Images or frames of a video annotated with CVAT."""

    holds: ClassVar[str] = "images and CVAT's XML file"


@component("importer", "seglab.data.annotated.importer.import_cvat_masks", "cvat_masks")
class CvatMasksImport(AnnotatedOptions, CvatMasksOptions):
    """Images with the masks that CVAT exports."""

    holds: ClassVar[str] = "images, CVAT's masks and labelmap.txt"


@component("importer", "seglab.data.annotated.importer.import_label_studio", "label_studio")
class LabelStudioImport(AnnotatedOptions, LabelStudioOptions):
    """Images annotated with Label Studio."""

    holds: ClassVar[str] = "images and Label Studio's JSON file"


@component("importer", "seglab.data.annotated.importer.import_supervisely", "supervisely")
class SuperviselyImport(AnnotatedOptions, SuperviselyOptions):
    """A Supervisely project."""

    holds: ClassVar[str] = "a Supervisely project: meta.json, and img and ann a data set"


@component("importer", "seglab.data.annotated.importer.import_cityscapes_json", "cityscapes_json")
class CityscapesJsonImport(AnnotatedOptions, CityscapesJsonOptions):
    """Images annotated in Cityscapes' polygons, of its labels or of your own."""

    holds: ClassVar[str] = "images and *_polygons.json files of Cityscapes"
