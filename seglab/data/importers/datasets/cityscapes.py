"""Cityscapes (Cordts et al., 2016), fine annotations: 19 evaluated classes out of 34 raw ids.

The masks are the `*_labelIds.png` of the download, so nothing has to be converted first. Frames of
one recorded sequence share a group. Public test masks are dummies, so test images are unlabeled.

References:
    Cordts et al. (2016): https://arxiv.org/abs/1604.01685
"""

from __future__ import annotations

from pathlib import Path

from seglab.core.errors import DataError
from seglab.core.labels import LabelSpace
from seglab.core.options import takes
from seglab.data.build import ImportedFiles, SampleFiles
from seglab.data.importers.layout import find_base
from seglab.data.importers.listing import Listing
from seglab.data.importers.options import CityscapesOptions

_IMAGE_ENDING = "_leftImg8bit.png"
_MASK_ENDING = "_gtFine_labelIds.png"
_LAST_RAW_ID = 33
_IGNORED = 255
# Raw id, name, colour of the 19 classes of the benchmark, in the order of its train ids.
CLASSES: tuple[tuple[int, str, tuple[int, int, int]], ...] = (
    (7, "road", (128, 64, 128)),
    (8, "sidewalk", (244, 35, 232)),
    (11, "building", (70, 70, 70)),
    (12, "wall", (102, 102, 156)),
    (13, "fence", (190, 153, 153)),
    (17, "pole", (153, 153, 153)),
    (19, "traffic light", (250, 170, 30)),
    (20, "traffic sign", (220, 220, 0)),
    (21, "vegetation", (107, 142, 35)),
    (22, "terrain", (152, 251, 152)),
    (23, "sky", (70, 130, 180)),
    (24, "person", (220, 20, 60)),
    (25, "rider", (255, 0, 0)),
    (26, "car", (0, 0, 142)),
    (27, "truck", (0, 0, 70)),
    (28, "bus", (0, 60, 100)),
    (31, "train", (0, 80, 100)),
    (32, "motorcycle", (0, 0, 230)),
    (33, "bicycle", (119, 11, 32)),
)


def cityscapes_labels() -> LabelSpace:
    """Return the 19 classes; every other raw id of the annotation is ignored."""
    raw_ids = dict.fromkeys(range(_LAST_RAW_ID + 1), _IGNORED)
    raw_ids |= {raw: index for index, (raw, _, _) in enumerate(CLASSES)}
    names = tuple(name for _, name, _ in CLASSES)
    return LabelSpace(names, tuple(colour for _, _, colour in CLASSES), raw_ids, _IGNORED)


@takes(CityscapesOptions, "data.options")
def import_cityscapes(root: Path, *, chosen: CityscapesOptions) -> ImportedFiles:
    """Find the images under `leftImg8bit` and their masks under `gtFine`.

    Args:
        root: Folder that holds `leftImg8bit` and `gtFine`.
        chosen: The fields of `CityscapesOptions`, each given by its name.

    Returns:
        Samples named `<city>_<sequence>_<frame>`, grouped by city and sequence.

    Raises:
        DataNotFoundError: The two folders are not there.
        DataError: An image's name is not of the Cityscapes form.
    """
    base = find_base(root, ["leftImg8bit", "gtFine"], (".", "cityscapes"))
    listing = Listing(root, base)
    samples: list[SampleFiles] = []
    notes: list[str] = []
    for folder, split in (("train", "train"), ("val", "val"), ("test", "unlabeled")):
        if folder == "test" and not chosen.test:
            continue
        images = listing.images(f"leftImg8bit/{folder}/*/*{_IMAGE_ENDING}")
        if not images:
            notes.append(f"no images in leftImg8bit/{folder}")
        samples += [_sample(base, image, folder, split) for image in images]
    if any(sample.split == "unlabeled" for sample in samples):
        notes.append("test images are unlabeled: their public masks are dummies")
    notes += listing.notes()
    return ImportedFiles(samples, cityscapes_labels(), "index", notes, listing.sources)


def _sample(base: Path, image: Path, folder: str, split: str) -> SampleFiles:
    sample_id = image.name.removesuffix(_IMAGE_ENDING)
    parts = sample_id.rsplit("_", 2)
    if len(parts) != 3:
        raise DataError(f"{image}: expected a name as <city>_<sequence>_<frame>{_IMAGE_ENDING}")
    mask = base / "gtFine" / folder / image.parent.name / f"{sample_id}{_MASK_ENDING}"
    group = f"{parts[0]}_{parts[1]}"
    return SampleFiles(sample_id, image, mask if split != "unlabeled" else None, split, group)
