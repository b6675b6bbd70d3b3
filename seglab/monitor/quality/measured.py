"""Quality with labels that arrived later, and whether the estimate without them was right.

A log keeps numbers, not masks, so the stored image goes through the bundle once more. Where the measured
quality is clearly below what was expected of the same images, the assumption of the estimate has failed:
either the images are unlike the reference's (covariate shift where nothing is calibrated), or they are like
them and what the classes mean has changed (concept shift), which no statistic without labels can tell.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from seglab.bundle.loader import Bundle
from seglab.core.errors import DataError
from seglab.core.problems import show_names
from seglab.core.seeding import generator
from seglab.monitor.quality.estimate import (
    Assumption,
    Estimate,
    QualityReference,
    corrected,
    estimate_quality,
    summary,
)
from seglab.monitor.quality.labels import Labels, rows_of_labels
from seglab.monitor.quality.scores import intervals, redrawn, scores_of
from seglab.monitor.quality.support import FARTHEST
from seglab.monitor.samples import Sample, logged_sample

# What estimates were off by, at most, where their assumption held (scripts/bench_monitor.py).
MARGIN = 0.05
_FEWEST_IMAGES = 10
_MEANINGS = {
    "concept": (
        "though they are like the reference's: what the classes mean has changed, or they are labelled "
        "otherwise (concept shift). Estimates without labels do not hold."
    ),
    "careful": "so the estimate is too careful.",
}
COLUMNS = tuple("time request_id image stream bundle status confusion features stored".split())


class Measured(NamedTuple):
    """What labels say, beside what was expected of the same images."""

    measured: Estimate
    """Its assumption says whether the estimate agrees with the labels."""
    expected: Estimate
    """Without the labels, of the same images."""
    times: np.ndarray
    """Of the images, seconds since 1970, `(n,)`."""
    notes: tuple[str, ...]
    """What could not be used, one sentence each."""


def measured_quality(
    table: pa.Table,
    folder: Path,
    labels: Labels,
    bundle: Bundle,
    reference: QualityReference | None = None,
    image_of: Callable[[str], Path | None] = lambda _stored: None,
    before: dict[str, np.ndarray] | None = None,
) -> Measured | None:
    """Score the logged images that have labels.

    Args:
        table: Of `read_log` with `COLUMNS`.
        folder: Of the log, where its images are stored.
        labels: By request id; see `seglab.monitor.quality.labels`.
        bundle: The one that predicted; rows of others are left out and counted.
        reference: Of the bundle; corrects what is expected.
        image_of: Key of a label -> its image file, where the log has not stored it.
        before: Confusions of former calls, by bundle, image and a hash of the mask: they are not worked out
            again. It has those of this call afterwards.

    Returns:
        None where no image has both a label and pixels; else the scores.

    Raises:
        DataError: A mask has values that are no classes, or another size than its image.
    """
    rows, keys, unknown = rows_of_labels(table, labels)
    notes = []
    if unknown:
        notes.append(f"{len(unknown)} labels belong to no logged image: {show_names(unknown)}.")
    wanted = table.take(rows).append_column("key", pa.array(keys, pa.string()))
    others = sum(one != bundle.id for one in wanted["bundle"].to_pylist())
    if others:
        notes.append(f"{others} labelled images were answered by another bundle than {bundle.id}.")
    found, used, without = [], [], []
    before, now = {} if before is None else before, dict[str, np.ndarray]()
    for row, one in enumerate(wanted.select(["bundle", "stored", "key", "status"]).to_pylist()):
        if one["bundle"] != bundle.id or one["status"] != "ok":
            continue
        path = _stored(folder, one["stored"]) or image_of(one["key"])
        if path is None:
            without.append(one["key"])
            continue
        mask = labels[one["key"]]()
        name = f"{bundle.id} {path} {hashlib.sha256(mask.tobytes()).hexdigest()}"
        known = before.get(name)
        now[name] = _confusion(bundle, path, mask, one["key"]) if known is None else known
        found.append(now[name])
        used.append(row)
    before.clear()
    before.update(now)
    if without:
        notes.append(
            f"{len(without)} labelled images are not stored: {show_names(without)}. Set log.privacy=images "
            "where that is allowed, or give a manifest that has the images."
        )
    if not found:
        return None
    return _compared(wanted.take(used), np.stack(found), reference, tuple(notes))


def _stored(folder: Path, stored: str | None) -> Path | None:
    """Return the file of a stored image; a thumbnail is none."""
    if stored is None or stored.endswith(".jpg") or not (folder / stored).is_file():
        return None
    return folder / stored


def _confusion(bundle: Bundle, path: Path, mask: np.ndarray, key: str) -> np.ndarray:
    given = bundle.predict_batch([bundle.decode(path.read_bytes())], give="masks")[0].mask
    classes, ignored = len(bundle.class_names), bundle.info["labels"]["ignore_index"]
    if mask.shape != given.shape:
        raise DataError(f"{key}: expected a mask of {given.shape}, as the image, got {mask.shape}")
    known = mask != ignored
    if (mask[known] >= classes).any():
        wrong = sorted({int(one) for one in np.unique(mask[known]) if one >= classes})
        raise DataError(
            f"{key}: expected class indices below {classes} and {ignored} for ignored pixels, got {wrong}"
        )
    pairs = mask[known].astype(np.int64) * classes + given[known]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def _compared(
    rows: pa.Table, true: np.ndarray, reference: QualityReference | None, notes: tuple[str, ...]
) -> Measured:
    window = logged_sample(rows)
    expected = estimate_quality(window, reference)
    rng = generator(0, "measured quality")
    drawn = redrawn(true, window.streams, rng)
    against = agreement(window, true, expected, reference)
    measured = summary(true.sum(0).astype(np.float64), drawn, len(true), against)
    return Measured(measured, expected, window.times, notes)


def agreement(
    window: Sample, true: np.ndarray, expected: Estimate, reference: QualityReference | None = None
) -> Assumption:
    """Tell whether what was expected of images agrees with their labels.

    Concepts are judged by the images that are like the reference's.

    Args:
        window: The images, with their expected confusions.
        true: Of the labels, `(n, K, K)`.
        expected: The estimate of the same images.
        reference: Corrects what is expected, as in the estimate.
    """
    distance, count = expected.assumption.distance, len(true)
    if count < _FEWEST_IMAGES:
        return Assumption(
            False, f"Only {count} labelled images: too few to tell.", "unchecked", distance
        )
    inside = np.ones(count, bool)
    if reference is not None and reference.support is not None and window.features is not None:
        inside = reference.support.distance(window) <= FARTHEST
    if inside.sum() >= _FEWEST_IMAGES:
        verdict, words = _difference(window.take(inside), true[inside], reference)
        if verdict != "holds":
            return Assumption(False, f"{words}, {_MEANINGS[verdict]}", verdict, distance)
    verdict, words = _difference(window, true, reference)
    if verdict == "holds":
        return Assumption(True, f"{words}: they agree within {MARGIN:g}.", verdict, distance)
    if inside.all():
        return Assumption(False, f"{words}, {_MEANINGS[verdict]}", verdict, distance)
    share = 1 - float(inside.mean())
    return Assumption(
        False, f"{words}; {share:.0%} of them are unlike the reference's.", "outside", distance
    )


def _difference(
    window: Sample, true: np.ndarray, reference: QualityReference | None
) -> tuple[str, str]:
    """Return whether labels and expectation agree, and the difference in words."""
    count, side = len(true), true.shape[1]
    pairs = np.stack([window.statistics["confusion"], true], axis=1)
    rng = generator(0, "agreement")
    drawn = redrawn(pairs.reshape(count, 2 * side, side), window.streams, rng)
    drawn = drawn.reshape(-1, 2, side, side)
    off = scores_of(drawn[:, 1]).miou - scores_of(corrected(drawn[:, 0], reference)).miou
    low, high = (float(one) for one in intervals(off))
    words = f"Measured minus expected mIoU of {count} images is {low:+.3f} to {high:+.3f}"
    return "careful" if low > MARGIN else "concept" if high < -MARGIN else "holds", words
