"""The files of a fold plan: rows in Parquet with a head of their own, and a YAML to read.

Knows tables and plain content only, so that `plan` can say what they mean.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from seglab.core.disk.files import atomic_path, write_text
from seglab.core.errors import DataError, DataNotFoundError

FOLDS_NAME = "folds.parquet"
_SCHEMA_VERSION = 1
_METADATA_KEY = b"seglab_folds"
_SCHEMA = pa.schema(
    [(name, pa.int64()) for name in ("repeat", "fold", "inner")]
    + [(name, pa.string()) for name in ("sample_id", "role", "group")]
)


@dataclass(frozen=True)
class StoredFolds:
    """What a file of folds holds.

    Args:
        file: The Parquet file.
        head: Hash, fingerprint, settings and sizes.
        groups: Pairs of sample id and group, in natural order of the ids.
        rows: `(repeat, fold, inner, sample_id, role)`, as written.
    """

    file: Path
    head: dict[str, Any]
    groups: list[tuple[str, str]]
    rows: list[tuple[int, int, int, str, str]]


def write(
    folder: Path, table: pd.DataFrame, groups: Sequence[tuple[str, str]], head: Mapping[str, Any]
) -> Path:
    """Write both files, the Parquet file, which alone counts, first; return its path."""
    path = folder / FOLDS_NAME
    head = {"schema_version": _SCHEMA_VERSION, **head}
    content = pa.Table.from_pandas(table, schema=_SCHEMA, preserve_index=False)
    stored = json.dumps({"head": head, "groups": groups})
    content = content.replace_schema_metadata({_METADATA_KEY: stored.encode()})
    with atomic_path(path) as temporary:
        pq.write_table(content, temporary)
    text = yaml.safe_dump(head, sort_keys=False, allow_unicode=True, default_flow_style=None)
    write_text(path.with_suffix(".yaml"), text)
    return path


def read(path: Path) -> StoredFolds:
    """Read what `write` wrote, from the folder or the Parquet file.

    Raises:
        DataNotFoundError: There is no such file.
        DataError: It is damaged, no file of folds, or of another version.
    """
    file = path / FOLDS_NAME if path.is_dir() else path
    if not file.is_file():
        raise DataNotFoundError(f"no folds at {path}: expected a folder with {FOLDS_NAME}")
    try:
        content = pq.read_table(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{file} is not a readable Parquet file: {error}") from error
    metadata = content.schema.metadata or {}
    if _METADATA_KEY not in metadata:
        raise DataError(f"{file} is a Parquet file, but its metadata holds no folds of seglab")
    stored = json.loads(metadata[_METADATA_KEY])
    head = stored["head"]
    if head["schema_version"] != _SCHEMA_VERSION:
        raise DataError(
            f"{file} has folds of schema {head['schema_version']}, this seglab reads "
            f"{_SCHEMA_VERSION}; make the folds again"
        )
    columns = [content.column(name).to_pylist() for name in _SCHEMA.names[:-1]]
    groups = [(name, group) for name, group in stored["groups"]]
    return StoredFolds(file, head, groups, list(zip(*columns, strict=True)))
