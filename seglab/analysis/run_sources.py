"""From what a notebook has at hand (a path, a record, rows of `load_runs`) to what a view needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from seglab.core.errors import DataError, RunNotFoundError
from seglab.core.labels import LabelSpace
from seglab.runs import RunRecord, find_runs, load_runs
from seglab.runs import load_histories as load_histories  # handed on to notebooks

# A run as a folder, a record, or a row of the table of `load_runs`.
RunLike = RunRecord | str | Path | Mapping[str, Any] | pd.Series
# Several: such a table, a folder with runs below it, or a list of runs.
RunsLike = pd.DataFrame | RunLike | Iterable[RunLike]

_MANIFEST = Path("manifest") / "manifest.yaml"


def open_run(run: RunLike) -> RunRecord:
    """Return the record of one run.

    Args:
        run: Its folder, its record, or its row in the table of `load_runs`.

    Raises:
        RunNotFoundError: There is none.
        DataError: A row has no `run_dir`.
    """
    return run if isinstance(run, RunRecord) else RunRecord.open(_folder(run))


def _folder(run: RunLike) -> Path:
    if isinstance(run, RunRecord):
        return run.run_dir
    if isinstance(run, str | Path):
        return Path(run)
    if "run_dir" not in run:
        raise DataError(f"expected a row of load_runs with run_dir, got {sorted(map(str, run))}")
    return Path(str(run["run_dir"]))


def run_title(run: RunLike) -> str:
    """Return how figures call a run: its experiment and its id."""
    record = open_run(run)
    return f"{record.read()['experiment']} {record.run_id}"


def runs_table(runs: RunsLike) -> pd.DataFrame:
    """Return the table of `load_runs` of some runs.

    Args:
        runs: Such a table (also filtered), a run, a folder with runs below it, or a list of runs.
            The folds of a cross-validation come with it, but where a table says which.

    Raises:
        RunNotFoundError: A path holds no run.
    """
    if isinstance(runs, pd.DataFrame):
        return runs
    if isinstance(runs, str | Path | RunRecord | Mapping | pd.Series):
        return load_runs([_folder(runs)])
    return load_runs([_folder(run) for run in runs])


def labels_of(run: RunLike) -> LabelSpace:
    """Return classes, palette and ignored index of the data of a run.

    They stand in the copy of the manifest that a training keeps. A cross-validation has those of
    its folds, an evaluation those of the run it scored.

    Raises:
        DataError: No manifest was found.
    """
    record = open_run(run)
    searched = list(_places(record))
    for folder in searched:
        path = folder / _MANIFEST
        if path.is_file():
            return LabelSpace.from_dict(yaml.safe_load(path.read_text(encoding="utf-8"))["labels"])
    places = ", ".join(str(folder) for folder in dict.fromkeys(searched))
    raise DataError(
        f"run {record.run_id}: expected {_MANIFEST} with its classes in one of {places}; copy it "
        "there from the data set's manifest"
    )


def _places(record: RunRecord) -> Iterator[Path]:
    content = record.read()
    yield record.run_dir
    yield from find_runs(record.run_dir / "folds", depth=1)[:1]
    scored = content["config"].get("run")
    if isinstance(scored, str):
        yield Path(scored)
        yield from find_runs(Path(scored) / "folds", depth=1)[:1]
    if content["parent"]:
        yield record.run_dir.parent / str(content["parent"])
        # A fold lies in the folder of its cross-validation.
        yield record.run_dir.parent.parent


def run_file(run: RunLike, name: str, columns: Sequence[str], advice: str) -> pd.DataFrame:
    """Return a Parquet table out of a run's folder.

    Args:
        run: The run.
        name: Of the file.
        columns: It must have.
        advice: How such a file is made, for the message.

    Raises:
        RunNotFoundError: The run has no such file.
        DataError: It lacks columns.
    """
    record = open_run(run)
    path = record.run_dir / name
    if not path.is_file():
        kind = record.read()["kind"]
        raise RunNotFoundError(f"run {record.run_id} ({kind}) has no {name}; {advice}")
    frame = pd.read_parquet(path)
    missing = [column for column in columns if column not in frame]
    if missing:
        raise DataError(
            f"{path}: expected the columns {', '.join(columns)}; it lacks {', '.join(missing)}"
        )
    return frame
