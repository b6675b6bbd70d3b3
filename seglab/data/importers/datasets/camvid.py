"""CamVid as it comes with the SegNet tutorial: 360 x 480 frames, 11 classes, three list files.

Brostow, Fauqueur, Cipolla (2009), Semantic object classes in video; Badrinarayanan, Kendall,
Cipolla (2017), SegNet. Frames of one drive look alike, so a frame's group is its drive, the part of
its name before `_`. The official validation frames come from a drive that is in training too.

References:
    Badrinarayanan et al. (2017): https://arxiv.org/abs/1511.00561
    Brostow et al. (2009): https://doi.org/10.1016/j.patrec.2008.04.005
"""

from __future__ import annotations

from pathlib import Path

from seglab.core.labels import LabelSpace
from seglab.core.options import takes
from seglab.data.build import ImportedFiles, SampleFiles
from seglab.data.importers.layout import find_base, locate
from seglab.data.importers.listing import Listing
from seglab.data.importers.options import CamVidOptions

VOID = 11
# With the colours in which the SegNet tutorial draws them; the masks hold indices, not colours.
_COLOURS = {
    "sky": (128, 128, 128),
    "building": (128, 0, 0),
    "pole": (192, 192, 128),
    "road": (128, 64, 128),
    "pavement": (60, 40, 222),
    "tree": (128, 128, 0),
    "sign": (192, 128, 128),
    "fence": (64, 64, 128),
    "car": (64, 0, 128),
    "pedestrian": (64, 64, 0),
    "bicyclist": (0, 128, 192),
}
CLASS_NAMES = tuple(_COLOURS)


@takes(CamVidOptions, "data.options")
def import_camvid(root: Path, *, chosen: CamVidOptions) -> ImportedFiles:
    """Find the CamVid frames listed in `train.txt`, `val.txt` and `test.txt`.

    Args:
        root: Folder of the list files (or its `CamVid` sub-folder).
        chosen: The fields of `CamVidOptions`, each given by its name.

    Returns:
        Samples of the lists that are there; a missing `test.txt` or `val.txt` is noted.

    Raises:
        DataNotFoundError: There is no `train.txt`.
    """
    base = find_base(root, ["train.txt"], (".", "CamVid"))
    listing = Listing(root, base)
    samples: list[SampleFiles] = []
    notes: list[str] = []
    for split in ("train", "val", "test"):
        if not listing.has(f"{split}.txt"):
            notes.append(f"no {split}.txt: the {split} split is empty")
            continue
        for image, mask in listing.pairs(f"{split}.txt"):
            path = base / locate(base, image)
            mask_path = locate(base, mask or f"{split}annot/{path.name}")
            drive = path.stem.split("_")[0] if chosen.group_by_drive else path.stem
            samples.append(SampleFiles(path.stem, path, base / mask_path, split, drive))
    raw_ids = {index: index for index in range(len(CLASS_NAMES))} | {VOID: 255}
    labels = LabelSpace(CLASS_NAMES, tuple(_COLOURS.values()), raw_ids)
    return ImportedFiles(samples, labels, "index", notes, listing.sources)
