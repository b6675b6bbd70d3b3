"""What a bundle carries to be held against later: statistics of known images, and golden images.

Statistics are numbers of whole images, so that drift can be measured without the images themselves.
Golden images are cut from the holdout small enough to say little of it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from seglab.bundle.input_statistics import input_statistics, output_statistics
from seglab.bundle.loader import Bundle
from seglab.data.loading.decoding import SourceFiles
from seglab.deploy.export.scoring import Reference, nearest_mask
from seglab.metrics.confusion import mask_confusion

_GOLDEN_SIDE, _GOLDEN_IMAGES = 160, 2
_ORIENTATION_TAG, _TURNED = 274, 6
# Probabilities, on average over a golden image: float32 on another processor differs by 1e-5, int8
# with other instructions by a hundredth; a forgotten normalisation by several tenths.
TOLERANCE = 0.03


def write_reference(
    bundle: Bundle,
    known: Reference,
    streams: Sequence[str],
    path: Path,
    tell: Callable[[str], None],
) -> None:
    """Write `reference.npz`: statistics of labelled images as the bundle sees them, one row an image.

    Args:
        bundle: Predicts.
        known: The images, with their masks.
        streams: Group of each image, such as its sequence.
        path: Of the file.
        tell: Gets the progress.
    """
    rows: dict[str, list[Any]] = {}
    ignore = bundle.info["labels"]["ignore_index"]
    for number, (source, target) in enumerate(zip(known.sources, known.targets, strict=True), 1):
        image = bundle.decode(source.image.read_bytes())
        found = bundle.predict(image)
        row: dict[str, Any] = {**input_statistics(image), **output_statistics(found)}
        mask = nearest_mask(found.mask, target.shape)
        row["true_confusion"] = mask_confusion(mask, target, len(bundle.class_names), ignore)
        if found.features is not None:
            row["features"] = found.features
        for name, value in row.items():
            rows.setdefault(name, []).append(value)
        tell(f"statistics for drift: {number} of {len(known.sources)}")
    content = {name: np.stack(values).astype(np.float32) for name, values in rows.items()}
    np.savez_compressed(path, allow_pickle=False, streams=np.array(streams, np.str_), **content)


def write_golden(
    bundle: Bundle, sources: Sequence[SourceFiles], folder: Path
) -> list[tuple[str, bytes]]:
    """Write golden images: the middle of a few holdout images; one of them turned by its EXIF tag.

    Returns:
        Name inside the bundle and content of each.
    """
    folder.mkdir()
    written = []
    for number, source in enumerate(sources[:_GOLDEN_IMAGES]):
        image = bundle.decode(source.image.read_bytes())
        top, left = (max(0, (side - _GOLDEN_SIDE) // 2) for side in image.shape[:2])
        part = np.ascontiguousarray(image[top:, left:][:_GOLDEN_SIDE, :_GOLDEN_SIDE])
        name, content = _encode(part, number)
        (folder / name).write_bytes(content)
        written.append((f"golden/{name}", content))
    return written


def write_expected(
    bundles: Sequence[Bundle], golden: Sequence[tuple[str, bytes]], folder: Path
) -> list[dict[str, Any]]:
    """Write what each variant predicts of the golden images; return the entries of `bundle.json`."""
    entries = []
    for name, content in golden:
        expected = {
            bundle.variant: bundle.predict(bundle.decode(content)).probabilities.astype(np.float16)
            for bundle in bundles
        }
        place = f"{name.rpartition('.')[0]}.npz"
        np.savez_compressed(folder / place, allow_pickle=False, **expected)
        entries.append({"image": name, "expected": place, "tolerance": TOLERANCE})
    return entries


def _encode(image: np.ndarray, number: int) -> tuple[str, bytes]:
    held = io.BytesIO()
    if image.dtype != np.uint8 or image.shape[2] not in (1, 3):
        np.save(held, image, allow_pickle=False)
        return f"{number}.npy", held.getvalue()
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    if number == 0:
        picture.save(held, "PNG")
        return "0.png", held.getvalue()
    exif = Image.Exif()
    exif[_ORIENTATION_TAG] = _TURNED
    picture.save(held, "JPEG", quality=95, exif=exif.tobytes())
    return f"{number}.jpg", held.getvalue()
