"""What must hold within and among the columns of a manifest's table (`seglab.data.table`)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa

from seglab.core.text.wording import joined
from seglab.data.columns import list_sums, matches, text_array
from seglab.data.table import COLUMNS, SCHEMA, SPLITS, URL

_HEXADECIMAL = {"sha256": 64, "mask_sha256": 64, "phash": 16}
_SECRET = rf"{URL}[^/]*@|^https?://.*\?"
# Empty, absolute, with a backslash, or through a folder above.
_OUTSIDE = r"^$|^/|\\|(^|/)\.\.(/|$)"


def table_problems(
    table: pd.DataFrame,
    num_classes: int,
    content: pa.Table | None = None,
    changed: Collection[str] = COLUMNS,
) -> list[str]:
    """Return every way in which a normalised table breaks its contract; empty when it is valid.

    Args:
        table: The table.
        num_classes: Of its label space.
        content: The same as Arrow, where it is at hand.
        changed: The columns that are not those of a valid table: what rests on others alone holds.
    """
    looks = _Looks(table, num_classes, content, changed)
    looks.at_names()
    looks.at_paths_and_hashes()
    looks.at_sizes()
    if looks.touched("keep", "mask", "height", "width", "class_pixels"):
        looks.at_class_pixels()
    return looks.problems


@dataclass(frozen=True, eq=False)
class _Looks:
    """The looks at a normalised table, for the columns that changed, and what they found."""

    table: pd.DataFrame
    num_classes: int
    content: pa.Table | None
    changed: Collection[str]
    problems: list[str] = field(default_factory=list)

    def touched(self, *columns: str) -> bool:
        return any(column in self.changed for column in columns)

    def _report(self, rows: pd.Series | np.ndarray, text: str) -> None:
        if rows.any():
            self.problems.append(f"{text}: {joined(self.table.loc[rows, 'sample_id'], 5)}")

    def _texts(self, column: str) -> pa.Array | pa.ChunkedArray:
        return text_array(self.table[column]) if self.content is None else self.content[column]

    def at_names(self) -> None:
        table = self.table
        if self.touched("sample_id"):
            self._report(table["sample_id"].duplicated(), "sample_id must be unique, repeated")
            self._report(table["sample_id"] == "", "empty sample_id")
        if self.touched("group"):
            no_group = "empty group (use the sample_id when there is none)"
            self._report(table["group"] == "", no_group)
        if self.touched("split"):
            unknown = ~table["split"].isin(SPLITS)
            if unknown.any():
                found = ", ".join(sorted(set(table.loc[unknown, "split"])))
                self.problems.append(f"split must be one of {', '.join(SPLITS)}, got {found}")

    def at_paths_and_hashes(self) -> None:
        for column in filter(self.touched, ("image", "mask")):
            texts = self._texts(column)
            # One look at all rows, and two where it finds something.
            if matches(texts, f"{_OUTSIDE}|{_SECRET}").any():
                outside, secret = matches(texts, _OUTSIDE), matches(texts, _SECRET)
                self._report(outside, f"{column} must be a path inside the root, with '/'")
                by_environment = "is a URL that holds credentials; give them by the environment"
                self._report(secret, f"{column} {by_environment}")
        for column, digits in _HEXADECIMAL.items():
            if self.touched(column):
                wrong = ~matches(self._texts(column), f"^[0-9a-f]{{{digits}}}$")
                wrong &= self.table[column].notna().to_numpy()
                self._report(wrong, f"{column} is not hexadecimal of the right length")

    def at_sizes(self) -> None:
        table, keep = self.table, self.table["keep"]
        if self.touched("keep", "split", "mask"):
            wanted = keep & (table["split"] != "unlabeled")
            self._report(wanted & table["mask"].isna(), "no mask though not unlabeled")
        if self.touched("keep", "height", "width"):
            sized = (table["height"] > 0) & (table["width"] > 0)
            self._report(keep & ~sized, "height and width must be positive")

    def at_class_pixels(self) -> None:
        table, keep = self.table, self.table["keep"]
        lengths, total = list_sums(
            pa.array(table["class_pixels"], SCHEMA.field("class_pixels").type)
            if self.content is None
            else self.content["class_pixels"]
        )
        count = self.num_classes + 1
        self._report(
            ~np.isin(lengths, (0, count)) | (keep & table["mask"].notna() & (lengths == 0)),
            f"class_pixels needs {count} values: {count - 1} classes, then ignored pixels",
        )
        self._report(
            keep & (lengths > 0) & (total != table["height"] * table["width"]),
            "class_pixels do not sum to height * width",
        )
