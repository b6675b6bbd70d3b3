"""What a manifest says about its data set: counts, sizes, classes, and what should worry you.

Plain structures and text; how they are drawn is the caller's business.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from seglab.core.text.shell import shell_command
from seglab.core.text.wording import joined
from seglab.data.bands.statistics import layout_of
from seglab.data.description.class_support import class_support, support_warnings, tag_counts
from seglab.data.manifest import SPLITS, Manifest
from seglab.data.splits.scenes import scenes_in_names

_LISTED = 10
# How each table is told as plain values.
_ORIENTS: dict[str, Any] = {
    "splits": "index",
    "sizes": "records",
    "pixel_share": "dict",
    "image_share": "dict",
    "straddling": "records",
    "tags": "index",
}
_SPLIT_COLUMNS = ("samples", "groups", "labelled", "pixels", "ignored_share")


@dataclass(frozen=True)
class Description:
    """The findings about one manifest; rows that are not kept count only in `left_out`.

    Args:
        name: Name of the data set.
        fingerprint: Fingerprint of its manifest.
        splits: Index: the splits that have samples. Columns `samples`, `groups`, `labelled`,
            `pixels` (of masks) and `ignored_share` (of those pixels, NaN without masks).
        sizes: One row per split and image size, with columns `split`, `height`, `width`, `samples`;
            most frequent first.
        pixel_share: Index: classes; one column per split: share of the not ignored pixels, NaN where
            a split has none.
        image_share: Likewise: share of labelled images in which the class occurs.
        absent: Split -> names of classes that occur in none of its masks.
        straddling: One row per group found in several splits; columns `group` and one count per split.
        duplicates: One list of `split/sample_id` for each image file whose exact bytes occur in
            more than one split.
        flags: Flag -> number of rows, kept or not.
        left_out: `sample_id` of rows with `keep=False`.
        warnings: What should worry the user, one sentence each.
        support: Index: classes; columns (split, `images` | `groups`): what each class rests on.
        tags: Index: tags; one column a split: samples with the tag.
        bands: What the images hold where that is not RGB or grey, such as `5 bands of uint16`.
    """

    name: str
    fingerprint: str
    splits: pd.DataFrame
    sizes: pd.DataFrame
    pixel_share: pd.DataFrame
    image_share: pd.DataFrame
    absent: dict[str, list[str]]
    straddling: pd.DataFrame
    duplicates: list[list[str]]
    flags: dict[str, int]
    left_out: list[str]
    support: pd.DataFrame
    tags: pd.DataFrame
    warnings: list[str] = field(default_factory=list)
    bands: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts and lists, for JSON."""
        content: dict[str, Any] = {
            name: value.to_dict(orient=_ORIENTS[name]) if name in _ORIENTS else value
            for name, value in vars(self).items()
        }
        splits = (
            self.support.columns.get_level_values(0).unique() if len(self.support.columns) else ()
        )
        content["support"] = {
            split: {
                name: {"images": int(images), "groups": int(groups)}
                for name, images, groups in self.support[split].itertuples()
            }
            for split in splits
        }
        return content


def describe(manifest: Manifest, place: str = "MANIFEST") -> Description:
    """Return what a manifest says about its data set.

    Args:
        manifest: The manifest.
        place: How it is named in commands that warnings propose.
    """
    table, layout = manifest.table, layout_of(manifest)
    kept = table[table["keep"]]
    present = [split for split in SPLITS if (kept["split"] == split).any()]
    counts = {split: _class_counts(manifest, split) for split in present}
    splits = pd.DataFrame(
        [_split_row(kept[kept["split"] == split], counts[split]) for split in present],
        index=pd.Index(present, name="split"),
        columns=list(_SPLIT_COLUMNS),
    )
    names = pd.Index(manifest.labels.class_names, name="class")
    labelled = {split: matrix for split, matrix in counts.items() if len(matrix)}
    shares = {split: _shares(matrix) for split, matrix in labelled.items()}
    classes = list(names)
    absent = {
        split: [classes[index] for index in np.flatnonzero(matrix[:, :-1].sum(axis=0) == 0)]
        for split, matrix in labelled.items()
    }
    straddling = _straddling(kept, present)
    support = class_support(manifest)
    left_out = sorted(table.loc[~table["keep"], "sample_id"])
    flags = table["flags"].explode().dropna().value_counts().sort_index()
    return Description(
        name=manifest.name,
        fingerprint=manifest.fingerprint,
        splits=splits,
        sizes=_sizes(kept),
        pixel_share=pd.DataFrame({split: pair[0] for split, pair in shares.items()}, index=names),
        image_share=pd.DataFrame({split: pair[1] for split, pair in shares.items()}, index=names),
        absent=absent,
        straddling=straddling,
        duplicates=_duplicates(kept),
        flags={str(flag): int(count) for flag, count in flags.items()},
        left_out=left_out,
        support=support,
        tags=tag_counts(manifest),
        warnings=[
            *_warnings(manifest, place, absent, straddling, left_out),
            *support_warnings(support),
        ],
        bands=None if layout is None else str(layout),
    )


def _class_counts(manifest: Manifest, split: str) -> np.ndarray:
    """Return int64 `(samples with mask, num_classes + 1)`: pixels of each class, then ignored."""
    rows = [pixels for pixels in manifest.split(split)["class_pixels"] if pixels]
    return np.array(rows, dtype=np.int64).reshape(len(rows), manifest.labels.num_classes + 1)


def _split_row(rows: pd.DataFrame, counts: np.ndarray) -> dict[str, Any]:
    pixels = int(counts.sum())
    return {
        "samples": len(rows),
        "groups": int(rows["group"].nunique()),
        "labelled": len(counts),
        "pixels": pixels,
        "ignored_share": float(counts[:, -1].sum() / pixels) if pixels else float("nan"),
    }


def _shares(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of valid pixels and of images for each class; 0/0 is NaN."""
    classes = counts[:, :-1]
    with np.errstate(invalid="ignore"):
        pixel_share = classes.sum(axis=0) / np.float64(classes.sum())
    return pixel_share, (classes > 0).mean(axis=0)


def _sizes(kept: pd.DataFrame) -> pd.DataFrame:
    sizes = kept.groupby(["split", "height", "width"]).size().reset_index(name="samples")
    return sizes.sort_values(
        ["samples", "split", "height", "width"], ascending=[False, True, True, True]
    ).reset_index(drop=True)


def _straddling(kept: pd.DataFrame, present: list[str]) -> pd.DataFrame:
    counts = kept.groupby(["group", "split"]).size().unstack(fill_value=0)
    counts = counts.reindex(columns=present, fill_value=0)
    several = counts[(counts > 0).sum(axis=1) > 1].reset_index()
    several.columns.name = None
    return several


def empty_splits(manifest: Manifest) -> list[str]:
    """Return a sentence a split without a sample: train, val, or one whose samples are all left out."""
    counts, listed = manifest.splits(), manifest.table["split"].value_counts()
    found = []
    for split in ("train", "val", "test"):
        left_out = int(listed.get(split, 0))
        if not counts[split] and (left_out or split != "test"):
            why = (
                f": all samples in it are left out ({left_out}, keep is false)" if left_out else ""
            )
            found.append(f"the {split} split is empty{why}")
    return found


def repeated_images(manifest: Manifest) -> str | None:
    """Return a sentence on images whose exact bytes are in several splits, None without any."""
    duplicates = _duplicates(manifest.table[manifest.table["keep"]])
    if not duplicates:
        return None
    listed = joined((" = ".join(names) for names in duplicates), _LISTED)
    return (
        "image files that are byte for byte in several splits, so scores look better than on new "
        f"data: {listed}"
    )


def _duplicates(kept: pd.DataFrame) -> list[list[str]]:
    found = []
    for _, rows in kept[kept["sha256"].notna()].groupby("sha256"):
        if rows["split"].nunique() > 1:
            found.append(sorted(rows["split"] + "/" + rows["sample_id"]))
    return sorted(found)


def _warnings(
    manifest: Manifest,
    place: str,
    absent: dict[str, list[str]],
    straddling: pd.DataFrame,
    left_out: list[str],
) -> list[str]:
    warnings = []
    warnings += empty_splits(manifest)
    if len(straddling):
        listed = joined(map(_spread, straddling.to_dict(orient="records")), _LISTED)
        warnings.append(
            "groups in several splits, so scores look better than on new data: "
            f"{listed}; use folds by group"
        )
    scenes = scenes_in_names(manifest)
    if scenes is not None:
        split = shell_command("seglab", "data", "split", place, "--out", "FOLDER")
        warnings.append(scenes.sentence(f"`{split}`"))
    repeated = repeated_images(manifest)
    warnings += [] if repeated is None else [repeated]
    warnings += [
        f"{split}: no pixel of {', '.join(names)}; their scores there are undefined"
        for split, names in absent.items()
        if names
    ]
    if left_out:
        warnings.append(f"left out (keep is false): {joined(left_out, _LISTED)}")
    return warnings


def _spread(row: dict[Any, Any]) -> str:
    places = ", ".join(f"{split} {row[split]}" for split in SPLITS if row.get(split, 0))
    return f"{row['group']} ({places})"


def format_description(description: Description) -> str:
    """Return the findings as plain text of a few tables."""
    shown = description.splits.copy()
    shown["ignored_share"] = shown["ignored_share"].map(_percent)
    parts = [f"{description.name}  (fingerprint {description.fingerprint})", shown.to_string()]
    sizes = description.sizes
    text = sizes.head(_LISTED).to_string(index=False)
    more = f"\n... and {len(sizes) - _LISTED} more" if len(sizes) > _LISTED else ""
    more += f"\n{description.bands}, numbered from 1" if description.bands else ""
    parts.append(f"Image sizes\n{text}{more}")
    if len(description.pixel_share.columns):
        parts.append(f"Classes\n{_class_table(description)}")
    if len(description.tags):
        parts.append(f"Tags\n{description.tags.to_string()}")
    if description.flags:
        flags = ", ".join(f"{flag} {count}" for flag, count in description.flags.items())
        parts.append(f"Flags: {flags}")
    if description.warnings:
        parts.append("\n".join(f"Warning: {text}" for text in description.warnings))
    return "\n\n".join(parts) + "\n"


def _class_table(description: Description) -> str:
    columns: dict[str, pd.Series] = {}
    for split in description.pixel_share.columns:
        columns[f"{split} pixels"] = description.pixel_share[split].map(_percent)
        columns[f"{split} images"] = description.image_share[split].map(_percent)
        columns[f"{split} groups"] = description.support[split, "groups"].map(str)
    return pd.DataFrame(columns).to_string()


def _percent(share: float) -> str:
    return "-" if np.isnan(share) else f"{100 * share:.2f} %"
