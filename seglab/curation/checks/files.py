"""Files that cannot be used as they are, and files that differ from what was imported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TypeVar

from seglab.curation.findings import Finding, Kind
from seglab.curation.registry import AuditInputs, check
from seglab.curation.samples import Sample
from seglab.data.build import (
    CORRUPT_IMAGE,
    CORRUPT_MASK,
    MISSING_IMAGE,
    MISSING_MASK,
    SIZE_MISMATCH,
    UNKNOWN_LABELS,
)

_UNUSUAL = 0.1
_Value = TypeVar("_Value")


@check(
    Kind(MISSING_IMAGE, "error", "The image file is not there.", "drop", "files"),
    Kind(CORRUPT_IMAGE, "error", "The image is truncated or cannot be read.", "drop", "files"),
    Kind(MISSING_MASK, "error", "The mask file is not there.", "drop", "files"),
    Kind(CORRUPT_MASK, "error", "The mask is truncated or cannot be read.", "drop", "files"),
    Kind(
        UNKNOWN_LABELS,
        "error",
        "The mask holds values outside the label space.",
        "relabel",
        "files",
    ),
    Kind(SIZE_MISMATCH, "error", "Image and mask differ in size.", "relabel", "files"),
    Kind("changed_file", "warning", "A file is not the one that was imported.", "look", "files"),
    Kind(
        "odd_size",
        "note",
        "The image has a size that few others have.",
        "look",
        "files",
        _UNUSUAL,
        "share of the images that have this size",
    ),
    Kind(
        "odd_mode",
        "note",
        "A grey image among coloured ones, or the other way round.",
        "look",
        "images",
        _UNUSUAL,
        "share of the images that are so",
    ),
)
class FileCheck:
    """Reads what reading the files told."""

    def __init__(self, inputs: AuditInputs) -> None:
        self._limits = inputs.limits
        self._sizes: list[tuple[str, tuple[int, int]]] = []
        self._grey: list[tuple[str, bool]] = []

    def see(self, sample: Sample) -> Iterable[Finding]:
        """Report what could not be read, or is not what was imported."""
        name, image, mask = sample.sample_id, sample.image, sample.mask
        for kind, text in sample.faults.items():
            yield Finding(kind, name, text)
        if image is not None:
            self._sizes.append((name, image.shape[:2]))
            grey = bool((image[..., :1] == image).all())
            self._grey.append((name, grey))
        if image is not None and mask is not None and image.shape[:2] != mask.shape:
            sizes = [f"{height} x {width}" for height, width in (mask.shape, image.shape[:2])]
            yield Finding(SIZE_MISMATCH, name, f"mask {sizes[0]} (H x W), image {sizes[1]}")
        files = (("image", "sha256"), ("mask", "mask_sha256"))
        for (file, column), found in zip(files, sample.sha256, strict=True):
            imported = sample.row[column]
            if found is not None and imported is not None and found != imported:
                yield Finding("changed_file", name, f"{sample.row[file]}: SHA-256 is now {found}")

    def close(self) -> Iterable[Finding]:
        """Report sizes and modes that are rare among the images."""
        words = {size: f"{size[0]} x {size[1]} (H x W)" for _, size in self._sizes}
        for name, size, share in _rare(self._sizes, self._limits["odd_size"]):
            yield Finding("odd_size", name, words[size], share)
        for name, grey, share in _rare(self._grey, self._limits["odd_mode"]):
            yield Finding("odd_mode", name, "grey" if grey else "coloured", share)


def _rare(seen: list[tuple[str, _Value]], limit: float) -> Iterable[tuple[str, _Value, float]]:
    """Yield the images that are what only a share of less than `limit` is."""
    counts = Counter(value for _, value in seen)
    for name, value in seen:
        share = counts[value] / len(seen)
        if share < limit and counts[value] < max(counts.values()):
            yield name, value, share
