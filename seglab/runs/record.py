"""The record of one run: a folder that says what was run, how it went and what came out.

`runs/<experiment>/<run_id>/` holds `run.json`, `config.yaml`, `history.csv`, `per_image.parquet`,
`confusion.npy`, `checkpoints/` and `figures/`. This is the truth; trackers show a view of it. Every
file is written in one step, so a reader, or a kill at any moment, never meets half a file, and any
number of processes may write their own runs at once. No torch, no Lightning.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock
import numpy as np

from seglab.core.disk.files import atomic_path, hash_json, write_json, write_text
from seglab.core.disk.places import placing
from seglab.core.disk.provenance import git_state, package_versions, utc_now
from seglab.core.errors import DataError, RunNotFoundError, list_problems
from seglab.runs.history import HistoryFile, Value, read_history
from seglab.runs.locate import RECORD_FILE, describe_missing, find_runs
from seglab.runs.process import effective_status, is_writer, writer_facts
from seglab.runs.schema import DEFAULTS, ENDED, KINDS, STATUSES, read_record, unknown_fields

if TYPE_CHECKING:
    import pandas as pd

# The wall time on disk is at most this much behind when a run is killed.
_WALL_TIME_EVERY_S = 10.0


class RunRecord:
    """Reads and writes one run folder.

    Make one with `create` or `open`. Not tied to a process: several may read, one trains and
    writes; small changes by others (a synchronised tracker) go through a lock.

    Args:
        run_dir: The folder of the run.
    """

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.json_path = run_dir / RECORD_FILE
        self.config_path = run_dir / "config.yaml"
        self.history_path = run_dir / "history.csv"
        self.per_image_path = run_dir / "per_image.parquet"
        self.checkpoints_dir = run_dir / "checkpoints"
        self.figures_dir = run_dir / "figures"
        self._history = HistoryFile(self.history_path)
        self._written = time.monotonic()

    @classmethod
    def create(
        cls,
        run_dir: Path,
        *,
        experiment: str,
        kind: str,
        config: Mapping[str, Any],
        config_yaml: str,
        **facts: Any,
    ) -> RunRecord:
        """Start the record of a run that begins now in this process.

        Args:
            run_dir: Folder of the run; its name is the run id. May exist, but without a record.
            experiment: The question this run belongs to.
            kind: One of train, fold, cv, trial, eval.
            config: The resolved configuration as plain content; hashed into `config_hash`.
            config_yaml: The same as text, written to `config.yaml`.
            **facts: Any other field of the record: name, parent, seed, fold, tags, device,
                execution_plan, dataset_fingerprint, main_split, wandb, ...

        Raises:
            DataError: The folder holds a record already, the kind or a field name is unknown.
        """
        record = cls(Path(run_dir))
        if record.json_path.exists():
            raise DataError(f"{run_dir} holds a run already; choose another folder, or resume it")
        problems = unknown_fields(facts)
        if kind not in KINDS:
            problems.append(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
        if problems:
            raise DataError(list_problems(f"cannot record run {run_dir}", problems))
        content = (
            DEFAULTS
            | writer_facts()
            | {
                "run_id": record.run_id,
                "experiment": experiment,
                "kind": kind,
                "started": utc_now(),
                "segment_started": time.time(),
                "config_hash": hash_json(config),
                "config": dict(config),
            }
            | facts
        )
        content["git"] = content["git"] or git_state()
        content["packages"] = content["packages"] or package_versions()
        for folder in (record.checkpoints_dir, record.figures_dir):
            with placing(folder):
                folder.mkdir(parents=True, exist_ok=True)
        write_text(record.config_path, config_yaml)
        write_json(record.json_path, content)
        return record

    @classmethod
    def open(cls, run: str | Path, root: str | Path | None = None) -> RunRecord:
        """Open an existing record.

        Args:
            run: A run folder, its `run.json`, or with `root` just a run id.
            root: Folder of all runs, searched when `run` is no path.

        Raises:
            RunNotFoundError: There is no record; the message names the nearest run ids.
            DataError: The record is broken, or written by a newer seglab.
        """
        path = Path(run).expanduser()
        path = path.parent if path.name == RECORD_FILE else path
        if not (path / RECORD_FILE).is_file() and root is not None:
            matches = [found for found in find_runs(root) if found.name == path.name]
            path = matches[0] if len(matches) == 1 else path
        if not (path / RECORD_FILE).is_file():
            raise RunNotFoundError(describe_missing(path, root))
        record = cls(path)
        record.read()
        return record

    @property
    def run_id(self) -> str:
        """Name of the run, unique among all runs."""
        return self.run_dir.resolve().name

    def read(self) -> dict[str, Any]:
        """Return all fields as they are on the disk now; undefined metrics are None."""
        return read_record(self.json_path)

    @property
    def status(self) -> str:
        """Status as last written; a killed run still says running, see `effective_status`."""
        return str(self.read()["status"])

    @property
    def effective_status(self) -> str:
        """Status, where a running record whose process is gone reads as interrupted."""
        return effective_status(self.read())

    @property
    def metrics(self) -> dict[str, float]:
        """Final scores by key; undefined ones (a class that never occurs) are NaN."""
        return {
            key: float("nan") if value is None else value
            for key, value in self.read()["metrics"].items()
        }

    def update(self, **fields: Any) -> None:
        """Change fields of `run.json` in one step; other fields stay.

        Raises:
            DataError: A field name is unknown, or the status is.
        """
        problems = unknown_fields(fields)
        if fields.get("status", "running") not in STATUSES:
            allowed = ", ".join(STATUSES)
            problems.append(f"status must be one of {allowed}, got {fields['status']!r}")
        if problems:
            raise DataError(list_problems(f"cannot update run {self.run_dir}", problems))
        self._change(fields)

    def _change(
        self, fields: Mapping[str, Any], metrics: Mapping[str, float | int | None] | None = None
    ) -> None:
        with filelock.FileLock(self.run_dir / ".run.lock", timeout=60):
            before = self.read()
            content = {**before, **fields}
            if metrics:
                content["metrics"] = {**content["metrics"], **metrics}
            # Only the process that runs it makes time pass; a late change by another does not.
            if is_writer(before) and "segment_started" not in fields:
                lap = time.time() - before["segment_started"]
                content["wall_time_s"] = round(before["wall_time_before_s"] + max(0.0, lap), 3)
            write_json(self.json_path, content)
        self._written = time.monotonic()

    def set_metrics(self, metrics: Mapping[str, float | int | None]) -> None:
        """Add or replace final scores; NaN (undefined) is kept as null."""
        numbers = {
            key: value if value is None or isinstance(value, int) else float(value)
            for key, value in metrics.items()
        }
        self._change({}, numbers)

    def log_epoch(self, row: Mapping[str, Value]) -> None:
        """Append one epoch to `history.csv`; see `HistoryFile.append`."""
        self._history.append(row)
        if time.monotonic() - self._written > _WALL_TIME_EVERY_S:
            self.update()

    def history(self) -> pd.DataFrame:
        """Return the learning curves, one row per epoch."""
        return read_history(self.history_path)

    def truncate_history(self, epoch: int) -> None:
        """Drop the rows of `epoch` and later, before a resumed run writes them again."""
        self._history.truncate(epoch)

    def write_per_image(self, frame: pd.DataFrame) -> None:
        """Write the per-image scores or counts of the main split, one row per image."""
        with atomic_path(self.per_image_path) as temporary:
            frame.to_parquet(temporary, index=False)

    def per_image(self) -> pd.DataFrame:
        """Return what `write_per_image` wrote.

        Raises:
            DataError: The run kept no per-image scores.
        """
        import pandas as pd

        if not self.per_image_path.is_file():
            raise DataError(f"run {self.run_id} has no {self.per_image_path.name}")
        return pd.read_parquet(self.per_image_path)

    def confusion_path(self, split: str) -> Path:
        """Return `confusion.npy` for the main split, `confusion_<split>.npy` for the others."""
        main = self.read()["main_split"]
        return self.run_dir / ("confusion.npy" if split == main else f"confusion_{split}.npy")

    def write_confusion(self, split: str, confusion: np.ndarray) -> None:
        """Write the confusion matrix of one split.

        Args:
            split: train, val or test.
            confusion: Integer `(num_classes, num_classes)`, rows = target, columns = prediction.

        Raises:
            DataError: Not a square matrix of counts.
        """
        confusion = np.asarray(confusion)
        square = confusion.ndim == 2 and confusion.shape[0] == confusion.shape[1]
        if not square or confusion.dtype.kind not in "iu":
            raise DataError(
                f"expected a square integer confusion matrix for {split!r}, "
                f"got {confusion.dtype} {confusion.shape}"
            )
        with atomic_path(self.confusion_path(split)) as temporary, temporary.open("wb") as stream:
            np.save(stream, confusion.astype(np.int64), allow_pickle=False)

    def confusion(self, split: str | None = None) -> np.ndarray:
        """Return the int64 confusion matrix of a split, by default the main one.

        Raises:
            DataError: The run did not measure that split; the message names those it did.
        """
        path = self.confusion_path(split or self.read()["main_split"])
        if not path.is_file():
            have = sorted(found.name for found in self.run_dir.glob("confusion*.npy"))
            raise DataError(f"run {self.run_id} has no {path.name}; it has {have or 'none'}")
        confusion: np.ndarray = np.load(path, allow_pickle=False)
        return confusion

    def reconfigure(self, config: Mapping[str, Any], config_yaml: str) -> None:
        """Replace the configuration of a run that goes on with another length."""
        write_text(self.config_path, config_yaml)
        self.update(config=dict(config), config_hash=hash_json(config))

    def resume(self) -> None:
        """Say that this process goes on with the run: running again, counted, clock restarted."""
        before = self.read()
        fields = {
            "status": "running",
            "ended": None,
            "error": None,
            "resumed": before["resumed"] + 1,
            "wall_time_before_s": before["wall_time_s"],
            "segment_started": time.time(),
        }
        self.update(**fields, **writer_facts())

    def finish(self, status: str, error: BaseException | None = None) -> None:
        """Close the record.

        Args:
            status: finished, failed, pruned or interrupted.
            error: What stopped a failed run; type, message and traceback are kept.

        Raises:
            DataError: Another status.
        """
        if status not in ENDED:
            raise DataError(f"a run ends as one of {', '.join(ENDED)}, got {status!r}")
        self.update(status=status, ended=utc_now(), error=_describe(error))


def _describe(error: BaseException | None) -> dict[str, str] | None:
    if error is None:
        return None
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    return {"type": type(error).__name__, "message": str(error), "traceback": "".join(lines)}
