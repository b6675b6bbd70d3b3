"""From annotated images to a manifest: shapes are drawn into masks, names become classes.

A mask is written for every annotated image, as PNG of class indices, into a folder of its own below the
root; images and annotations are only read. Names of classes are those that the user or the files
state; any other is told with its count and nothing is imported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from seglab.annotations.format import AnnotationFormat, annotation_format
from seglab.annotations.rasterise import Canvas
from seglab.annotations.reading import Tree, require_pixels
from seglab.annotations.shapes import AnnotatedImage, Annotations
from seglab.core.disk.files import hash_json
from seglab.core.disk.mask_png import write_mask
from seglab.core.errors import (
    ConfigError,
    DataError,
    DataNotFoundError,
    LabelError,
    list_problems,
    nearest,
)
from seglab.core.labels import LabelSpace, default_palette
from seglab.core.parts.components import components
from seglab.core.text.option_words import option_name, option_word
from seglab.data.annotated.options import IGNORE, VOID, AnnotatedOptions
from seglab.data.build import ImportedFiles, SampleFiles
from seglab.data.build.drawn_splits import Draw
from seglab.data.build.splitting import group_by_pattern, split_groups
from seglab.data.files.images import image_size
from seglab.data.importers.layout import find_base, holding
from seglab.data.importers.listing import Listing

_IGNORED = 255
# Key of what pixels of no shape are, beside the names of classes.
UNLABELLED = ""


def _importer(name: str) -> Callable[..., ImportedFiles]:
    """Return the importer of a format: `read(root, **options)`."""

    def read(root: Path, **given: Any) -> ImportedFiles:
        declared: Any = components("importer")[name]
        chosen = declared.read(given, "data.options")
        own: Any = components("annotation_format")[name]
        options = own.read({key: getattr(chosen, key) for key in own.model_fields})
        return import_annotated(name, annotation_format(name, options), root, chosen)

    read.__doc__ = f"Import images annotated in the format `{name}`, see `import_annotated`."
    return read


import_labelme = _importer("labelme")
import_coco = _importer("coco")
import_yolo = _importer("yolo")
import_cvat = _importer("cvat")
import_cvat_masks = _importer("cvat_masks")
import_label_studio = _importer("label_studio")

import_supervisely = _importer("supervisely")
import_cityscapes_json = _importer("cityscapes_json")


def import_annotated(
    name: str, annotation: AnnotationFormat, root: Path, chosen: AnnotatedOptions
) -> ImportedFiles:
    """Draw the masks of annotated images, and give each image a split and a group.

    Args:
        name: Of the format.
        annotation: The format.
        root: Folder of images and annotations.
        chosen: What was asked for.

    Returns:
        Samples; images that nobody has annotated are `unlabeled`. Broken annotations are among its
        `faults`.

    Raises:
        ConfigError: It is not said what unlabelled pixels are.
        DataNotFoundError: There are no images.
        DataError: There are no annotations, none can be read, or too few are left for the splits.
        LabelError: Names that are no class; all of them, with their counts.
    """
    if chosen.unlabelled is None:
        raise ConfigError(
            f"{option_name('unlabelled')}: what pixels of no shape are must be said: `void` (they do not "
            "count) or the name of a class, such as `background`"
        )
    root = find_base(root, [])
    listing = Listing(root)
    paths = [path.relative_to(root).as_posix() for path in listing.images(chosen.images)]
    if not paths:
        raise DataNotFoundError(
            f"no image files in {root / chosen.images}; {holding(root)}. Check the option 'images'"
        )
    found = annotation.read(Tree(root, paths))
    for source in dict.fromkeys(found.sources):
        listing.has(source)
    counts = _survey(root, found)
    _require_readable(found)
    labels, meaning = _label_space(found, counts, chosen)
    place = Path(chosen.masks) / f"{name}-{hash_json(chosen.to_dict())[:8]}"
    drawn, left_out = {}, 0
    for one in found.images:
        if _is_readable(one, found):
            canvas = annotation.canvas(*image_size(root / one.image), meaning[UNLABELLED])
            left_out += _draw(canvas, one, meaning)
            drawn[one.image] = place / f"{one.image}.png"
            write_mask(root / drawn[one.image], canvas.pixels, labels.palette)
    samples = _samples(found, drawn, chosen, paths)
    notes = [*found.notes, f"masks are in {root / place}"]
    notes += [f"{left_out} shapes are of a kind without area and not drawn"] if left_out else []
    return ImportedFiles(
        samples,
        labels,
        notes=notes,
        sources=listing.sources,
        mask_values=_in_words(name, chosen.unlabelled),
        faults=dict(found.faults),
        are_upright=True,
        draw=None if any(one.split for one in found.images) else _split_draw(chosen),
    )


def _require_readable(found: Annotations) -> None:
    """Refuse annotations of which none can be read, before anything else is said of them.

    Raises:
        DataError: With what is wrong with each.
    """
    if found.faults and not any(_is_readable(one, found) for one in found.images):
        raise DataError(
            list_problems("no annotation can be read", list(found.faults.values()))
            + "\nmend the files, or check the folder and the format"
        )


def _is_readable(one: AnnotatedImage, found: Annotations) -> bool:
    return one.annotated and one.image not in found.faults


def _survey(root: Path, found: Annotations) -> Counter[str]:
    """Count the shapes of every name; what cannot be read joins the faults."""
    counts: Counter[str] = Counter()
    for one in found.images:
        if not _is_readable(one, found):
            continue
        try:
            size = image_size(root / one.image)
            require_pixels(*size)
            counts.update(shape.label for shape in one.load(*size))
        except DataError as error:
            found.faults[one.image] = str(error)
    return counts


def _label_space(
    found: Annotations, counts: Counter[str], chosen: AnnotatedOptions
) -> tuple[LabelSpace, dict[str, int]]:
    """Return the classes, and the value in the mask of every name that the annotations use.

    Raises:
        LabelError: There are names that are no class.
    """
    names = list(chosen.class_names or found.class_names)
    unlabelled = str(chosen.unlabelled)
    if unlabelled != VOID and unlabelled not in names:
        names.insert(0, unlabelled)
    meaning = dict.fromkeys(found.void, _IGNORED)
    meaning |= {name: index for index, name in enumerate(names)}
    wrong = [
        f"class_map.{name}: {target!r} is no class{nearest(target, names)}"
        for name, target in chosen.class_map.items()
        if target != IGNORE and target not in names
    ]
    meaning |= {
        name: _IGNORED if target == IGNORE else names.index(target)
        for name, target in chosen.class_map.items()
        if target == IGNORE or target in names
    }
    unknown = {name: count for name, count in counts.most_common() if name not in meaning}
    wrong += [f"{name!r}: {count} shapes{nearest(name, names)}" for name, count in unknown.items()]
    if wrong:
        known = ", ".join(names) or "not stated by the files"
        advice = ", ".join(unknown) if not names else "NAME: CLASS"
        typed = (
            option_word("class_map", f"{{{advice}}}")
            if names
            else option_word("class_names", f"[{advice}]")
        )
        raise LabelError(
            list_problems(f"names that are no class (classes: {known})", wrong, len(wrong))
            + f"\nstate what they are with {typed}"
        )
    palette = tuple(chosen.palette or ()) or _palette(names, found)
    return LabelSpace(tuple(names), palette), meaning | {UNLABELLED: _value(unlabelled, names)}


def _value(unlabelled: str, names: Sequence[str]) -> int:
    return _IGNORED if unlabelled == VOID else names.index(unlabelled)


def _palette(names: Sequence[str], found: Annotations) -> tuple[tuple[int, int, int], ...]:
    usual = default_palette(names)
    return tuple(found.palette.get(name, usual[index]) for index, name in enumerate(names))


def _draw(canvas: Canvas, one: AnnotatedImage, meaning: Mapping[str, int]) -> int:
    """Draw the shapes of an image; return how many have no area."""
    shapes = one.load(canvas.height, canvas.width)
    values = [_IGNORED if shape.crowd else meaning[shape.label] for shape in shapes]
    return sum(not canvas.draw(shape, value) for shape, value in zip(shapes, values, strict=True))


def _samples(
    found: Annotations, drawn: dict[str, Path], chosen: AnnotatedOptions, paths: Sequence[str]
) -> list[SampleFiles]:
    images = sorted({one.image for one in found.images} | (found.faults.keys() & set(paths)))
    groups = dict(zip(images, group_by_pattern(images, chosen.group_pattern), strict=True))
    stated = {one.image: one.split for one in found.images if one.split}
    labelled = {image: groups[image] for image in images if image in drawn}
    splits = stated or _drawn_splits(found, labelled, chosen)
    return [
        SampleFiles(
            Path(image).with_suffix("").as_posix(),
            Path(image),
            drawn.get(image),
            splits.get(image, "train") if image in drawn else "unlabeled",
            groups[image] if chosen.group_pattern else Path(image).with_suffix("").as_posix(),
        )
        for image in images
    ]


def _drawn_splits(
    found: Annotations, groups: Mapping[str, str], chosen: AnnotatedOptions
) -> dict[str, str]:
    """Return the split of each labelled image by its group."""
    if not groups:
        return {}
    draw = _split_draw(chosen)
    try:
        places = draw.groups(list(groups.values()), draw.shares, draw.seed)
    except DataError as error:
        if not found.faults:
            raise
        # What is broken may be why too few are left to share out.
        broken = list_problems("these annotations cannot be read", list(found.faults.values()))
        raise DataError(f"{error}\n{broken}") from error
    return dict(zip(groups, places, strict=True))


def _split_draw(chosen: AnnotatedOptions) -> Draw:
    shares = {"val": chosen.val_fraction, "test": chosen.test_fraction}
    return Draw(split_groups, shares, chosen.seed)


def _in_words(name: str, unlabelled: str) -> str:
    what = "do not count" if unlabelled == VOID else f"are {unlabelled}"
    return f"masks drawn from {name} annotations; pixels of no shape {what}"
