"""Scores of parts of a split: by tag, group, object size, boundary band and rare class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from seglab.core.labels import LabelSpace
from seglab.data.manifest import Manifest
from seglab.engine.step.observers import SliceObserver
from seglab.experiment.scoring.intervals import units_of
from seglab.metrics.jackknife import independent_groups, score_interval
from seglab.metrics.pooled import ImageCounts, pooled_dice, pooled_iou
from seglab.metrics.scores import mean_defined
from seglab.metrics.shape.slices import BOUNDARY

# A class with less than this share of the labelled pixels is rare.
RARE = 0.01
# More groups than this are no slices anyone reads.
_MAX_GROUPS = 30


@dataclass(frozen=True)
class _Slice:
    kind: str
    name: str
    sample_ids: list[str]
    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray


def score_slices(
    per_image: pd.DataFrame,
    observer: SliceObserver,
    manifest: Manifest,
    labels: LabelSpace,
    intervals: bool,
) -> pd.DataFrame:
    """Score every slice of a split.

    Args:
        per_image: Counts a image, as an evaluation returns them.
        observer: Counts of parts of the images.
        manifest: Tags and groups of the samples.
        labels: Classes.
        intervals: Whether to give the 95 % intervals over images (over groups where a slice has enough
            of them).

    Returns:
        One row a slice: slice_kind (all, tag, group, rare_class, boundary, size), slice, images
        with pixels of it, pixels, miou with miou_low and miou_high (NaN with too few images to
        tell), dice, num_classes_averaged and iou, a list of C. A slice of pixels is scored with all
        other pixels ignored. Slices without a labelled pixel are left out, but for `all`, whose
        scores then are NaN.
    """
    rows = []
    units = units_of(manifest, per_image)
    unit_of = dict(zip(per_image["sample_id"], units, strict=True)) if units else {}
    for one in [*_of_images(per_image, manifest, labels), *_of_pixels(observer)]:
        counted = (one.tp + one.fn).sum(axis=1) > 0
        if not counted.any() and one.kind != "all":
            continue
        tp, fp, fn = one.tp[counted], one.fp[counted], one.fn[counted]
        total, union = tp.sum(axis=0), (tp + fp + fn).sum(axis=0)
        iou = pooled_iou(total.astype(float), union.astype(float))
        low = high = float("nan")
        if intervals:
            own = [unit_of[name] for name in np.array(one.sample_ids)[counted]] if unit_of else None
            groups = independent_groups(own)
            interval = score_interval(ImageCounts(tp, fp, fn), groups=groups)
            low, high = interval.low, interval.high
        rows.append(
            {
                "slice_kind": one.kind,
                "slice": one.name,
                "images": int(counted.sum()),
                "pixels": int((tp + fn).sum()),
                "miou": mean_defined(iou),
                "miou_low": low,
                "miou_high": high,
                "dice": float(pooled_dice(total.astype(float), union.astype(float))),
                "num_classes_averaged": int(np.isfinite(iou).sum()),
                "iou": iou.tolist(),
            }
        )
    return pd.DataFrame(rows)


def _of_images(per_image: pd.DataFrame, manifest: Manifest, labels: LabelSpace) -> Iterator[_Slice]:
    tp, fp, fn = (np.array(per_image[name].tolist(), dtype=np.int64) for name in ("tp", "fp", "fn"))
    facts = manifest.table.set_index("sample_id").loc[per_image["sample_id"]]

    ids = per_image["sample_id"].to_numpy(str)

    def take(kind: str, name: str, chosen: np.ndarray) -> _Slice:
        return _Slice(kind, name, ids[chosen].tolist(), tp[chosen], fp[chosen], fn[chosen])

    yield take("all", "all", np.ones(len(per_image), dtype=bool))
    tags = [set(one) if one is not None else set() for one in facts["tags"]]
    for tag in sorted(set().union(*tags)):
        yield take("tag", str(tag), np.array([tag in own for own in tags]))
    groups = manifest.groups_of(ids.tolist()) or []
    names = sorted(set(groups))
    if 1 < len(names) <= _MAX_GROUPS:
        for name in names:
            yield take("group", name, np.array([group == name for group in groups]))
    share = (tp + fn).sum(axis=0) / max(1, (tp + fn).sum())
    for index, class_name in enumerate(labels.class_names):
        shown = (tp + fn)[:, index] > 0
        # A class that is in every image makes no slice of images.
        if 0 < share[index] < RARE and not shown.all():
            yield take("rare_class", f"images with {class_name}", shown)


def _of_pixels(observer: SliceObserver) -> Iterator[_Slice]:
    for name, counts in observer.counts.items():
        tp, fp, fn = np.stack(counts).transpose(1, 0, 2)
        kind = "boundary" if name in BOUNDARY else "size"
        yield _Slice(kind, name, observer.sample_ids, tp, fp, fn)
