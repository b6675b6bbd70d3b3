"""From a list of files to a manifest: every file is read once, hashed, measured and checked.

Importers only say which files belong together; what is in them is found out here, the same way
for all. Faults are collected over the whole data set first, so that one pass can mend them all.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import logging
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

import seglab
from seglab.core.disk.files import sha256_bytes
from seglab.core.errors import DataError, DataNotFoundError, LabelError, list_problems
from seglab.core.labels import LabelSpace
from seglab.core.text.escape import one_line
from seglab.core.text.option_words import option_name
from seglab.data.bands.decode import BandLayout, decode_bands, own_picture
from seglab.data.bands.statistics import LAYOUT
from seglab.data.decoded import DecodedMasks
from seglab.data.drawn_splits import Draw
from seglab.data.images import bands_in, decode_image, orientation
from seglab.data.manifest import COLUMNS, Manifest
from seglab.data.masks import decode_mask

log = logging.getLogger(__name__)

ON_ERROR = ("raise", "quarantine")
# Names of the faults, as they stand in the `flags` of a quarantined row.
MISSING_IMAGE = "missing_image"
CORRUPT_IMAGE = "corrupt_image"
MISSING_MASK = "missing_mask"
CORRUPT_MASK = "corrupt_mask"
UNKNOWN_LABELS = "unknown_labels"
SIZE_MISMATCH = "size_mismatch"
BAND_MISMATCH = "band_mismatch"
BROKEN_ANNOTATION = "broken_annotation"
# Not a fault: only the image or only the mask is turned by EXIF, and their sizes fit either way.
EXIF_AMBIGUOUS = "exif_ambiguous"
_ALL_LISTED = 1000
_FEW = 5
# EXIF orientations from here on swap height and width.
_FIRST_SIDEWAYS = 5


@dataclass(frozen=True)
class SampleFiles:
    """Which files make one sample, and where it belongs.

    Args:
        sample_id: Unique name.
        image: Path of the image, absolute (under the root) or relative to the root.
        mask: Path of the mask likewise; None for a sample without labels.
        split: `train`, `val`, `test` or `unlabeled`.
        group: The unit no split may cut (scene, patient, video); else the `sample_id`.
        annotator: Who drew the mask.
        tags: Properties to slice by.
    """

    sample_id: str
    image: Path
    mask: Path | None
    split: str
    group: str
    annotator: str | None = None
    tags: tuple[str, ...] = ()


@dataclass
class ImportedFiles:
    """What an importer found.

    Args:
        samples: One entry per sample.
        labels: What the masks mean.
        mask_encoding: `"index"` or `"colour"`, see `seglab.data.images.read_mask`.
        notes: Sentences the user should read: what was inferred, chosen or left out.
        sources: What was looked at to find the samples (`seglab.data.importers.listing`).
        mask_values: What the values in the masks were taken to mean and why, in one sentence; empty
            where the published format of the data set says it.
        faults: What is wrong with an annotation, by the image it is of (path below the root), or by
            its own path where the image is not known.
        are_upright: Whether the masks are known to be upright, whatever EXIF says of their images.
        draw: How the splits were drawn; None where the data states them.
    """

    samples: list[SampleFiles]
    labels: LabelSpace
    mask_encoding: str = "index"
    notes: list[str] = field(default_factory=list)
    sources: dict[str, Any] = field(default_factory=lambda: {"files": {}, "lists": {}})
    mask_values: str = ""
    faults: dict[str, str] = field(default_factory=dict)
    are_upright: bool = False
    draw: Draw | None = None


@dataclass(frozen=True)
class _Inspected:
    row: dict[str, Any]
    faults: tuple[tuple[str, str], ...]
    layout: BandLayout | None = None


def build_manifest(
    imported: ImportedFiles,
    root: Path,
    name: str,
    provenance: dict[str, Any],
    num_threads: int | None = None,
    on_error: str = "raise",
) -> Manifest:
    """Read all files of a data set and return its manifest.

    Args:
        imported: What the importer found.
        root: Folder all files lie under.
        name: Name of the data set.
        provenance: Where it comes from; notes, time and version are added.
        num_threads: Files read at once; default is the number of CPUs, at most 8.
        on_error: `"raise"`, or `"quarantine"`: keep rows of faulty samples with `keep=False`, the
            faults in `flags` and the reasons in `provenance["quarantined"]`, and log a warning.

    Raises:
        DataError: There are no samples, ids repeat, files lie outside the root or have names that
            are not UTF-8, or, with
            `on_error="raise"`, files are missing, corrupt, of different sizes or hold unknown mask
            values. Every fault is listed by name. `DataNotFoundError` when all of them are missing.
    """
    if on_error not in ON_ERROR:
        raise DataError(f"on_error must be one of {', '.join(ON_ERROR)}, got {on_error!r}")
    root = root.expanduser().absolute()
    _check_list(imported.samples, root, name)
    masks = DecodedMasks()
    inspect = functools.partial(_inspect, root=root, imported=imported, masks=masks)
    inspected = _map_threads(inspect, imported.samples, num_threads)
    inspected, layout = _require_one_layout(inspected)
    images = {one.row["image"] for one in inspected}
    lost = {file: text for file, text in imported.faults.items() if file not in images}
    quarantined = _handle_faults(inspected, lost, name, on_error)
    _warn_ambiguous(inspected, name)
    table = pd.DataFrame([one.row for one in inspected], columns=list(COLUMNS))
    if imported.draw is not None and not table["keep"].all():
        table = imported.draw.again(table)
    complete = {
        **provenance,
        "notes": [*provenance.get("notes", []), *imported.notes],
        "sources": imported.sources,
        "quarantined": quarantined,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seglab_version": seglab.__version__,
    }
    if layout is not None:
        complete[LAYOUT] = dataclasses.asdict(layout)
        log.info("%s: images hold %s", name, layout)
    manifest = Manifest(table, imported.labels, root, name, imported.mask_encoding, complete)
    object.__setattr__(manifest, "decoded", masks)
    return manifest


def _check_list(samples: Sequence[SampleFiles], root: Path, name: str) -> None:
    if not samples:
        raise DataError(f"data set {name!r}: the importer found no samples under {root}")
    repeated = [key for key, n in Counter(one.sample_id for one in samples).items() if n > 1]
    problems = [f"sample_id {key!r} is given to several files" for key in repeated]
    files = [(one, path) for one in samples for path in (one.image, one.mask) if path is not None]
    problems += [
        f"{one_line(path)}: the name is not UTF-8, which a manifest needs; rename the file or folder"
        for path in (root, *(path for _, path in files))
        if not _is_utf8(path)
    ]
    problems += [
        f"{one.sample_id}: {path} lies outside the root {root}"
        for one, path in files
        if not _is_under(path, root)
    ]
    if problems:
        raise DataError(list_problems(f"data set {name!r}", problems, _ALL_LISTED))


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_under(path: Path, root: Path) -> bool:
    return ".." not in path.parts and (not path.is_absolute() or path.is_relative_to(root))


def _map_threads(
    function: Callable[[SampleFiles], _Inspected],
    samples: Sequence[SampleFiles],
    num_threads: int | None,
) -> list[_Inspected]:
    """Apply in threads (decoders release the interpreter lock); an interrupt drops what waits."""
    pool = ThreadPoolExecutor(num_threads or min(8, os.cpu_count() or 1))
    try:
        return list(pool.map(function, samples))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _inspect(
    sample: SampleFiles, root: Path, imported: ImportedFiles, masks: DecodedMasks
) -> _Inspected:
    faults: list[tuple[str, str]] = []
    row: dict[str, Any] = {
        "sample_id": sample.sample_id,
        "image": _relative(sample.image, root),
        "mask": None if sample.mask is None else _relative(sample.mask, root),
        "height": 0,
        "width": 0,
        "split": sample.split,
        "group": sample.group,
        "annotator": sample.annotator,
        "tags": list(sample.tags),
        "sha256": None,
        "mask_sha256": None,
        "phash": None,
        "class_pixels": [],
        "flags": [],
        "keep": True,
    }
    turned, layout = _inspect_image(root / row["image"], row, faults)
    if row["image"] in imported.faults:
        faults.append((BROKEN_ANNOTATION, imported.faults[row["image"]]))
    if row["mask"] is not None:
        _inspect_mask(root / row["mask"], row, faults, imported, turned, masks)
    if faults:
        row["flags"] += [kind for kind, _ in faults]
        row["keep"] = False
    return _Inspected(row, tuple(faults), layout)


def _require_one_layout(inspected: list[_Inspected]) -> tuple[list[_Inspected], BandLayout | None]:
    """Return the samples, those of other bands than most marked as faulty, and what most hold."""
    layouts = Counter(one.layout for one in inspected if one.row["height"])
    if not layouts:
        return inspected, None
    usual = layouts.most_common(1)[0][0]
    checked = []
    for one in inspected:
        if one.row["height"] and one.layout != usual:
            text = f"{one.row['image']}: {_in_words(one.layout)}, most images {_in_words(usual)}"
            row = {**one.row, "flags": [*one.row["flags"], BAND_MISMATCH], "keep": False}
            one = _Inspected(row, (*one.faults, (BAND_MISMATCH, text)), one.layout)
        checked.append(one)
    return checked, usual


def _in_words(layout: BandLayout | None) -> str:
    return "RGB or grey" if layout is None else str(layout)


def _relative(path: Path, root: Path) -> str:
    return (path.relative_to(root) if path.is_absolute() else path).as_posix()


def _inspect_image(
    path: Path, row: dict[str, Any], faults: list[tuple[str, str]]
) -> tuple[int, BandLayout | None]:
    """Fill hashes and size into `row`; return the EXIF orientation (1 if unknown) and the bands."""
    layout = None
    if not path.is_file():
        faults.append((MISSING_IMAGE, f"{path}: no such file"))
        return 1, layout
    try:
        content = path.read_bytes()
        row["sha256"] = sha256_bytes(content)
        if bands_in(content, path):
            pixels = decode_bands(content, path)
            layout = BandLayout(pixels.shape[2], pixels.dtype.name)
            image = own_picture(pixels)
        else:
            image = decode_image(content, path)
        turned = orientation(content, path)
    except (DataError, OSError) as error:
        faults.append((CORRUPT_IMAGE, str(error)))
        return 1, layout
    row["height"], row["width"] = image.shape[:2]
    row["phash"] = _perceptual_hash(image)
    return turned, layout


def _perceptual_hash(image: np.ndarray) -> str:
    # Imported here: it brings SciPy, which reading a manifest does not need.
    import imagehash

    return str(imagehash.phash(Image.fromarray(image)))


def _inspect_mask(
    path: Path,
    row: dict[str, Any],
    faults: list[tuple[str, str]],
    imported: ImportedFiles,
    turned: int,
    masks: DecodedMasks,
) -> None:
    if not path.is_file():
        faults.append((MISSING_MASK, f"{path}: no such file"))
        return
    labels = imported.labels
    try:
        content = path.read_bytes()
        row["mask_sha256"] = sha256_bytes(content)
        mask = decode_mask(content, path, labels, imported.mask_encoding)
        mask_turned = turned if imported.are_upright else orientation(content, path)
    except LabelError as error:
        faults.append((UNKNOWN_LABELS, str(error)))
        return
    except (DataError, OSError) as error:
        faults.append((CORRUPT_MASK, str(error)))
        return
    masks.keep(row["mask_sha256"], mask)
    counts = np.bincount(mask.reshape(-1), minlength=256)
    row["class_pixels"] = [*counts[: labels.num_classes].tolist(), int(counts[labels.ignore_index])]
    size = (row["height"], row["width"])
    if turned != mask_turned and (max(turned, mask_turned) < _FIRST_SIDEWAYS or size[0] == size[1]):
        row["flags"].append(EXIF_AMBIGUOUS)
    if row["height"] and mask.shape != size:
        faults.append((SIZE_MISMATCH, _mismatch(path, mask.shape, size, (turned, mask_turned))))


def _mismatch(
    path: Path, mask_size: tuple[int, ...], image_size: tuple[int, int], turned: tuple[int, int]
) -> str:
    text = (
        f"{path}: mask has {mask_size[0]} x {mask_size[1]} pixels (H x W), its image "
        f"{image_size[0]} x {image_size[1]}"
    )
    if turned[0] == turned[1] or mask_size != image_size[::-1]:
        return text
    return (
        f"{text}; EXIF turns them differently (image orientation {turned[0]}, mask {turned[1]}): "
        "turn the mask, or remove the tag from the image"
    )


def _warn_ambiguous(inspected: Sequence[_Inspected], name: str) -> None:
    found = [one.row["sample_id"] for one in inspected if EXIF_AMBIGUOUS in one.row["flags"]]
    if found:
        title = (
            f"data set {name!r}: EXIF turns image and mask of {len(found)} samples differently, "
            f"and their sizes do not tell what is right; look at them (flag {EXIF_AMBIGUOUS})"
        )
        log.warning("%s", list_problems(title, found))


def _handle_faults(
    inspected: Sequence[_Inspected], lost: Mapping[str, str], name: str, on_error: str
) -> dict[str, str]:
    """Raise or log what is wrong; return the reason by sample_id, or by file where there is no sample."""
    faulty = [one for one in inspected if one.faults]
    if not faulty and not lost:
        return {}
    kinds = Counter(kind for one in faulty for kind, _ in one.faults)
    kinds.update({BROKEN_ANNOTATION: len(lost)} if lost else {})
    counts = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
    title = f"data set {name!r}: {len(faulty)} of {len(inspected)} samples are faulty ({counts})"
    texts = [f"{one.row['sample_id']}: {text}" for one in faulty for _, text in one.faults]
    texts += lost.values()
    if on_error == "quarantine" and len(faulty) < len(inspected):
        log.warning("%s", list_problems(f"{title}; kept out of every split", texts, _ALL_LISTED))
        reasons = {
            one.row["sample_id"]: "; ".join(text for _, text in one.faults) for one in faulty
        }
        return {**reasons, **lost}
    texts = [*_unknown_as_one(faulty), *lost.values()]
    remedy = (
        "mend the files, or keep them out of every split with on_error=quarantine (`seglab data import "
        "--on-error quarantine`)"
    )
    if len(faulty) == len(inspected):
        remedy = "no sample is left; check the root, the label space and the importer's options"
    if UNKNOWN_LABELS in kinds:
        remedy += f"; {option_name('raw_ids')} of `folder` gives unknown values a meaning: a class, or ignore"
    message = f"{list_problems(title, texts, _ALL_LISTED)}\n{remedy}"
    if kinds.keys() <= {MISSING_IMAGE, MISSING_MASK}:
        raise DataNotFoundError(message)
    raise DataError(message)


def _unknown_as_one(faulty: Sequence[_Inspected]) -> list[str]:
    """Return a line a fault, but one for all of many masks with unknown values: the options are wrong."""
    told = [
        (kind, f"{one.row['sample_id']}: {text}") for one in faulty for kind, text in one.faults
    ]
    unknown = [text for kind, text in told if kind == UNKNOWN_LABELS]
    if len(unknown) <= _FEW:
        return [text for _, text in told]
    # The longest names the most values.
    whole = (
        f"{len(unknown)} masks hold values that are not known, for example {max(unknown, key=len)}"
    )
    return [whole, *(text for kind, text in told if kind != UNKNOWN_LABELS)]
