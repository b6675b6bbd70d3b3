"""What an audit finds: kinds, each declared once beside the check that finds it, and findings of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from seglab.core.disk.files import atomic_path
from seglab.core.errors import DataError, DataNotFoundError

Severity = Literal["error", "warning", "note"]
Action = Literal["drop", "relabel", "cap", "look"]
Need = Literal["files", "images", "masks", "folds", "predictions", "encoder"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
FINDINGS_NAME = "findings.parquet"


@dataclass(frozen=True)
class Kind:
    """One kind of finding.

    Args:
        name: Stands in the manifest's flags.
        severity: `error`: the sample cannot be used as it is. `warning`: scores or training suffer.
            `note`: worth a look.
        summary: What it means, one sentence.
        action: What is proposed: `drop` the sample, `relabel` it, `cap` the copies, or `look` at it.
        needs: What the check has to see.
        limit: Where the measured value begins to count; None where nothing is measured.
        limit_meaning: What the limit is, with its unit.
    """

    name: str
    severity: Severity
    summary: str
    action: Action
    needs: Need
    limit: float | None = None
    limit_meaning: str = ""


@dataclass(frozen=True)
class Finding:
    """One thing found.

    Args:
        kind: Name of its kind.
        sample_id: The sample.
        detail: What exactly, in words.
        value: What was measured, in the unit of the kind's limit; None where nothing is.
        region: Box `(x0, y0, x1, y1)` in pixels of the mask, ends exclusive; None: the whole image.
        other: The sample it was found together with, such as the one it is a copy of.
        number: Tells apart what was found in one region of one sample: 0, 1, ...
    """

    kind: str
    sample_id: str
    detail: str = ""
    value: float | None = None
    region: tuple[int, int, int, int] | None = None
    other: str | None = None
    number: int = 0

    @property
    def id(self) -> str:
        """12 hexadecimal digits, the same in every audit that finds this again."""
        parts = [self.kind, self.sample_id, self.other or "", str(self.region)]
        text = "\n".join([*parts, str(self.number)] if self.number else parts)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("kind", pa.string()),
        ("severity", pa.string()),
        ("sample_id", pa.string()),
        ("region", pa.list_(pa.int64())),
        ("other", pa.string()),
        ("value", pa.float64()),
        ("action", pa.string()),
        ("detail", pa.string()),
    ]
)


def findings_table(findings: Iterable[Finding], kinds: dict[str, Kind]) -> pd.DataFrame:
    """Return findings as rows with id, severity and proposed action, the gravest kinds first."""
    order = {name: place for place, name in enumerate(kinds)}
    rows = [
        {
            **asdict(one),
            "region": None if one.region is None else list(one.region),
            "id": one.id,
            "severity": kinds[one.kind].severity,
            "action": kinds[one.kind].action,
        }
        for one in findings
    ]
    rows.sort(key=lambda row: (SEVERITIES.index(row["severity"]), order[row["kind"]]))
    return rows_frame(rows, _SCHEMA.names)


def write_findings(table: pd.DataFrame, folder: Path) -> Path:
    """Write the table into `folder` as Parquet, in one step; return the path."""
    return write_rows(table, _SCHEMA, folder / FINDINGS_NAME)


def read_findings(path: Path) -> pd.DataFrame:
    """Read what `write_findings` wrote, from the file or its folder.

    Raises:
        DataNotFoundError: There is none.
        DataError: It is damaged or something else.
    """
    file = path / FINDINGS_NAME if path.is_dir() else path
    if not file.is_file():
        raise DataNotFoundError(f"no findings at {path}; write them with `seglab data audit`")
    return read_rows(file, _SCHEMA, "findings of an audit")


def rows_frame(rows: Iterable[Mapping[str, Any]], names: Iterable[str]) -> pd.DataFrame:
    """Return rows as a table of Python's own values: pandas makes floats of whole numbers beside None."""
    kept = list(rows)
    return pd.DataFrame(
        {name: pd.Series([row[name] for row in kept], dtype=object) for name in names}
    )


def write_rows(table: pd.DataFrame, schema: pa.Schema, path: Path) -> Path:
    """Write a table as Parquet, in one step; return the path."""
    content = pa.Table.from_pydict({name: table[name].tolist() for name in schema.names}, schema)
    with atomic_path(path) as temporary:
        pq.write_table(content, temporary)
    return path


def read_rows(file: Path, schema: pa.Schema, what: str) -> pd.DataFrame:
    """Read what `write_rows` wrote.

    Raises:
        DataError: The file is damaged or something else.
    """
    try:
        content = pq.read_table(file, columns=schema.names)
    except (pa.ArrowInvalid, KeyError, OSError) as error:
        raise DataError(f"{file} holds no {what}: {error}") from error
    return rows_frame(content.to_pylist(), schema.names)
