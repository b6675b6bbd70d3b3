"""How good the model was on what annotators labelled: on the random share, and apart on what was chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from seglab.feedback.queue.content import Part, Queue
from seglab.metrics.jackknife import score_interval
from seglab.metrics.pooled import ImageCounts, PooledClassIou
from seglab.metrics.scores import class_counts


@dataclass(frozen=True)
class Score:
    """A score and its 95 % interval; the bounds are NaN where there are too few images to tell."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class PartQuality:
    """The model on the labelled images of a part of a queue.

    Attributes:
        images: Labelled ones.
        of: Images of the part.
        miou: Mean IoU over the classes that occur in labels or predictions, from counts summed over the
            images; NaN without images. Of the random share it estimates that of all images the queue
            was chosen from, without bias where all of its images are labelled. Of the chosen part it is that
            of these images and says nothing of others.
        iou: By class; NaN where it does not occur.
        changed: Share of the labelled pixels whose class annotators changed; NaN without any.
    """

    images: int
    of: int
    miou: Score
    iou: dict[str, Score]
    changed: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain content."""
        return asdict(self)


def quality_of(queue: Queue, part: Part, confusions: Sequence[np.ndarray]) -> PartQuality:
    """Return how good the model was on a part.

    Images of the random share are independent draws whatever videos they come from, so each is a unit of
    the interval; it is of the images of this log, not of other days.

    Args:
        queue: The queue.
        part: Which part.
        confusions: Of its labelled images.
    """
    names, of = queue.labels.class_names, len(queue.of_part(part))
    nothing = Score(float("nan"), float("nan"), float("nan"))
    if not confusions:
        return PartQuality(0, of, nothing, dict.fromkeys(names, nothing), float("nan"))
    matrices = np.stack(confusions)
    counts = ImageCounts(*class_counts(matrices))
    by_class = {name: PooledClassIou(index) for index, name in enumerate(names)}
    miou, *iou = (
        Score(one.value, one.low, one.high)
        for one in (
            score_interval(counts),
            *(score_interval(counts, statistic) for statistic in by_class.values()),
        )
    )
    total = matrices.sum()
    changed = 1 - np.trace(matrices.sum(0)) / total if total else float("nan")
    return PartQuality(len(matrices), of, miou, dict(zip(names, iou, strict=True)), float(changed))
