"""What an audit finds: kinds, each declared once beside the check that finds it, and findings of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

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
    """

    kind: str
    sample_id: str
    detail: str = ""
    value: float | None = None
    region: tuple[int, int, int, int] | None = None
    other: str | None = None

    @property
    def id(self) -> str:
        """12 hexadecimal digits, the same in every audit that finds this again."""
        text = "\n".join([self.kind, self.sample_id, self.other or "", str(self.region)])
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
    columns = {name: [row[name] for row in rows] for name in _SCHEMA.names}
    return pd.DataFrame({name: pd.Series(column, dtype=object) for name, column in columns.items()})


def write_findings(table: pd.DataFrame, folder: Path) -> Path:
    """Write the table into `folder` as Parquet, in one step; return the path."""
    path = folder / FINDINGS_NAME
    content = pa.Table.from_pydict({name: table[name].tolist() for name in _SCHEMA.names}, _SCHEMA)
    with atomic_path(path) as temporary:
        pq.write_table(content, temporary)
    return path


def read_findings(path: Path) -> pd.DataFrame:
    """Read what `write_findings` wrote, from the file or its folder.

    Raises:
        DataNotFoundError: There is none.
        DataError: It is damaged or something else.
    """
    file = path / FINDINGS_NAME if path.is_dir() else path
    if not file.is_file():
        raise DataNotFoundError(f"no findings at {path}; write them with `seglab data audit`")
    try:
        content = pq.read_table(file, columns=_SCHEMA.names)
    except (pa.ArrowInvalid, KeyError, OSError) as error:
        raise DataError(f"{file} holds no findings of an audit: {error}") from error
    columns = {name: content.column(name).to_pylist() for name in content.column_names}
    return pd.DataFrame({name: pd.Series(columns[name], dtype=object) for name in columns})
