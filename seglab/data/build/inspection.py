"""One sample read, hashed, measured and checked: its row of the manifest, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from seglab.core.disk.files import sha256_bytes
from seglab.core.errors import DataError, LabelError
from seglab.data.bands.decode import BandLayout, decode_bands, own_picture
from seglab.data.build.samples import ImportedFiles, SampleFiles
from seglab.data.decoded import DecodedMasks
from seglab.data.files.images import bands_in, decode_image, orientation
from seglab.data.files.masks import decode_mask

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
# EXIF orientations from here on swap height and width.
_FIRST_SIDEWAYS = 5


@dataclass(frozen=True)
class Inspected:
    """A sample that was read.

    Args:
        row: Of the manifest.
        faults: Kind and text of each.
        layout: Bands of its image; None for RGB and grey.
    """

    row: dict[str, Any]
    faults: tuple[tuple[str, str], ...]
    layout: BandLayout | None = None


def inspect(
    sample: SampleFiles, root: Path, imported: ImportedFiles, masks: DecodedMasks
) -> Inspected:
    """Read the files of a sample.

    Args:
        sample: Its files.
        root: Folder they lie under.
        imported: What the importer found: labels, encoding and faults.
        masks: Takes the decoded mask.
    """
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
    return Inspected(row, tuple(faults), layout)


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
