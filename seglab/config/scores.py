"""Keys of the scores that every training has, for what a configuration may monitor or optimise."""

from __future__ import annotations

from collections.abc import Collection

SCORES = (
    "loss",
    "miou",
    "miou_present",
    "dice",
    "pixel_acc",
    "class_acc",
    "fwiou",
    "miou_per_image",
    "dice_per_image",
)
CLASS_SCORES = ("iou", "dice")
# What decides -> what is reported in its place: the published mean.
_REPORTED_AS = {"miou_present": "miou"}
VAL_SCORES = tuple(f"val/{score}" for score in SCORES)


def is_val_score(key: str) -> bool:
    """Whether every training has this score of the validation split, of all classes or of one."""
    prefixes = tuple(f"val/{score}/" for score in CLASS_SCORES)
    return key in VAL_SCORES or (key.startswith(prefixes) and not key.endswith("/"))


def is_own_score(key: str, own: Collection[str]) -> bool:
    """Whether a score is one's own: then nothing says which end of it is the better one."""
    return key.startswith("val/") and key.removeprefix("val/") in own


def reported_test_score(key: str) -> str:
    """Return the key of the score of the test split that is reported for a score that decided.

    >>> reported_test_score("val/miou_present"), reported_test_score("val/dice")
    ('test/miou', 'test/dice')
    """
    score = key.removeprefix("val/")
    return f"test/{_REPORTED_AS.get(score, score)}"


def lower_is_better(key: str) -> bool:
    """Whether the best value of a score (or a cost) is its smallest."""
    return key == "val/loss" or key.startswith("cost/")
