"""W&B objects made from arrays and rows: mask overlays, tables, confusion matrix."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from seglab.runs import SamplePrediction

if TYPE_CHECKING:
    import wandb

# Enough to judge a mask by eye; full frames of every epoch would fill disks.
_MAX_SIDE = 640
# The matrix chart gets unreadable, and W&B draws at most 10000 cells.
_MAX_CHART_CLASSES = 40


def overlay(sample: SamplePrediction, class_names: Sequence[str], ignore_index: int) -> wandb.Image:
    """Return an image with switchable target and prediction masks.

    Both masks carry the names of all classes and of the ignored index: W&B shows nothing for values
    without a name. Ignored pixels keep what the model predicts there. Large images are shrunk;
    masks by nearest neighbour.
    """
    import wandb

    height, width = sample.mask.shape
    scale = min(1.0, _MAX_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = cv2.resize(sample.image, size, interpolation=cv2.INTER_AREA)
    labels = {**dict(enumerate(class_names)), ignore_index: "ignored"}
    masks = {
        name: {
            "mask_data": cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST),
            "class_labels": labels,
        }
        for name, mask in (("ground_truth", sample.mask), ("prediction", sample.prediction))
    }
    caption = f"{sample.sample_id} ({sample.shows})" if sample.shows else sample.sample_id
    return wandb.Image(image, caption=caption, masks=masks, file_type="jpg")


def table(rows: Sequence[Mapping[str, Any]], folder: Path) -> wandb.Table:
    """Return rows as a table; columns are the union of keys, undefined numbers are empty.

    Text that names a .png file in `folder` is that picture.
    """
    import wandb

    def cell(value: Any) -> Any:
        if isinstance(value, str) and value.endswith(".png") and (folder / value).is_file():
            return wandb.Image(str(folder / value))
        return str(value) if isinstance(value, list | np.ndarray) else _cell(value)

    columns = list(dict.fromkeys(key for row in rows for key in row))
    data = [[cell(row.get(column)) for column in columns] for row in rows]
    return _whole_table(columns, data)


def confusion_objects(confusion: np.ndarray, class_names: Sequence[str]) -> dict[str, Any]:
    """Return a table of all pairs that occur, and W&B's own chart where the classes are few.

    Args:
        confusion: Integer `(num_classes, num_classes)`, rows = target, columns = prediction.
        class_names: One per class.

    Returns:
        `table` with columns target, prediction, pixels, share_of_target (0..1; of the pixels of
        that target class); `chart` up to 40 classes.
    """
    import wandb

    totals = confusion.sum(axis=1)
    rows = [
        [class_names[i], class_names[j], int(confusion[i, j]), float(confusion[i, j] / totals[i])]
        for i, j in np.argwhere(confusion > 0)
    ]
    columns = ["target", "prediction", "pixels", "share_of_target"]
    objects: dict[str, Any] = {"table": _whole_table(columns, rows)}
    if len(class_names) <= _MAX_CHART_CLASSES:
        cells = [
            [target, prediction, int(confusion[i, j])]
            for i, target in enumerate(class_names)
            for j, prediction in enumerate(class_names)
        ]
        objects["chart"] = wandb.plot_table(
            "wandb/confusion_matrix/v1",
            wandb.Table(columns=["Actual", "Predicted", "nPredictions"], data=cells),
            {"Actual": "Actual", "Predicted": "Predicted", "nPredictions": "nPredictions"},
            {"title": "Confusion matrix (pixels)"},
        )
    return objects


def _whole_table(columns: list[str], rows: list[list[Any]]) -> wandb.Table:
    """Return a table that is logged with all its rows: W&B cuts off what is beyond 10000."""
    import wandb

    # The one way there is: the limit belongs to the class, and is looked up when the table is logged.
    wandb.Table.MAX_ROWS = max(wandb.Table.MAX_ROWS, len(rows))
    return wandb.Table(columns=columns, data=rows)


def _cell(value: Any) -> Any:
    if isinstance(value, str | bool) or value is None:
        return value
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
