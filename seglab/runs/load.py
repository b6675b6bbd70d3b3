"""Many run records as one tidy table, for comparison and notebooks.

Reads `run.json` only (the configuration is in it). Ten thousand records of 10 KB take one to two
seconds on one core (scripts/bench_load.py), without an index that could go stale: runs of a study
repeat most of their configuration word for word, and a block of text met before is not parsed again
(see `RecordText`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglab.core.errors import DataError, RunNotFoundError, list_problems
from seglab.runs.locate import RECORD_FILE, describe_missing, find_runs
from seglab.runs.process import effective_status
from seglab.runs.record import RunRecord
from seglab.runs.record_text import RecordText

if TYPE_CHECKING:
    import pandas as pd

FOLDS_DIR = "folds"
CV = "cv"

Runs = str | Path | Iterable[str | Path]

# Field of the record -> column; nested fields follow as config.*, metrics.* and so on.
_FIELDS = (
    "run_id experiment name kind parent status seed fold dataset_fingerprint config_hash started ended "
    "wall_time_s resumed device tags"
)
_COLUMNS = {name: name.removeprefix("dataset_") for name in _FIELDS.split()}
_MORE_COLUMNS = ("git_commit", "git_dirty", "error", "run_dir")
# On a network file system a read waits for the server; threads wait together.
_READERS = 8
_CHUNK = 256


def load_runs(runs: Runs, folds: bool = True) -> pd.DataFrame:
    """Return one row per run.

    Args:
        runs: A folder with runs anywhere below it, or run folders (or such folders) one by one.
        folds: Let the folds of a cross-validation, which lie in its folder, follow it. Their
            `parent` is the id of the cross-validation.

    Returns:
        Columns run_id, experiment, name, kind, parent, status (a run whose process is gone reads as
        interrupted), seed, fold, fingerprint, config_hash, started, ended, wall_time_s, resumed,
        device, tags, git_commit, git_dirty, error, run_dir; then `config.*` with dots for nesting
        and `metrics.*`. A value a run lacks, or an undefined metric, is missing (NaN). Lists
        in cells may be shared between rows: do not change them in place.

    Raises:
        RunNotFoundError: A path given by name holds no run.
        DataError: Records are broken; all are named.
    """
    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    reader = RecordText()
    for folder, text in _read_all(_folders(runs)):
        for place, content in _with_folds(folder, text, reader, folds):
            if isinstance(content, str):
                problems.append(content)
            else:
                rows.append(_row(place, content))
    if problems:
        raise DataError(list_problems(f"{len(problems)} broken run records", problems))
    return _frame(_without_repeats(rows))


def load_histories(runs: Runs, folds: bool = True) -> pd.DataFrame:
    """Return the learning curves of many runs below each other.

    Args:
        runs: As for `load_runs`.
        folds: As for `load_runs`.

    Returns:
        The columns of all histories after a first column `run_id`. A run without a history, such as
        a cross-validation itself, has no row.
    """
    import pandas as pd

    frames = []
    for folder in _folders(runs):
        below = find_runs(folder / FOLDS_DIR, depth=1) if folds else []
        for place in (folder, *below):
            record = RunRecord(place)
            frame = record.history()
            frame.insert(0, "run_id", record.run_id)
            frames.append(frame)
    filled = [frame for frame in frames if not frame.empty] or frames[:1]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame({"run_id": []})


def _folders(runs: Runs) -> Iterator[Path]:
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


def _read_all(folders: Iterable[Path]) -> Iterator[tuple[Path, bytes]]:
    """Yield each folder with the bytes of its record, in order; some are read ahead."""
    listed = list(folders)
    with ThreadPoolExecutor(_READERS) as pool:
        for start in range(0, len(listed), _CHUNK * _READERS):
            part = listed[start : start + _CHUNK * _READERS]
            blocks = [part[at : at + _CHUNK] for at in range(0, len(part), _CHUNK)]
            for block, texts in zip(blocks, pool.map(_read_block, blocks), strict=True):
                yield from zip(block, texts, strict=True)


def _read_block(folders: list[Path]) -> list[bytes]:
    return [(folder / RECORD_FILE).read_bytes() for folder in folders]


def _with_folds(
    folder: Path, text: bytes, reader: RecordText, folds: bool
) -> Iterator[tuple[Path, dict[str, Any] | str]]:
    """Yield the record of a folder, and those of its folds; a broken one as what is wrong."""
    try:
        content = reader.parse(text, folder / RECORD_FILE)
    except DataError as error:
        yield folder, str(error)
        return
    yield folder, content
    if folds and content["kind"] == CV:
        for fold in find_runs(folder / FOLDS_DIR, depth=1):
            yield from _with_folds(fold, (fold / RECORD_FILE).read_bytes(), reader, folds)


def _row(folder: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    row = {column: content[field] for field, column in _COLUMNS.items()}
    row["status"] = effective_status(content)
    git, error = content["git"] or {}, content["error"] or {}
    row["git_commit"], row["git_dirty"] = git.get("commit"), git.get("dirty")
    row["error"] = f"{error['type']}: {error['message']}" if error else None
    row["run_dir"] = str(folder)
    row.update(content["config"])
    undefined = float("nan")
    for key, value in content["metrics"].items():
        row[f"metrics.{key}"] = undefined if value is None else value
    return row


def _without_repeats(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep the first row of a folder: a fold may be named beside its cross-validation."""
    first: dict[str, dict[str, Any]] = {}
    for row in rows:
        first.setdefault(row["run_dir"], row)
    return list(first.values())


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Build the table column by column: much faster than from a list of dictionaries."""
    import pandas as pd

    names = dict.fromkeys([*_COLUMNS.values(), *_MORE_COLUMNS])
    columns = _columns(rows)
    for prefix in ("config.", "metrics."):
        names |= dict.fromkeys(sorted(name for name in columns if name.startswith(prefix)))
    return pd.DataFrame({name: columns.get(name, []) for name in names})


def _columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Turn rows into columns; rows with the same keys, as those of a study, at one go."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for number, row in enumerate(rows):
        groups.setdefault(tuple(row), []).append(number)
    columns: dict[str, list[Any]] = {}
    for keys, numbers in groups.items():
        together = zip(*(rows[number].values() for number in numbers), strict=True)
        for key, values in zip(keys, together, strict=True):
            if len(groups) == 1:
                columns[key] = list(values)
                continue
            column = columns.setdefault(key, [None] * len(rows))
            for number, value in zip(numbers, values, strict=True):
                column[number] = value
    return columns
