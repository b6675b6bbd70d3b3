"""The columns of a manifest: their types, what they mean, and what must hold among them.

| column | type | meaning |
|---|---|---|
| `sample_id` | str | unique name of the sample |
| `image` | str | path of the image relative to the root, with `/`, or a URL |
| `mask` | str or None | path of the mask relative to the root, or a URL; None: not labelled |
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

from collections.abc import Callable, Collection
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from seglab.core.text.wording import joined
from seglab.data.columns import column_values, many_lists

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
# As `seglab.core.disk.urls` tells them, but whole: a table holds no paths that lost a slash.
URL = r"^[A-Za-z][A-Za-z0-9+.-]+://"


def normalise(
    table: pd.DataFrame, changed: Collection[str] = COLUMNS
) -> tuple[pd.DataFrame, list[str]]:
    """Return the table with columns in order and plain Python content, and what could not be read.

    Missing values become None, arrays become lists, integral floats become int, the index counts
    from 0. Where problems are returned the table must not be used.

    Args:
        table: Any table.
        changed: Its columns that are not those of a normalised one; the others are taken as they are.
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
    with many_lists():
        for field in SCHEMA:
            if field.name not in changed:
                former = table[field.name]
                columns[field.name] = pd.Series(former.to_numpy(), dtype=former.dtype, copy=False)
                continue
            converted, faults = _convert_column(table[field.name].tolist(), field)
            problems += faults
            dtype = "object" if faults else _DTYPES.get(field.type, "object")
            columns[field.name] = pd.Series(converted, dtype=dtype)
    return pd.DataFrame(columns, copy=False), problems


def fits_schema(content: pa.Table) -> bool:
    """Return whether a table of Arrow has all columns, of the right types, and no value is missing."""
    return (
        {name: content.schema.field(name).type for name in content.column_names}
        == {field.name: field.type for field in SCHEMA}
        and len(content.column_names) == len(SCHEMA)
        and all(
            content[field.name].null_count == 0 for field in SCHEMA if field.name not in _NULLABLE
        )
        and all(
            chunk.values.null_count == 0
            for field in SCHEMA
            if pa.types.is_list(field.type)
            for chunk in content[field.name].chunks
        )
    )


def frame_of(content: pa.Table) -> pd.DataFrame:
    """Return a table of Arrow as plain Python content; normalised where it fits the schema."""
    with many_lists():
        if not fits_schema(content):
            names = content.column_names
            columns = {name: column_values(content.column(name)) for name in names}
            return pd.DataFrame(
                {name: pd.Series(columns[name], dtype="object") for name in columns}
            )
        return pd.DataFrame(
            {
                field.name: pd.Series(
                    column_values(content[field.name]),
                    dtype=_DTYPES.get(field.type, "object"),
                    copy=False,
                )
                for field in SCHEMA
            },
            copy=False,
        )


def _convert_column(values: list[Any], field: pa.Field) -> tuple[list[Any], list[str]]:
    if _is_plain(values, field):
        # The lists are copied, so that a change of one is not a change of two manifests.
        return list(map(list, values)) if pa.types.is_list(field.type) else values, []
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


def _is_plain(values: list[Any], field: pa.Field) -> bool:
    """Return whether a column holds exactly what it is to hold, as that of a file does.

    It is told by the set of its types: looking at each of a million values takes minutes.
    """
    found = set(map(type, values))
    if pa.types.is_list(field.type):
        plain = _PLAIN[str(field.type.value_type)]
        return found <= {list} and set(map(type, chain.from_iterable(values))) <= {plain}
    if field.name in _NULLABLE:
        found.discard(type(None))
    return found <= {_PLAIN[str(field.type)]}


_PLAIN: dict[str, type] = {"string": str, "int64": int, "bool": bool}
_DTYPES = {pa.int64(): "int64", pa.bool_(): "bool"}
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
