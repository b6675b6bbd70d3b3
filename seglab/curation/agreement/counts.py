"""Integer counts of how annotators agree, image by image: everything else is a function of them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seglab.core.errors import DataError, list_problems
from seglab.curation.agreement.kappa import cohen_sums, fleiss_sums
from seglab.curation.agreement.panel import Masks, Panel, RatedImage
from seglab.curation.agreement.votes import confusions_with_others, find_patterns
from seglab.metrics.confusion import mask_confusion
from seglab.metrics.pooled import ImageCounts
from seglab.metrics.shape.surface import surface_scores

Floats = npt.NDArray[np.float64]
Pair = tuple[str, str]


@dataclass(frozen=True, eq=False)
class PairImage:
    """What two annotators drew on one image; pixels that one of them left void do not count.

    Args:
        sample_id: The image.
        group: Its group.
        pair: The annotators.
        sums: `cohen_sums` of their confusion matrix, rows = the first: `(3 C,)`.
        most: Classes they take for each other on most pixels, by rising index, and how many those
            are; None where they agree.
        void: Pixels that exactly one of them left void.
        distance: Hausdorff-95 between their outlines in px, `(C,)`; NaN where not both have one.
        alone: bool `(C,)`, one of them alone drew the class.
    """

    sample_id: str
    group: str
    pair: Pair
    sums: Floats
    most: tuple[int, int, int] | None
    void: int
    distance: Floats
    alone: npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Counts:
    """Counts of a panel.

    Args:
        panel: Whose they are; what could not be read is in its `left_out`.
        pairs: One entry an image and pair of annotators.
        sample_ids: The N images that could be read.
        groups: Their groups.
        fleiss: `fleiss_sums` of each, `(N, 2 C + 1)`.
        confusions: Pair -> int64 `(C, C)` summed over images, rows = the first.
        images_apart: int64 `(C, C)`, symmetric: on how many images a pair of annotators at least takes
            the two classes for each other.
        with_others: Annotator -> int64 `(C, C)`, rows = the majority of all others on the image,
            columns = the annotator; see `confusions_with_others`.
    """

    panel: Panel
    pairs: tuple[PairImage, ...]
    sample_ids: tuple[str, ...]
    groups: tuple[str, ...]
    fleiss: Floats
    confusions: dict[Pair, npt.NDArray[np.int64]]
    images_apart: npt.NDArray[np.int64]
    with_others: dict[str, npt.NDArray[np.int64]]

    def of(self, pair: Pair | None = None) -> tuple[PairImage, ...]:
        """Return the entries of one pair; of all for None."""
        return tuple(one for one in self.pairs if pair is None or one.pair == pair)

    def pair_names(self) -> list[Pair]:
        """Return the pairs that have an image in common."""
        return sorted({one.pair for one in self.pairs})


def count_panel(panel: Panel, distances: bool = True) -> Counts:
    """Read all masks of a panel, one image at a time, and count.

    Args:
        panel: Who drew what.
        distances: Whether to measure outlines, which costs most of the time.

    Raises:
        DataError: No image could be read.
    """
    num_classes = panel.labels.num_classes
    pairs: list[PairImage] = []
    ids, groups, fleiss = [], [], []
    confusions: dict[Pair, npt.NDArray[np.int64]] = {}
    images_apart = np.zeros((num_classes, num_classes), dtype=np.int64)
    with_others: dict[str, npt.NDArray[np.int64]] = {}
    for image, masks in panel.read():
        apart = np.zeros_like(images_apart)
        for pair in itertools.combinations(masks, 2):
            entry, confusion = _count_pair(panel, image, pair, masks, distances)
            pairs.append(entry)
            confusions[pair] = confusions.get(pair, 0) + confusion
            apart += confusion + confusion.T
        images_apart += apart > 0
        for name, matrix in zip(masks, _with_others(panel, masks), strict=True):
            with_others[name] = with_others.get(name, 0) + matrix
        ids.append(image.sample_id)
        groups.append(image.group)
        fleiss.append(fleiss_sums(list(masks.values()), num_classes))
    if not ids:
        told = [f"{name}: {why}" for name, why in panel.left_out.items()]
        raise DataError(list_problems("no image with all its masks could be read", told))
    return Counts(
        panel,
        tuple(pairs),
        tuple(ids),
        tuple(groups),
        np.stack(fleiss),
        confusions,
        images_apart,
        with_others,
    )


def _with_others(panel: Panel, masks: Masks) -> npt.NDArray[np.int64]:
    patterns, _, pixels = find_patterns(list(masks.values()))
    labels = panel.labels
    return confusions_with_others(patterns, pixels, labels.num_classes, labels.ignore_index)


def _count_pair(
    panel: Panel, image: RatedImage, pair: Pair, masks: Masks, distances: bool
) -> tuple[PairImage, npt.NDArray[np.int64]]:
    labels = panel.labels
    first, second = masks[pair[0]], masks[pair[1]]
    void_first, void_second = first == labels.ignore_index, second == labels.ignore_index
    void = void_first | void_second
    confusion = count_confusion(second, first, labels.num_classes, labels.ignore_index)
    if distances and not void.all():
        target = np.where(void, labels.ignore_index, first).astype(np.uint8)
        drawn = np.where(void, 0, second).astype(np.uint8)
        scores = surface_scores(drawn, target, labels.num_classes, labels.ignore_index)
        distance, alone = np.where(scores.missed, np.nan, scores.hd95), scores.missed
    else:
        distance = np.full(labels.num_classes, np.nan)
        alone = (confusion.sum(0) > 0) != (confusion.sum(1) > 0)
    one_void = int(np.count_nonzero(void_first != void_second))
    sums, most = cohen_sums(confusion), _most_apart(confusion)
    entry = PairImage(image.sample_id, image.group, pair, sums, most, one_void, distance, alone)
    return entry, confusion


def _most_apart(confusion: npt.NDArray[np.int64]) -> tuple[int, int, int] | None:
    apart = np.triu(confusion + confusion.T, 1)
    first, second = np.unravel_index(int(apart.argmax()), apart.shape)
    pixels = int(apart[first, second])
    return (int(first), int(second), pixels) if pixels else None


def count_confusion(
    drawn: npt.NDArray[np.uint8], truth: npt.NDArray[np.uint8], num_classes: int, ignore_index: int
) -> npt.NDArray[np.int64]:
    """Return a matrix `(C, C)`, rows = `truth`, without pixels that are void in either mask."""
    void = (drawn == ignore_index) | (truth == ignore_index)
    target = np.where(void, ignore_index, truth).astype(np.uint8)
    other = np.where(void, 0, drawn).astype(np.uint8)
    return mask_confusion(other, target, num_classes, ignore_index)


def symmetric_counts(sums: Floats) -> ImageCounts:
    """Return tp, 0 and the disagreement of each class, `(N, C)`, of `cohen_sums` `(N, 3 C)`.

    Between annotators nobody is the target: what one has and the other has not counts the same.
    """
    same, rows, columns = np.split(sums.astype(np.int64), 3, axis=-1)
    return ImageCounts(same, np.zeros_like(same), rows + columns - 2 * same)
