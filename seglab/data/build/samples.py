"""What an importer found: which files make one sample, and what their masks mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seglab.core.errors import DataError, list_problems
from seglab.core.labels import LabelSpace
from seglab.core.text.escape import one_line
from seglab.data.build.drawn_splits import Draw

ALL_LISTED = 1000


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
        mask_encoding: `"index"` or `"colour"`, see `seglab.data.files.masks.read_mask`.
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


def check_list(samples: Sequence[SampleFiles], root: Path, name: str) -> None:
    """Refuse no samples, ids given twice, names that are not UTF-8 and files outside the root.

    Raises:
        DataError: All that is wrong is listed.
    """
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
        raise DataError(list_problems(f"data set {name!r}", problems, ALL_LISTED))


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_under(path: Path, root: Path) -> bool:
    return ".." not in path.parts and (not path.is_absolute() or path.is_relative_to(root))
