"""Oxford-IIIT Pet (Parkhi et al., 2012): 37 breeds, one pet per image, masks with three values.

The trimaps hold 1 pet, 2 background, 3 the border between them, which nobody drew exactly. No two
images are known to share a scene, so every image is its own group.

References:
    Parkhi et al. (2012): https://doi.org/10.1109/CVPR.2012.6248092
"""

from __future__ import annotations

from pathlib import Path

from seglab.core.labels import LabelSpace
from seglab.core.options import takes
from seglab.core.seeding import generator
from seglab.data.build import ImportedFiles, SampleFiles
from seglab.data.importers.layout import find_base
from seglab.data.importers.listing import Listing
from seglab.data.importers.options import OxfordPetOptions

_PET, _BACKGROUND, _BORDER = 1, 2, 3
_IGNORED = 255
_FOLDER = "oxford-iiit-pet"
_SPECIES = {"1": "cat", "2": "dog"}


def pet_labels(target: str) -> LabelSpace:
    """Return the classes of a target.

    `"trimap"`: pet, background, border. `"binary"`: background, pet, and the border ignored.
    """
    if target == "binary":
        raw_ids = {_BACKGROUND: 0, _PET: 1, _BORDER: _IGNORED}
        return LabelSpace(("background", "pet"), ((0, 0, 0), (230, 120, 30)), raw_ids)
    palette = ((230, 120, 30), (40, 40, 40), (250, 230, 90))
    raw_ids = {_PET: 0, _BACKGROUND: 1, _BORDER: 2}
    return LabelSpace(("pet", "background", "border"), palette, raw_ids)


@takes(OxfordPetOptions, "data.options")
def import_oxford_pet(root: Path, *, chosen: OxfordPetOptions) -> ImportedFiles:
    """Find the images listed in `annotations/trainval.txt` and `test.txt`, or else in `list.txt`.

    Args:
        root: Folder that holds `images` and `annotations`, or their parent `oxford-iiit-pet`.
        chosen: The fields of `OxfordPetOptions`, each given by its name.

    Returns:
        Samples tagged with species and breed; without `test.txt` the test split is empty.

    Raises:
        ConfigError: An option is wrong.
        DataNotFoundError: The folders are not there.
    """
    if chosen.download:
        # Imported here: torchvision takes seconds, and only this one line needs it.
        from torchvision.datasets import OxfordIIITPet

        OxfordIIITPet(root, target_types="segmentation", download=True)
    base = find_base(root, ["images", "annotations/trimaps"], (".", _FOLDER))
    listing = Listing(root, base / "annotations")
    notes: list[str] = []
    # Both are asked for, so that either is noticed when it comes.
    official = [listing.has("trainval.txt"), listing.has("test.txt")]
    if all(official):
        pool, test = listing.lines("trainval.txt"), listing.lines("test.txt")
    else:
        pool, test = listing.lines("list.txt"), []
        notes.append("no trainval.txt and test.txt: all of list.txt is split, test is empty")
    held_out = _validation(pool, chosen.val_fraction, chosen.seed)
    samples = [_sample(base, line, "val" if line in held_out else "train") for line in pool]
    samples += [_sample(base, line, "test") for line in test]
    notes.append(
        f"{len(held_out)} of {len(pool)} images outside test drawn as validation, "
        f"seed {chosen.seed}"
    )
    return ImportedFiles(samples, pet_labels(chosen.target), "index", notes, listing.sources)


def _validation(lines: list[str], fraction: float, seed: int) -> set[str]:
    """Draw a share of each breed, so that small validation sets hold all of them."""
    breeds: dict[str, list[str]] = {}
    for line in sorted(lines):
        breeds.setdefault(_breed(line.split()[0]), []).append(line)
    chosen: set[str] = set()
    for breed, members in breeds.items():
        order = generator(seed, "oxford_pet", breed).permutation(len(members))
        chosen |= {members[index] for index in order[: round(fraction * len(members))]}
    return chosen


def _breed(name: str) -> str:
    return name.rsplit("_", 1)[0]


def _sample(base: Path, line: str, split: str) -> SampleFiles:
    name, *numbers = line.split()
    tags = [_breed(name)]
    if len(numbers) >= 2 and numbers[1] in _SPECIES:
        tags.append(_SPECIES[numbers[1]])
    image = base / "images" / f"{name}.jpg"
    mask = base / "annotations" / "trimaps" / f"{name}.png"
    return SampleFiles(name, image, mask, split, name, tags=tuple(tags))
