"""Names of metrics: every key that a log, record, table or monitor uses is built here.

The name carries the averaging: `miou` comes from the confusion matrix of the whole split,
`miou_per_image` is the mean of scores of single images. No other module spells these strings.

`miou` is the published definition: the mean over the classes in target or prediction. A class that
the split lacks is left out until a stray pixel is predicted as it, and then counts 0, so over the
epochs of a training `miou` jumps between means of other classes. `miou_present` averages the classes
in the target, the same ones in every epoch: report the first, choose by the second.
"""

from __future__ import annotations

from collections.abc import Sequence

LOSS = "loss"
MIOU = "miou"
MIOU_PRESENT = "miou_present"
DICE = "dice"
PIXEL_ACC = "pixel_acc"
CLASS_ACC = "class_acc"
FWIOU = "fwiou"
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

# Scores of one split that are single numbers, in the order in which tables show them.
SPLIT_SCORES = (
    MIOU,
    MIOU_PRESENT,
    DICE,
    PIXEL_ACC,
    CLASS_ACC,
    FWIOU,
    NUM_CLASSES_AVERAGED,
    NUM_CLASSES_PRESENT,
)
PER_IMAGE_SCORES = (MIOU_PER_IMAGE, DICE_PER_IMAGE, NUM_IMAGES_AVERAGED)


def metric_key(split: str, metric: str, class_name: str | None = None) -> str:
    """Return `{split}/{metric}` or `{split}/{metric}/{class_name}`.

    Args:
        split: `train`, `val`, `test` or another name of the data scored.
        metric: One of the constants of this module.
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
