"""ADE20K scene parsing (Zhou et al., 2017), the 150-class benchmark `ADEChallengeData2016`.

Raw 0 means "other" and is ignored; raw k is class k - 1.

References:
    Zhou et al. (2017): https://arxiv.org/abs/1608.05442
"""

from __future__ import annotations

from pathlib import Path

from seglab.core.errors import DataError
from seglab.core.labels import LabelSpace
from seglab.core.options import takes
from seglab.data.build import ImportedFiles, SampleFiles
from seglab.data.importers.layout import find_base
from seglab.data.importers.listing import Listing
from seglab.data.importers.options import Ade20kOptions

_NUM_CLASSES = 150
_IGNORED = 255
_INFO = "objectInfo150.txt"
_SCENES = "sceneCategories.txt"
# First word for each class in the order of objectInfo150.txt, for copies that lack the file.
CLASS_NAMES = tuple(
    (
        "wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, "
        "sidewalk, person, earth, door, table, mountain, plant, curtain, chair, car, "
        "water, painting, sofa, shelf, house, sea, mirror, rug, field, armchair, seat, "
        "fence, desk, rock, wardrobe, lamp, bathtub, railing, cushion, base, box, column, "
        "signboard, chest of drawers, counter, sand, sink, skyscraper, fireplace, "
        "refrigerator, grandstand, path, stairs, runway, case, pool table, pillow, "
        "screen door, stairway, river, bridge, bookcase, blind, coffee table, toilet, "
        "flower, book, hill, bench, countertop, stove, palm, kitchen island, computer, "
        "swivel chair, boat, bar, arcade machine, hovel, bus, towel, light, truck, tower, "
        "chandelier, awning, streetlight, booth, television receiver, airplane, "
        "dirt track, apparel, pole, land, bannister, escalator, ottoman, bottle, buffet, "
        "poster, stage, van, ship, fountain, conveyer belt, canopy, washer, plaything, "
        "swimming pool, stool, barrel, basket, waterfall, tent, bag, minibike, cradle, "
        "oven, ball, food, step, tank, trade name, microwave, pot, animal, bicycle, lake, "
        "dishwasher, screen, blanket, sculpture, hood, sconce, vase, traffic light, tray, "
        "ashcan, fan, pier, crt screen, plate, monitor, bulletin board, shower, radiator, "
        "glass, clock, flag"
    ).split(", ")
)


@takes(Ade20kOptions, "data.options")
def import_ade20k(root: Path, *, chosen: Ade20kOptions) -> ImportedFiles:
    """Find the images under `images/training` and `images/validation`.

    Args:
        root: Folder that holds `images` and `annotations`, or `ADEChallengeData2016` with them.
        chosen: The fields of `Ade20kOptions`, each given by its name.

    Returns:
        Splits train and val; class names from `objectInfo150.txt` (its first word for each class)
        or, without that file, the built-in ones.

    Raises:
        DataNotFoundError: The folders are not there.
        DataError: `objectInfo150.txt` does not list 150 classes.
    """
    needed = ["images/training", "annotations/training"]
    base = find_base(root, needed, (".", "ADEChallengeData2016"))
    notes: list[str] = []
    listing = Listing(root, base)
    scenes = (
        _read_scenes(listing.lines(_SCENES)) if chosen.scene_tags and listing.has(_SCENES) else {}
    )
    samples: list[SampleFiles] = []
    for folder, split in (("training", "train"), ("validation", "val")):
        images = listing.images(f"images/{folder}")
        if not images:
            notes.append(f"no images in images/{folder}: the {split} split is empty")
        for image in images:
            mask = base / "annotations" / folder / f"{image.stem}.png"
            tags = (scenes[image.stem],) if image.stem in scenes else ()
            samples.append(SampleFiles(image.stem, image, mask, split, image.stem, tags=tags))
    if listing.has(_INFO):
        names = _read_names(base / _INFO, listing.lines(_INFO))
    else:
        names = CLASS_NAMES
        notes.append(f"no {_INFO}: built-in class names are used")
    raw_ids = {0: _IGNORED} | {index + 1: index for index in range(_NUM_CLASSES)}
    labels = LabelSpace(names, (), raw_ids, _IGNORED)
    return ImportedFiles(samples, labels, "index", notes + listing.notes(), listing.sources)


def _read_names(path: Path, lines: list[str]) -> tuple[str, ...]:
    """Return the first word for each class, or all its words where the first one is taken."""
    names: dict[str, None] = {}
    for line in lines[1:]:
        words = line.split("\t")[-1].strip()
        first = words.split(",")[0].strip()
        names.setdefault(first if first not in names else words)
    if len(names) != _NUM_CLASSES:
        raise DataError(f"{path}: expected a header and {_NUM_CLASSES} classes, got {len(names)}")
    return tuple(names)


def _read_scenes(lines: list[str]) -> dict[str, str]:
    pairs = (line.split() for line in lines)
    return {pair[0]: pair[1] for pair in pairs if len(pair) >= 2}
