"""One mask an image out of several: by majority or STAPLE, written with a manifest of its own.

References:
    Warfield et al. (2004): https://doi.org/10.1109/TMI.2004.828354
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import numpy as np
import pandas as pd

from seglab.core.disk.files import atomic_path, sha256_bytes
from seglab.core.disk.mask_png import mask_png
from seglab.core.errors import DataError, list_problems
from seglab.core.labels import LabelSpace
from seglab.curation.agreement.panel import Masks, Panel, RatedImage
from seglab.curation.agreement.staple import Staple, fit_staple
from seglab.curation.agreement.votes import Patterns, find_patterns, votes, winner
from seglab.data.manifest import Manifest
from seglab.data.remote import common_root, name_below

Method = Literal["majority", "staple"]
Scope = Literal["dataset", "image"]


@dataclass(frozen=True, eq=False)
class Consensus:
    """A consensus that was written.

    Args:
        manifest: Images with the new masks.
        staple: Annotators as STAPLE estimated them over the data set; None for the majority, and where
            each image was estimated alone.
        undecided: Share of the pixels that are void because nobody labelled them or votes were tied.
        not_converged: Images, or `all`, on which STAPLE did not come to rest.
    """

    manifest: Manifest
    staple: Staple | None
    undecided: float
    not_converged: tuple[str, ...]


def write_consensus(
    panel: Panel, out: Path, method: Method = "majority", scope: Scope = "dataset"
) -> Consensus:
    """Write the consensus of a panel: masks as indexed PNG, and a manifest.

    A void pixel is no vote. Where nobody labelled a pixel, or the best classes are tied, the consensus
    is void.

    Args:
        panel: Who drew what; what cannot be read is left out, see its `left_out`.
        out: Folder for `masks/` and the manifest. Image files stay where they are.
        method: `majority`: the class of most votes. `staple`: Warfield et al. (2004).
        scope: Whether STAPLE knows an annotator by all images or by each image alone.

    Raises:
        DataError: No image could be read.
    """
    shared = _fit_all(panel) if method == "staple" and scope == "dataset" else None
    num_classes, void = panel.labels.num_classes, panel.labels.ignore_index
    unsettled = [] if shared is None or shared.converged else ["all"]
    root = common_root([out.absolute(), *_roots(panel)])
    rows: list[dict[str, Any]] = []
    for image, masks in panel.read():
        patterns, inverse, counts = find_patterns(_of_all(panel, masks))
        weights = votes(patterns, num_classes).astype(np.float64)
        if method == "staple" and weights.any():
            fitted = shared or fit_staple(patterns, counts, num_classes)
            if not fitted.converged and shared is None:
                unsettled.append(image.sample_id)
            weights = fitted.posterior(patterns)
        mask = winner(weights, void)[inverse]
        rows.append(_row(image, mask, panel.labels, out.absolute(), root, method))
    if not rows:
        told = [f"{name}: {why}" for name, why in panel.left_out.items()]
        raise DataError(list_problems("no image with all its masks could be read", told))
    manifest = _manifest(panel, rows, root, method, scope)
    manifest.write(out)
    pixels = np.array(manifest.table["class_pixels"].tolist()).sum(0)
    return Consensus(manifest, shared, float(pixels[-1] / pixels.sum()), tuple(unsettled))


def _roots(panel: Panel) -> set[Path]:
    return {d.manifest.root for image in panel.images for d in image.drawings.values()}


def _of_all(panel: Panel, masks: Masks) -> list[np.ndarray]:
    """Return a mask for every annotator of the panel; all void where one did not draw the image."""
    size = next(iter(masks.values())).shape
    nothing = np.full(size, panel.labels.ignore_index, dtype=np.uint8)
    return [masks.get(name, nothing) for name in panel.annotators]


def _fit_all(panel: Panel) -> Staple:
    """Fit STAPLE to all images; memory is that of the patterns, not of the pixels."""
    patterns = np.zeros((0, len(panel.annotators)), dtype=np.uint8)
    counts = np.zeros(0, dtype=np.int64)
    for _, masks in panel.read():
        new, _, pixels = find_patterns(_of_all(panel, masks))
        patterns, counts = _merge(np.concatenate([patterns, new]), np.concatenate([counts, pixels]))
    return fit_staple(patterns, counts, panel.labels.num_classes)


def _merge(
    patterns: Patterns, counts: np.ndarray[Any, Any]
) -> tuple[Patterns, np.ndarray[Any, Any]]:
    merged, place = np.unique(patterns, axis=0, return_inverse=True)
    summed = np.zeros(len(merged), dtype=np.int64)
    np.add.at(summed, place.ravel(), counts)
    return merged, summed


def _row(
    image: RatedImage, mask: np.ndarray, labels: LabelSpace, out: Path, root: Path, method: Method
) -> dict[str, Any]:
    first = next(iter(image.drawings.values()))
    path = out / "masks" / f"{quote(image.sample_id, safe='')}.png"
    content = mask_png(mask, labels.palette)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    pixels = np.bincount(mask.ravel(), minlength=256)
    rows = [drawing.row for drawing in image.drawings.values()]
    return {
        **first.row,
        "sample_id": image.sample_id,
        "group": image.group,
        "image": name_below(root, first.manifest.path(first.row["image"])),
        "mask": path.relative_to(root).as_posix(),
        "annotator": f"{method} of {', '.join(image.drawings)}",
        "mask_sha256": sha256_bytes(content),
        "class_pixels": [*pixels[: labels.num_classes].tolist(), int(pixels[labels.ignore_index])],
        "tags": list(dict.fromkeys(tag for row in rows for tag in row["tags"])),
        "flags": list(dict.fromkeys(flag for row in rows for flag in row["flags"])),
    }


def _manifest(
    panel: Panel, rows: list[dict[str, Any]], root: Path, method: Method, scope: Scope
) -> Manifest:
    sources = {
        d.manifest.fingerprint: d.manifest.name
        for image in panel.images
        for d in image.drawings.values()
    }
    provenance = {
        "consensus": {
            "method": method,
            "scope": scope if method == "staple" else None,
            "annotators": list(panel.annotators),
            "of": sources,
            "left_out": dict(panel.left_out),
        }
    }
    name = "-".join(dict.fromkeys(sources.values()))
    return Manifest(pd.DataFrame(rows), panel.labels, root, f"{name}-{method}", "index", provenance)
