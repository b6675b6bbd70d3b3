"""Reads the log: the columns and the time that are asked for, whatever was left behind by whom."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from seglab.core.errors import ConfigError, DataNotFoundError, nearest
from seglab.core.problems import show_names
from seglab.monitor.log.parts import parts_of, replaced_by
from seglab.monitor.log.schema import SCHEMA, VERSION, VERSION_KEY

Time = datetime.datetime | float
_LOG = logging.getLogger("seglab.monitor")
_READERS = 4


class _Part(NamedTuple):
    path: Path
    rows: pa.Table | None
    replaces: Sequence[str]
    fault: str | None


def read_log(
    folder: str | Path,
    start: Time | None = None,
    end: Time | None = None,
    columns: Sequence[str] | None = None,
    bundle: str | None = None,
    tell: Callable[[str], None] = _LOG.warning,
) -> pa.Table:
    """Return rows of the log, in order of time.

    Args:
        folder: Of the log.
        start: First time; a datetime without a zone is in UTC, a number in seconds since 1970.
        end: First time that is left out.
        columns: Those that are read; None: all. Few columns are read much faster.
        bundle: Id of the bundle whose rows are read; None: of all.
        tell: Gets a line for files that cannot be read; they are left out.

    Raises:
        ConfigError: There is no such column.
        DataNotFoundError: There is no such folder.
    """
    place = Path(folder).expanduser()
    if not place.is_dir():
        raise DataNotFoundError(f"{place}: expected a folder, the log of seglab serve")
    names = list(SCHEMA.names if columns is None else columns)
    if unknown := [name for name in names if name not in SCHEMA.names]:
        raise ConfigError(
            f"columns: no such column '{unknown[0]}'{nearest(unknown[0], SCHEMA.names)}"
        )
    low, high = _moment(start), _moment(end)
    days = [one.strftime("%Y-%m-%d") if one else other for one, other in ((low, ""), (high, "9"))]

    def read(path: Path) -> _Part:
        return _read(path, _kept(low, high, bundle), names)

    with ThreadPoolExecutor(_READERS) as pool:
        parts = list(pool.map(read, parts_of(place, *days)))
    if faults := [f"{part.path.name} ({part.fault})" for part in parts if part.fault]:
        tell(f"{place}: left out {len(faults)} files that cannot be read: {show_names(faults)}")
    joined = {name for part in parts for name in part.replaces}
    tables = [part.rows for part in parts if part.rows is not None and part.path.name not in joined]
    wanted = pa.schema([SCHEMA.field(name) for name in dict.fromkeys([*names, "time"])])
    return in_order(pa.concat_tables([wanted.empty_table(), *tables])).select(names)


def in_order(table: pa.Table) -> pa.Table:
    """Return rows in order of time; those of one writer are already, and to move them takes long."""
    times = table["time"].cast(pa.int64()).to_numpy()
    return table if (times[1:] >= times[:-1]).all() else table.sort_by("time")


def _moment(time: Time | None) -> datetime.datetime | None:
    if time is None:
        return None
    if not isinstance(time, datetime.datetime):
        return datetime.datetime.fromtimestamp(time, datetime.UTC)
    return (time if time.tzinfo else time.replace(tzinfo=datetime.UTC)).astimezone(datetime.UTC)


def _kept(
    low: datetime.datetime | None, high: datetime.datetime | None, bundle: str | None
) -> pc.Expression | None:
    """Return which rows are asked for; None: all."""
    kind = SCHEMA.field("time").type
    terms = [pc.field("time") >= pa.scalar(low, kind)] if low else []
    terms += [pc.field("time") < pa.scalar(high, kind)] if high else []
    terms += [pc.field("bundle") == bundle] if bundle is not None else []
    whole = None
    for term in terms:
        whole = term if whole is None else whole & term
    return whole


def _read(path: Path, kept: pc.Expression | None, names: Sequence[str]) -> _Part:
    wanted = list(dict.fromkeys([*names, "time"]))
    try:
        metadata: dict[Any, Any] = pq.read_schema(path).metadata or {}
        version = int(metadata.get(VERSION_KEY, b"0"))
        if version != VERSION:
            fault = f"version {version}, expected {VERSION}; update seglab"
            return _Part(path, None, (), fault)
        rows = pq.read_table(path, columns=wanted, filters=kept, use_threads=False)
        rows = rows.select(wanted).replace_schema_metadata(None)
        return _Part(path, rows, replaced_by(metadata), None)
    except FileNotFoundError:
        return _Part(path, None, (), None)  # pruned or joined meanwhile
    except (OSError, ValueError, pa.ArrowException) as error:
        return _Part(path, None, (), str(error).partition("\n")[0])
