"""What can be measured: every score once, with what it says, which end is good and what computes it.

From here follow the keys of logs, records and tables, what may be monitored, optimised or aimed at,
W&B's best value, columns of tables and reports, and `seglab metrics list`.

The name carries the averaging: `miou` comes from the confusion matrix of the whole split,
`miou_per_image` is the mean of scores of single images.

`miou` is the published definition: the mean over the classes in target or prediction. A class that
the split lacks is left out until a stray pixel is predicted as it, and then counts 0, so over the
epochs of a training `miou` jumps between means of other classes. `miou_present` averages the classes
in the target, the same ones in every epoch: report the first, choose by the second.

References:
    Long et al. (2015): https://arxiv.org/abs/1411.4038
    Cheng et al. (2021): https://arxiv.org/abs/2103.16562
"""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

LOSS = "loss"
MIOU = "miou"
MIOU_PRESENT = "miou_present"
DICE = "dice"
NUM_CLASSES_AVERAGED = "num_classes_averaged"
NUM_CLASSES_PRESENT = "num_classes_present"
IOU = "iou"
MIOU_PER_IMAGE = "miou_per_image"
DICE_PER_IMAGE = "dice_per_image"
NUM_IMAGES_AVERAGED = "num_images_averaged"
# Of how many images, or groups of them, the intervals are; from how many groups where groups are
# too few to be the units.
INTERVAL_UNITS = "interval_units"
INTERVAL_GROUPS = "interval_groups"
HD95 = "hd95"
# How many (image, class) pairs had no distance, and how many pixels each of them counted.
HD95_MISSED = "hd95_missed"
HD95_PENALTY = "hd95_penalty"
COST: Final = "cost"

Measured = Literal["always", "boundary", "confidence", "corruptions", "cost"]


@dataclass(frozen=True)
class Score:
    """A score of a split, or a cost of a model.

    Args:
        name: Key within the split, or below `cost/`.
        title: What tables and figures call it.
        sentence: What it is.
        better: Which end is good; empty for a number of which neither is.
        highest: Values lie in 0..highest.
        measured: `always`, also at each validation; else by this part of `seglab evaluate`.
        function: Path of the function of the confusion matrix `(C, C)` that gives it; empty: what
            measures it gives it itself.
        per_class: Likewise for one value per class, `(C,)`, under `{split}/{name}/{class}`.
        pooled: Path of the `Statistic` that gives it an interval and a place in comparisons; for a
            score that only classes have, what makes one of the index of the class.
        shown: Whether tables show it; others are in the record alone.
        digits: Decimal places in tables.
        reported_as: The score that is reported where this one decided.
    """

    name: str
    title: str
    sentence: str
    better: Literal["high", "low", ""] = "high"
    highest: float = 1.0
    measured: Measured = "always"
    function: str = ""
    per_class: str = ""
    pooled: str = ""
    shown: bool = True
    digits: int = 3
    reported_as: str = ""

    @property
    def only_of_classes(self) -> bool:
        """Whether it is always that of one class."""
        return bool(self.per_class) and not self.function

    @staticmethod
    def load(path: str) -> Any:
        """Return what `function`, `per_class` or `pooled` names."""
        module, _, name = path.rpartition(".")
        return getattr(importlib.import_module(module), name)


_SCORES = "seglab.metrics.scores"
_POOLED = "seglab.metrics.pooled"
_declared: dict[str, Score] = {}


def declare_score(score: Score) -> None:
    """Let a score be known by its name; a second one of that name takes the place of the first."""
    _declared[score.name] = score


def declared_scores(*measured: Measured, costs: bool = False) -> Iterator[Score]:
    """Yield the scores in the order of their declaration: all of splits, or those measured so."""
    for score in _declared.values():
        if (score.measured in measured) if measured else ((score.measured == COST) == costs):
            yield score


def shown_scores(*measured: Measured) -> list[Score]:
    """Return the scores of all classes together, or costs, that tables show."""
    return [
        score for score in declared_scores(*measured) if score.shown and not score.only_of_classes
    ]


def compared_scores() -> dict[str, Score]:
    """Return the scores that runs are compared by: name, or name/CLASS -> score."""
    pooled = [score for score in declared_scores("always") if score.pooled]
    return {f"{one.name}/CLASS" if one.only_of_classes else one.name: one for one in pooled}


def find_score(key: str) -> Score | None:
    """Return the score of a key, such as `val/iou/road` or `cost/gflops`; None where it is of none.

    >>> find_score("val/iou/road").better, find_score("val/miou_std")
    ('high', None)
    """
    place, _, rest = key.partition("/")
    name, _, class_name = rest.partition("/")
    score = _declared.get(name)
    if score is None or (score.measured == COST) != (place == COST):
        return None
    fits = score.per_class if class_name else not score.only_of_classes
    return score if fits else None


def metric_key(split: str, metric: str, class_name: str | None = None) -> str:
    """Return `{split}/{metric}` or `{split}/{metric}/{class_name}`.

    Args:
        split: `train`, `val`, `test` or another name of the data scored.
        metric: Name of a declared score.
        class_name: A name from `safe_class_names`.

    >>> metric_key("val", IOU, "road")
    'val/iou/road'
    """
    return f"{split}/{metric}" if class_name is None else f"{split}/{metric}/{class_name}"


def safe_class_names(class_names: Sequence[str]) -> tuple[str, ...]:
    """Return one distinct name a class that can be the last part of a key.

    A slash would open one more level in a key, so it becomes `_`; an empty name becomes
    `class_{index}`; a name already taken gets its class index behind it.

    >>> safe_class_names(["road", "wall/fence", "wall_fence", ""])
    ('road', 'wall_fence', 'wall_fence_2', 'class_3')
    """
    safe: list[str] = []
    for index, name in enumerate(class_names):
        candidate = str(name).strip().replace("/", "_") or f"class_{index}"
        while candidate in safe:
            candidate = f"{candidate}_{index}"
        safe.append(candidate)
    return tuple(safe)


# What is measured together has its ends in common.
_record = functools.partial(Score, shown=False)
_count = functools.partial(_record, better="", highest=math.inf)
_boundary = functools.partial(Score, measured="boundary")
_confidence = functools.partial(Score, better="low", measured="confidence")
_cost = functools.partial(Score, better="low", highest=math.inf, measured=COST)

for _score in (
    _record(LOSS, "loss", "the loss of the split", better="low", highest=math.inf),
    Score(
        MIOU,
        "mIoU",
        "mean IoU over the classes in target or prediction, as published",
        function=f"{_SCORES}.miou",
        pooled=f"{_POOLED}.pooled_miou",
    ),
    _record(
        MIOU_PRESENT,
        "mIoU (present)",
        "mean IoU over the classes in the target, the same ones in every epoch",
        function=f"{_SCORES}.miou_present",
        reported_as=MIOU,
    ),
    Score(
        IOU,
        "IoU",
        "intersection over union of a class",
        per_class=f"{_SCORES}.iou_per_class",
        pooled=f"{_POOLED}.PooledClassIou",
    ),
    Score(
        DICE,
        "Dice",
        "Dice (F1), the mean over the classes in target or prediction",
        function=f"{_SCORES}.mean_dice",
        per_class=f"{_SCORES}.dice_per_class",
        pooled=f"{_POOLED}.pooled_dice",
    ),
    _record(
        "pixel_acc",
        "pixel accuracy",
        "share of the labelled pixels that are right",
        function=f"{_SCORES}.pixel_accuracy",
    ),
    _record(
        "class_acc",
        "class accuracy",
        "mean recall over the classes in the target",
        function=f"{_SCORES}.class_accuracy",
    ),
    _record(
        "fwiou",
        "frequency-weighted IoU",
        "IoU averaged with each class's share of the target (Long et al., 2015)",
        function=f"{_SCORES}.frequency_weighted_iou",
    ),
    _count(
        NUM_CLASSES_AVERAGED,
        "classes averaged",
        "over how many classes miou and dice are",
        function=f"{_SCORES}.num_classes_averaged",
    ),
    _count(
        NUM_CLASSES_PRESENT,
        "classes present",
        "over how many classes miou_present is",
        function=f"{_SCORES}.num_classes_present",
    ),
    _record(MIOU_PER_IMAGE, "mIoU an image", "mean over the images of their mean IoU"),
    _record(DICE_PER_IMAGE, "Dice per image", "mean over the images of their mean Dice"),
    _count(NUM_IMAGES_AVERAGED, "images averaged", "over how many images the scores of images are"),
    _boundary(
        "boundary_iou", "boundary IoU", "IoU of the pixels near a boundary (Cheng et al., 2021)"
    ),
    _boundary("boundary_f1", "boundary F1", "F1 of the boundaries within a tolerance"),
    _boundary(
        "surface_dice", "surface Dice", "share of the boundaries within a tolerance of each other"
    ),
    _boundary(
        HD95,
        "HD95 (px)",
        "95th percentile of the distance between the boundaries. Where only target or prediction has a "
        "class of an image it counts the image's diagonal; below, how often that was",
        better="low",
        highest=math.inf,
        digits=1,
    ),
    Score(
        "relative_miou",
        "robustness",
        "mean mIoU under corruptions, as a share of the clean mIoU",
        measured="corruptions",
    ),
    _confidence(
        "ece",
        "ECE",
        "expected calibration error: distance between confidence and accuracy",
        digits=4,
    ),
    _confidence(
        "ece_classwise",
        "class-wise ECE",
        "calibration error of each class's probability, averaged",
        shown=False,
    ),
    _confidence(
        "brier",
        "Brier score",
        "mean squared distance of the probabilities to the target",
        highest=2.0,
        shown=False,
    ),
    _confidence(
        "ece_calibrated",
        "ECE (calibrated)",
        "calibration error after scaling by a temperature",
        shown=False,
    ),
    _count(
        "temperature",
        "temperature",
        "what logits are divided by to be calibrated",
        measured="confidence",
    ),
    _confidence("aurc", "AURC", "area under the risk-coverage curve", digits=4),
    _cost("params_m", "params (M)", "parameters in millions", digits=2),
    _cost("gflops", "GFLOPs", "operations of one image", digits=2),
    _cost("latency_ms", "latency (ms)", "forward pass of one image", digits=1),
    _cost(
        "peak_memory_mb",
        "peak memory (MB)",
        "most memory that the device held, weights included",
        shown=False,
    ),
):
    declare_score(_score)
