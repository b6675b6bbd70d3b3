"""Many run records as one tidy table, for comparison and notebooks.

Reads `run.json` only (the configuration is in it), so thousands of runs take a second or two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from seglab.core.errors import DataError, RunNotFoundError, list_problems
from seglab.runs.locate import RECORD_FILE, describe_missing, find_runs
from seglab.runs.process import effective_status
from seglab.runs.record import RunRecord
from seglab.runs.schema import read_record

# Field of the record -> column; nested fields follow as config.*, metrics.* and so on.
_COLUMNS = {
    "run_id": "run_id", "experiment": "experiment", "name": "name", "kind": "kind",
    "parent": "parent", "status": "status", "seed": "seed", "fold": "fold",
    "dataset_fingerprint": "fingerprint", "config_hash": "config_hash", "started": "started",
    "ended": "ended", "wall_time_s": "wall_time_s", "resumed": "resumed", "device": "device",
    "tags": "tags",
}  # fmt: skip


def load_runs(runs: str | Path | Iterable[str | Path]) -> pd.DataFrame:
    """Return one row a run.

    Args:
        runs: A folder with runs anywhere below it, or run folders (or such folders) one by one.

    Returns:
        Columns run_id, experiment, name, kind, parent, status (a run whose process is gone reads as
        interrupted), seed, fold, fingerprint, config_hash, started, ended, wall_time_s, resumed,
        device, tags, git_commit, git_dirty, error, run_dir; then `config.*` with dots for nesting
        and `metrics.*`. A value a run lacks, or an undefined metric, is NaN (None for text).

    Raises:
        RunNotFoundError: A path given by name holds no run.
        DataError: Records are broken; all are named.
    """
    folders = list(_folders(runs))
    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    for folder in folders:
        try:
            rows.append(_row(folder, read_record(folder / RECORD_FILE)))
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError(list_problems(f"{len(problems)} broken run records", problems))
    return _frame(rows)


def load_histories(runs: str | Path | Iterable[str | Path]) -> pd.DataFrame:
    """Return the learning curves of many runs below each other, with a first column `run_id`."""
    frames = []
    for folder in _folders(runs):
        record = RunRecord(folder)
        frame = record.history()
        frame.insert(0, "run_id", record.run_id)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame({"run_id": []})


def _folders(runs: str | Path | Iterable[str | Path]) -> Iterator[Path]:
    if isinstance(runs, str | Path):
        yield from find_runs(runs)
        return
    seen: set[Path] = set()
    for given in runs:
        path = Path(given)
        found = find_runs(path.parent if path.name == RECORD_FILE else path)
        if not found:
            raise RunNotFoundError(describe_missing(path, None))
        for folder in found:
            if folder not in seen:
                seen.add(folder)
                yield folder


def _row(folder: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    row = {column: content[field] for field, column in _COLUMNS.items()}
    row["status"] = effective_status(content)
    git, error = content["git"] or {}, content["error"] or {}
    row["git_commit"], row["git_dirty"] = git.get("commit"), git.get("dirty")
    row["error"] = f"{error['type']}: {error['message']}" if error else None
    row["run_dir"] = str(folder)
    _flatten("config", content["config"], row)
    for key, value in content["metrics"].items():
        row[f"metrics.{key}"] = float("nan") if value is None else value
    return row


def _flatten(prefix: str, content: Mapping[str, Any], row: dict[str, Any]) -> None:
    for key, value in content.items():
        name = f"{prefix}.{key}"
        # An empty mapping has no leaves; without this its column would vanish.
        if isinstance(value, dict) and value:
            _flatten(name, value, row)
        else:
            row[name] = value


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Build the table column by column: much faster than from a list of dictionaries."""
    names = dict.fromkeys([*_COLUMNS.values(), "git_commit", "git_dirty", "error", "run_dir"])
    found = {name for row in rows for name in row}
    for prefix in ("config.", "metrics."):
        names |= dict.fromkeys(sorted(name for name in found if name.startswith(prefix)))
    return pd.DataFrame({name: [row.get(name) for row in rows] for name in names})
