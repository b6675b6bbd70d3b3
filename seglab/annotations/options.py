"""The formats of annotation tools and what each may be told, both ways."""

from __future__ import annotations

from typing import Literal

from seglab.core.options import NotNegative, Options, Positive
from seglab.core.parts.components import component


class FormatOptions(Options):
    """Base of the options of formats."""


@component("annotation_format", "seglab.annotations.formats.labelme.LabelMe", "labelme")
class LabelMeOptions(FormatOptions):
    """LabelMe: a JSON file beside each image."""

    line_width: Positive = 10
    """Width in pixels of lines, as LabelMe draws them."""


@component("annotation_format", "seglab.annotations.formats.coco.Coco", "coco")
class CocoOptions(FormatOptions):
    """COCO: JSON files of images, categories and annotations; panoptic PNG on import."""

    annotations: str = "*.json"
    """Pattern of the annotation files that are read, such as `instances_*.json`."""
    crowd: Literal["void", "draw", "skip"] = "void"
    """What regions marked `iscrowd` are: pixels that do not count, of their category, or not drawn."""
    overlaps: Literal["order", "smaller"] = "order"
    """What is on top: what comes later in the file, or what is smaller."""


@component("annotation_format", "seglab.annotations.formats.yolo.Yolo", "yolo")
class YoloOptions(FormatOptions):
    """YOLO: a text file of outlines an image, and data.yaml."""

    data: str | None = None
    """The YAML file with the names, below the root; null: the only one that has `names`."""


@component("annotation_format", "seglab.annotations.formats.cvat.Cvat", "cvat")
class CvatOptions(FormatOptions):
    """CVAT: one XML file, for images 1.1 or for video 1.1."""

    line_width: NotNegative = 0
    """Width in pixels of polylines, points are discs then; 0: both are left out and counted."""


@component("annotation_format", "seglab.annotations.formats.cvat_masks.CvatMasks", "cvat_masks")
class CvatMasksOptions(FormatOptions):
    """CVAT segmentation mask 1.1: coloured PNG files, and labelmap.txt."""


@component(
    "annotation_format", "seglab.annotations.formats.label_studio.LabelStudio", "label_studio"
)
class LabelStudioOptions(FormatOptions):
    """Label Studio: one JSON file of tasks, and the labelling configuration."""

    part: Literal["annotations", "predictions"] = "annotations"
    """Which part of a task is read or written: what people drew, or what a model proposed."""
    several: Literal["refuse", "first", "last"] = "refuse"
    """Which one counts where a task has several."""


@component("annotation_format", "seglab.annotations.formats.supervisely.Supervisely", "supervisely")
class SuperviselyOptions(FormatOptions):
    """Supervisely: meta.json and a JSON file an image, with bitmaps and polygons."""


@component(
    "annotation_format", "seglab.annotations.formats.cityscapes.Cityscapes", "cityscapes_json"
)
class CityscapesJsonOptions(FormatOptions):
    """Cityscapes: a JSON file of polygons an image; on export with its masks of ids."""


@component("annotation_format", "seglab.annotations.formats.masks.Masks", "masks")
class MasksOptions(FormatOptions):
    """Plain indexed PNG, for export; the importer `folder` reads them."""


@component("annotation_format", "seglab.annotations.formats.masks.VocMasks", "voc")
class VocMasksOptions(FormatOptions):
    """Masks in the layout of PASCAL VOC, for export; the importer `voc` reads them."""
