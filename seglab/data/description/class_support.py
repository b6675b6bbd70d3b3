"""What each class rests on: images, groups and objects, and whether it can be learnt and measured."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from seglab.core.labels import LabelSpace
from seglab.core.sample_size import MIN_UNITS
from seglab.core.text.wording import joined, plural
from seglab.data.manifest import SPLITS, Manifest

# Fewer training images than a common batch: most steps never see the class.
LEAST_TO_LEARN = 16
# COCO's limit of small objects: 32 x 32 pixels.
SMALL_AREA = 32 * 32


def class_support(manifest: Manifest) -> pd.DataFrame:
    """Return on how much each class rests, by split of labelled samples that are kept.

    Returns:
        Index: classes; columns a pair (split, `images` | `groups`): images with a pixel of the class,
        and groups (scenes, patients) they come from.
    """
    labels, table = manifest.labels, manifest.table
    rows = table[table["keep"] & table["mask"].notna() & (table["class_pixels"].map(len) > 0)]
    pixels = np.array(rows["class_pixels"].tolist(), dtype=np.int64)
    present = pixels.reshape(len(rows), labels.num_classes + 1) > 0
    columns: dict[tuple[str, str], list[int]] = {}
    for split in (name for name in SPLITS if (rows["split"] == name).any()):
        own = (rows["split"] == split).to_numpy()
        held, groups = present[own], rows.loc[own, "group"]
        classes = range(labels.num_classes)
        columns[split, "images"] = [int(held[:, index].sum()) for index in classes]
        columns[split, "groups"] = [int(groups[held[:, index]].nunique()) for index in classes]
    return pd.DataFrame(columns, index=pd.Index(labels.class_names, name="class"))


def support_warnings(support: pd.DataFrame) -> Iterator[str]:
    """Yield which classes are too rare to learn, and which to measure, and why.

    Args:
        support: Of `class_support`. Classes that are not there at all are another matter.
    """
    for split in dict.fromkeys(support.columns.get_level_values(0)) if len(support.columns) else ():
        least = LEAST_TO_LEARN if split == "train" else MIN_UNITS
        counts = support[split]
        few = counts[(counts["images"] > 0) & (counts["images"] < least)]
        listed = joined(
            [
                f"{name} ({plural(row['images'], 'image')} of {plural(row['groups'], 'group')})"
                for name, row in few.iterrows()
            ]
        )
        if len(few) and split == "train":
            yield f"train: too rare to learn (below {least} images): {listed}"
        elif len(few) and split != "unlabeled":
            yield f"{split}: too rare to measure (below {least} images, no interval): {listed}"


def tag_counts(manifest: Manifest) -> pd.DataFrame:
    """Return the number of kept samples with each tag; index tags, one column a split."""
    rows = manifest.table[manifest.table["keep"]]
    tags = rows[["split", "tags"]].explode("tags").dropna()
    counts = tags.groupby(["tags", "split"]).size().unstack(fill_value=0)
    return counts.reindex(columns=[name for name in SPLITS if name in counts.columns])


def object_sizes(parts: pd.DataFrame, labels: LabelSpace) -> pd.DataFrame:
    """Return the sizes of the objects of each class: connected parts of its pixels in the masks.

    Args:
        parts: Of `seglab.data.mask_parts.find_parts`; touching objects of one class are one part.
        labels: The classes.

    Returns:
        Index: classes. Columns `objects`; `median` and `smallest 5 %` in pixels (NaN without objects);
        `small`: share below 32 x 32 pixels, as COCO has it.
    """
    areas = parts.groupby("class_index")["area"]
    sizes = pd.DataFrame(
        {
            "objects": areas.size(),
            "median": areas.median(),
            "smallest 5 %": areas.quantile(0.05),
            "small": areas.agg(lambda one: (one < SMALL_AREA).mean()),
        }
    ).reindex(range(labels.num_classes))
    sizes["objects"] = sizes["objects"].fillna(0).astype(int)
    return sizes.set_axis(pd.Index(labels.class_names, name="class"))


def format_objects(sizes: pd.DataFrame, split: str) -> str:
    """Return the sizes as a table of text."""
    shown = sizes.assign(
        small=[("-" if np.isnan(one) else f"{100 * one:.1f} %") for one in sizes["small"]]
    )
    title = f"Objects of {split}: connected parts, areas in pixels; small: below 32 x 32"
    return f"{title}\n{shown.to_string(float_format=lambda one: f'{one:.0f}', na_rep='-')}\n"
