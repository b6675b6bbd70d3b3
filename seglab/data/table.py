"""The columns of a manifest: their types, what they mean, and what must hold among them.

| column | type | meaning |
|---|---|---|
| `sample_id` | str | unique name of the sample |
| `image` | str | path of the image relative to the root, with `/` |
| `mask` | str or None | path of the mask relative to the root; None: not labelled |
| `height`, `width` | int | size in pixels as decoded (EXIF orientation applied); 0 if it could not be |
| `split` | str | `train`, `val`, `test` or `unlabeled` |
| `group` | str | the unit no split may cut: scene, patient, video |
| `annotator` | str or None | who drew the mask |
| `tags` | list[str] | properties to slice by, for example `night` |
| `sha256` | str or None | SHA-256 of the bytes of the image file |
| `mask_sha256` | str or None | SHA-256 of the bytes of the mask file; a table may lack the column, then none is known |
| `phash` | str or None | perceptual hash of the image, 16 hexadecimal digits |
| `class_pixels` | list[int] | pixels of each class in the mask, then as last entry the ignored ones; empty without a readable mask |
| `flags` | list[str] | faults found by import or audit |
| `keep` | bool | False takes the sample out of every split without losing the row |
"""  # noqa: E501

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from seglab.core.text.wording import joined

SPLITS = ("train", "val", "test", "unlabeled")
SCHEMA = pa.schema(
    [
        ("sample_id", pa.string()),
        ("image", pa.string()),
        ("mask", pa.string()),
        ("height", pa.int64()),
        ("width", pa.int64()),
        ("split", pa.string()),
        ("group", pa.string()),
        ("annotator", pa.string()),
        ("tags", pa.list_(pa.string())),
        ("sha256", pa.string()),
        ("mask_sha256", pa.string()),
        ("phash", pa.string()),
        ("class_pixels", pa.list_(pa.int64())),
        ("flags", pa.list_(pa.string())),
        ("keep", pa.bool_()),
    ]
)
COLUMNS = tuple(SCHEMA.names)
_NULLABLE = frozenset({"mask", "annotator", "sha256", "mask_sha256", "phash"})
# Younger than the first manifests; all unknown where a table does not have them.
_LATER = frozenset({"mask_sha256"})
_SHA256 = re.compile(r"[0-9a-f]{64}")
_HEXADECIMAL = {"sha256": _SHA256, "mask_sha256": _SHA256, "phash": re.compile(r"[0-9a-f]{16}")}


def normalise(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the table with columns in order and plain Python content, and what could not be read.

    Missing values become None, arrays become lists, integral floats become int, the index counts
    from 0. Where problems are returned the table must not be used.
    """
    table = table.assign(**{name: None for name in _LATER if name not in table.columns})
    missing = [name for name in COLUMNS if name not in table.columns]
    extra = [str(name) for name in table.columns if name not in COLUMNS]
    problems = []
    if missing:
        problems.append(f"missing columns: {', '.join(missing)}")
    if extra:
        problems.append(f"unknown columns: {', '.join(extra)}; columns are {', '.join(COLUMNS)}")
    if problems:
        return table, problems
    columns: dict[str, pd.Series] = {}
    for field in SCHEMA:
        converted, faults = _convert_column(table[field.name].tolist(), field)
        problems += faults
        dtype = {"int64": "int64", "bool": "bool"}.get(str(field.type), "object")
        columns[field.name] = pd.Series(converted, dtype="object" if faults else dtype)
    return pd.DataFrame(columns), problems


def _convert_column(values: Sequence[Any], field: pa.Field) -> tuple[list[Any], list[str]]:
    convert, expected = _CONVERTERS[str(field.type)]
    converted, wrong = [], []
    for row, value in enumerate(values):
        if _is_missing(value):
            result = None if field.name in _NULLABLE else _WRONG
        else:
            result = convert(value)
        if result is _WRONG:
            wrong.append(f"row {row}: {value!r}")
        converted.append(result)
    if not wrong:
        return converted, []
    return converted, [f"{field.name} must be {expected}; {joined(wrong, 3)}"]


_WRONG = object()


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value))


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, str) else _WRONG


def _integer(value: Any) -> Any:
    if isinstance(value, bool | np.bool_):
        return _WRONG
    if isinstance(value, int | np.integer):
        return int(value)
    return int(value) if isinstance(value, float | np.floating) and value == int(value) else _WRONG


def _boolean(value: Any) -> Any:
    return bool(value) if isinstance(value, bool | np.bool_) else _WRONG


def _list_of(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def convert_list(value: Any) -> Any:
        if not isinstance(value, list | tuple | np.ndarray):
            return _WRONG
        items = [convert(item) for item in value]
        return _WRONG if any(item is _WRONG for item in items) else items

    return convert_list


_CONVERTERS: dict[str, tuple[Callable[[Any], Any], str]] = {
    str(pa.string()): (_text, "text"),
    str(pa.int64()): (_integer, "an integer"),
    str(pa.bool_()): (_boolean, "true or false"),
    str(pa.list_(pa.string())): (_list_of(_text), "a list of text"),
    str(pa.list_(pa.int64())): (_list_of(_integer), "a list of integers"),
}


def table_problems(table: pd.DataFrame, num_classes: int) -> list[str]:
    """Return every way in which a normalised table breaks its contract; empty when it is valid."""
    problems: list[str] = []

    def report(rows: pd.Series, text: str) -> None:
        if rows.any():
            problems.append(f"{text}: {joined(table.loc[rows, 'sample_id'], 5)}")

    keep, labelled = table["keep"], table["mask"].notna()
    report(table["sample_id"].duplicated(), "sample_id must be unique, repeated")
    report(table["sample_id"] == "", "empty sample_id")
    report(table["group"] == "", "empty group (use the sample_id when there is none)")
    unknown = ~table["split"].isin(SPLITS)
    if unknown.any():
        found = sorted(set(table.loc[unknown, "split"]))
        problems.append(f"split must be one of {', '.join(SPLITS)}, got {', '.join(found)}")
    for column in ("image", "mask"):
        report(~table[column].map(_is_inside), f"{column} must be a path inside the root, with '/'")
    for column, pattern in _HEXADECIMAL.items():
        wrong = table[column].map(
            lambda text, p=pattern: text is not None and not p.fullmatch(text)
        )
        report(wrong.astype(bool), f"{column} is not hexadecimal of the right length")
    report(keep & (table["split"] != "unlabeled") & ~labelled, "no mask though not unlabeled")
    sized = (table["height"] > 0) & (table["width"] > 0)
    report(keep & ~sized, "height and width must be positive")
    lengths = table["class_pixels"].map(len)
    report(
        ~lengths.isin((0, num_classes + 1)) | (keep & labelled & (lengths == 0)),
        f"class_pixels needs {num_classes + 1} values: {num_classes} classes, then ignored pixels",
    )
    total = table["class_pixels"].map(sum)
    report(
        keep & (lengths > 0) & (total != table["height"] * table["width"]),
        "class_pixels do not sum to height * width",
    )
    return problems


def _is_inside(path: str | None) -> bool:
    if path is None:
        return True
    return (
        bool(path)
        and "\\" not in path
        and not PurePosixPath(path).is_absolute()
        and ".." not in PurePosixPath(path).parts
    )
