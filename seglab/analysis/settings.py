"""Which runs are repeats of one setting: those that differ in nothing but seed and fold."""

from __future__ import annotations

import json
from collections.abc import Hashable, Sequence
from typing import Any

import pandas as pd

from seglab.core.errors import DataError, nearest

# What makes one run a repeat of another.
_REPEATS = ("seed", "cv.fold")
# What changes no number.
_NO_SETTINGS = (
    *("run_name", "experiment_name", "notes", "tags", "resume", "paths.", "logger.", "hydra."),
    *("callbacks.checkpoint.", "callbacks.overlays.", "callbacks.progress"),
    *("cv.workers", "trainer.num_workers"),
)
_MAX_NAMED = 3


def varied_settings(runs: pd.DataFrame) -> list[str]:
    """Return the columns `config.*` in which runs differ, but for seed, fold and mere names."""
    columns = [
        name
        for name in map(str, runs.columns)
        if name.startswith("config.") and is_setting(name[7:])
    ]
    return [name for name in columns if len({_comparable(value) for value in runs[name]}) > 1]


def setting_groups(
    runs: pd.DataFrame, by: str | Sequence[str] | None = None
) -> dict[str, pd.DataFrame]:
    """Cut a table of runs into settings, each with a short name.

    Args:
        runs: From `load_runs`.
        by: Columns that make a setting (`config.model.arch`, or short `model.arch`); None: all
            settings in which the runs differ, and the experiment, so that what is left in a group
            are seeds and folds.

    Returns:
        Name -> its rows, in the order of their first row.

    Raises:
        DataError: There is no such column.
    """
    if by is None:
        varied = varied_settings(runs)
        columns = ["experiment", *varied]
    else:
        columns = [_column(runs, name) for name in ([by] if isinstance(by, str) else by)]
        varied = columns
    keys = [tuple(_comparable(row[name]) for name in columns) for _, row in runs.iterrows()]
    groups: dict[Hashable, list[int]] = {}
    for number, key in enumerate(keys):
        groups.setdefault(key, []).append(number)
    tables = [runs.iloc[numbers] for numbers in groups.values()]
    experiments = "experiment" not in varied and runs["experiment"].nunique() > 1
    names = _names(tables, varied, experiments)
    return dict(zip(names, tables, strict=True))


def is_setting(key: str) -> bool:
    """Tell whether a key of the configuration, such as `optimizer.lr`, can change what a run learns."""
    return key not in _REPEATS and not key.startswith(_NO_SETTINGS)


def _column(runs: pd.DataFrame, name: str) -> str:
    for candidate in (name, f"config.{name}", f"metrics.{name}"):
        if candidate in runs:
            return candidate
    raise DataError(f"there is no column '{name}'{nearest(name, map(str, runs.columns))}")


def _comparable(value: Any) -> Hashable:
    """Return something equal values have in common; NaN equals NaN, lists equal by content."""
    if isinstance(value, list | dict):
        return json.dumps(value, sort_keys=True, default=str)
    return None if value is None or value != value else value


def _names(tables: list[pd.DataFrame], varied: Sequence[str], experiments: bool) -> list[str]:
    last = [name.rsplit(".", 1)[-1] for name in varied]
    short = [
        one if last.count(one) == 1 else name.removeprefix("config.")
        for name, one in zip(varied, last, strict=True)
    ]
    names = []
    for table in tables:
        first = table.iloc[0]
        named = [
            f"{one} {_comparable(first[name])}" if name.startswith("config.") else str(first[name])
            for name, one in zip(varied, short, strict=True)
        ]
        if len(named) > _MAX_NAMED or (not named and not experiments):
            named = [str(first["name"] or "") if first["name"] == first["name"] else ""]
        parts = [str(first["experiment"])] if experiments else []
        names.append(", ".join([*parts, *filter(None, named)]) or _id(first))
    return _distinct(names, tables)


def _distinct(names: list[str], tables: list[pd.DataFrame]) -> list[str]:
    return [
        name if names.count(name) == 1 else f"{name} ({_id(table.iloc[0])})"
        for name, table in zip(names, tables, strict=True)
    ]


def _id(run: pd.Series) -> str:
    """Return the run id; folds go by their cross-validation's."""
    return str(run["parent"] if run.get("kind") == "fold" else run["run_id"])
