"""Annotators on images whose mask is known: a gold set, or honeypots hidden among their work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seglab.core.errors import DataError
from seglab.curation.agreement.counts import count_confusion
from seglab.curation.agreement.measure import groups_to_leave_out
from seglab.curation.agreement.panel import Match, Panel, read_panel
from seglab.curation.agreement.rules import Verdict, verdict
from seglab.data.manifest import Manifest
from seglab.metrics.jackknife import Estimate, score_interval
from seglab.metrics.pooled import ImageCounts, PooledClassIou, pooled_dice, pooled_miou
from seglab.metrics.scores import class_counts

GOLD = "gold standard"


@dataclass(frozen=True, eq=False)
class GoldScore:
    """How an annotator does on images with a known mask.

    Args:
        annotator: Who.
        images: Images with a known mask that the annotator drew.
        dice: Mean Dice over classes, of pixels summed over the images; pixels void in either mask do
            not count.
        miou: Mean IoU likewise.
        iou: IoU of each class.
        verdict: Whether the Dice reaches the bar, with its whole interval.
        confusion: int64 `(C, C)`, rows = known, columns = drawn.
        class_names: What the classes are called.
        few_groups: As in `seglab.curation.agreement.measure.Agreement`.
    """

    annotator: str
    images: int
    dice: Estimate
    miou: Estimate
    iou: tuple[Estimate, ...]
    verdict: Verdict
    confusion: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    few_groups: int


def score_on_gold(
    manifests: Sequence[Manifest],
    gold: Manifest,
    names: Sequence[str] = (),
    match: Match = "sha256",
    bar: float = 0.8,
    level: float = 0.95,
) -> tuple[Panel, list[GoldScore]]:
    """Return every annotator's score on the images with a known mask, the worst first.

    Args:
        manifests: As for `read_panel`.
        gold: Images with their known masks, such as a few experts agreed on.
        names: As for `read_panel`.
        match: As for `read_panel`.
        bar: Dice to reach.
        level: Confidence of the intervals.

    Raises:
        DataError: As `read_panel`; no annotator drew an image of the gold set.
    """
    known = gold.with_table(gold.table.assign(annotator=GOLD))
    panel = read_panel([known, *manifests], [GOLD, *names] if names else (), match)
    found: dict[str, list[tuple[str, npt.NDArray[np.int64]]]] = {}
    labels = panel.labels
    for image, masks in panel.read():
        for name, mask in masks.items():
            if GOLD in masks and name != GOLD:
                matrix = count_confusion(mask, masks[GOLD], labels.num_classes, labels.ignore_index)
                found.setdefault(name, []).append((image.group, matrix))
    if not found:
        raise DataError(
            f"no annotator drew an image of the gold set {gold.name} (same image by {match}); put "
            "its images among those to be drawn"
        )
    scores = [
        _score(name, images, labels.class_names, bar, level) for name, images in found.items()
    ]
    return panel, sorted(scores, key=lambda one: (one.dice.value, one.annotator))


def _score(
    name: str,
    images: Sequence[tuple[str, npt.NDArray[np.int64]]],
    class_names: tuple[str, ...],
    bar: float,
    level: float,
) -> GoldScore:
    matrices = np.stack([matrix for _, matrix in images])
    groups, few = groups_to_leave_out([group for group, _ in images])
    counts = ImageCounts(*class_counts(matrices))
    dice = score_interval(counts, pooled_dice, level, groups)
    return GoldScore(
        name,
        len(images),
        dice,
        score_interval(counts, pooled_miou, level, groups),
        tuple(
            score_interval(counts, PooledClassIou(index), level, groups)
            for index in range(matrices.shape[1])
        ),
        verdict(dice, bar),
        matrices.sum(0),
        class_names,
        few,
    )
