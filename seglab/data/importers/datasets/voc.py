"""PASCAL VOC segmentation (Everingham et al., 2010): 20 classes and background, palette masks.

The white border around objects (255) is ignored. The VOC2012 test images have no public masks. Data of
other classes in this layout names them in `labelmap.txt`, a line `label:...` a class in index order.

References:
    Everingham et al. (2010): https://doi.org/10.1007/s11263-009-0275-4
"""

from __future__ import annotations

from pathlib import Path

from seglab.core.labels import LabelSpace, voc_palette
from seglab.core.options import takes
from seglab.data.build import ImportedFiles, SampleFiles
from seglab.data.files.image_files import IMAGE_SUFFIXES
from seglab.data.importers.layout import find_base
from seglab.data.importers.listing import Listing
from seglab.data.importers.options import VocOptions

CLASS_NAMES = tuple(
    (
        "background, aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, "
        "diningtable, dog, horse, motorbike, person, pottedplant, sheep, sofa, train, "
        "tvmonitor"
    ).split(", ")
)
_BORDER = 255
_NAMES = "labelmap.txt"


@takes(VocOptions, "data.options")
def import_voc(root: Path, *, chosen: VocOptions) -> ImportedFiles:
    """Find the images listed in `ImageSets/Segmentation`.

    Args:
        root: Folder that holds `VOCdevkit`, or `VOC<year>`, or that folder itself.
        chosen: The fields of `VocOptions`, each given by its name.

    Returns:
        Splits train, val and, where `test.txt` is there, test; test images without masks become
        `unlabeled`.

    Raises:
        DataNotFoundError: The folders or the training list are not there.
    """
    train_file = f"ImageSets/Segmentation/{chosen.train_list}.txt"
    places = (f"VOCdevkit/VOC{chosen.year}", f"VOC{chosen.year}", ".")
    base = find_base(root, ["JPEGImages", chosen.mask_folder, train_file], places)
    listing = Listing(root, base)
    samples: list[SampleFiles] = []
    notes: list[str] = []
    for split, name_of_list in (("train", chosen.train_list), ("val", "val"), ("test", "test")):
        file = f"ImageSets/Segmentation/{name_of_list}.txt"
        if not listing.has(file):
            notes.append(f"no {name_of_list}.txt: the {split} split is empty")
            continue
        hidden = 0
        for line in listing.lines(file):
            name = Path(line.split()[0]).stem
            mask: Path | None = base / chosen.mask_folder / f"{name}.png"
            place = split
            if split == "test" and mask is not None and not mask.is_file():
                mask, place, hidden = None, "unlabeled", hidden + 1
            samples.append(SampleFiles(name, _image(base, name), mask, place, name))
        if hidden:
            notes.append(f"{hidden} test images have no mask and are unlabeled")
            listing.watch(base / chosen.mask_folder)
    names = CLASS_NAMES
    if listing.has(_NAMES):
        names = _names(listing)
        notes.append(f"classes taken from {_NAMES}")
    raw_ids = {index: index for index in range(len(names))} | {_BORDER: 255}
    labels = LabelSpace(names, voc_palette(len(names)), raw_ids)
    return ImportedFiles(samples, labels, "index", notes, listing.sources)


def _image(base: Path, name: str) -> Path:
    usual = base / "JPEGImages" / f"{name}.jpg"
    others = (usual.with_name(f"{name}{suffix}") for suffix in IMAGE_SUFFIXES)
    return usual if usual.is_file() else next((one for one in others if one.is_file()), usual)


def _names(listing: Listing) -> tuple[str, ...]:
    lines = (line.split(":")[0].strip() for line in listing.lines(_NAMES))
    return tuple(line for line in lines if line and not line.startswith("#"))
