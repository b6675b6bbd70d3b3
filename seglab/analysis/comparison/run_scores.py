"""What a comparison needs to know of one run, read from its record once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from seglab.core.disk.files import hash_json
from seglab.core.errors import ConfigError, DataError, RunNotFoundError, nearest
from seglab.metrics import names
from seglab.metrics.pooled import ImageCounts, Statistic
from seglab.runs import RunRecord
from seglab.runs.folds import fold_dirs
from seglab.runs.schema import data_of

NAN = float("nan")
_COUNTS = ("tp", "fp", "fn")
# Say who, when and where, not what was trained. The experiment stays in: the same settings under
# two of its names are two things to compare, such as before and after a change of the code.
_NO_SETTINGS = ("seed", "run_name", "notes", "tags", "paths", "resume", "run")


@dataclass(frozen=True)
class Metric:
    """A score to compare by.

    Args:
        name: One of `compared_scores`, such as `miou` or `iou/CLASS`.
        statistic: The same as a function of pooled counts; None where classes are not known.
    """

    name: str
    statistic: Statistic | None

    @classmethod
    def parse(cls, name: str, class_names: Sequence[str]) -> Metric:
        """Read the name of a metric.

        Raises:
            ConfigError: There is no such metric, or no such class.
        """
        kind, _, class_name = name.partition("/")
        allowed = names.compared_scores()
        score = allowed.get(f"{kind}/CLASS" if class_name else name)
        if score is None:
            raise ConfigError(
                f"--metric: expected {', '.join(allowed)}, got '{name}'{nearest(name, allowed)}"
            )
        made = score.load(score.pooled)
        if not class_name:
            return cls(name, made)
        if not class_names:
            return cls(name, None)
        if class_name not in class_names:
            raise ConfigError(
                f"--metric: no class '{class_name}'{nearest(class_name, class_names)}; classes are "
                + ", ".join(class_names)
            )
        return cls(name, made(list(class_names).index(class_name)))


@dataclass(frozen=True)
class RunScores:
    """A record and its scores on one split.

    Args:
        record: The record.
        content: Its `run.json`.
        trained: `run.json` of the training; of an evaluation that of the run it scored, if found.
        split: The split that is compared.
        per_image: Counts of the split's images, one row per image; over the folds and repeats of a
            cross-validation summed. None without.
        fold_scores: Of a cross-validation, one row a finished fold; None without.
    """

    record: RunRecord
    content: Mapping[str, Any]
    trained: Mapping[str, Any]
    split: str
    per_image: pd.DataFrame | None
    fold_scores: pd.DataFrame | None

    @classmethod
    def read(cls, run: str | Path | RunRecord, split: str = "val") -> RunScores:
        """Read a run folder.

        Raises:
            RunNotFoundError: There is no record.
            DataError: It is broken.
        """
        record = run if isinstance(run, RunRecord) else RunRecord.open(run)
        content = record.read()
        return cls(
            record,
            content,
            _training_of(content),
            split,
            _read_counts(record, split),
            _read_folds(record),
        )

    @property
    def run_id(self) -> str:
        """Name of the run."""
        return self.record.run_id

    @property
    def is_cv(self) -> bool:
        """Whether this is a cross-validation."""
        return bool(self.content["kind"] == "cv")

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """Classes scored on the split, in order; empty where the record does not say."""
        prefix = names.metric_key(self.split, names.IOU) + "/"
        keys = [key for key in self.content["metrics"] if key.startswith(prefix)]
        return tuple(key.removeprefix(prefix) for key in keys)

    @cached_property
    def fold_hash(self) -> str | None:
        """Hash of a cross-validation's folds as written in `folds.yaml`; None where unknown."""
        path = self.record.run_dir / "folds.yaml"
        if not path.is_file():
            return None
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        found = content.get("hash") if isinstance(content, dict) else None
        return None if found is None else str(found)

    @property
    def model(self) -> str:
        """Short name of the model: `unet/resnet18`, or the class that was built."""
        model = self.trained["config"].get("model")
        if not isinstance(model, Mapping):
            return "?"
        parts = [model.get("arch"), model.get("encoder_name")]
        given = [str(part) for part in parts if part]
        return "/".join(given) or str(model.get("_target_", "?")).rpartition(".")[2]

    @cached_property
    def settings_hash(self) -> str:
        """Equal for runs that differ only by seed (and name, notes, tags and places of files)."""
        configs = [
            {key: value for key, value in content["config"].items() if key not in _NO_SETTINGS}
            for content in (self.trained, self.content)
        ]
        kind, data = self.content["kind"], data_of(self.content)
        # Of an evaluation whose training is gone, nothing but its name tells what was scored.
        unknown = self.content["parent"] if kind == "eval" and self.trained is self.content else ""
        return hash_json([kind, data, unknown, *configs])

    def score(self, metric: str) -> float:
        """Return a score as the record has it; NaN where undefined or absent."""
        value = self.content["metrics"].get(f"{self.split}/{metric}")
        return NAN if value is None else float(value)

    def counts(self, sample_ids: Sequence[str]) -> ImageCounts:
        """Return the counts of these images, in this order.

        Raises:
            DataError: The run has no counts.
        """
        if self.per_image is None:
            raise DataError(f"run {self.run_id} kept no counts of {self.split} images")
        rows = self.per_image.loc[list(sample_ids)]
        return ImageCounts(*(np.stack(rows[name].to_list()) for name in _COUNTS))

    def image_scores(self, sample_ids: Sequence[str]) -> np.ndarray:
        """Return the mIoU of these single images, `(N,)`; NaN where undefined."""
        tp, fp, fn = (array.astype(float) for array in self.counts(sample_ids))
        union = tp + fp + fn
        iou = np.divide(tp, union, out=np.full(tp.shape, np.nan), where=union > 0)
        defined = (union > 0).sum(1)
        sums = np.nansum(iou, axis=1)
        return np.divide(sums, defined, out=np.full(len(sums), np.nan), where=defined > 0)

    def groups(self, sample_ids: Sequence[str]) -> np.ndarray | None:
        """Return the group (video, patient) of each image from the run's manifest, if it says."""
        folders = [self.record.run_dir]
        if self.content["kind"] == "eval" and self.content["config"].get("run"):
            folders.append(Path(self.content["config"]["run"]))
        for folder in folders:
            path = folder / "manifest" / "manifest.parquet"
            if path.is_file():
                table = pd.read_parquet(path, columns=["sample_id", "group"])
                group = table.set_index("sample_id")["group"].dropna()
                found = group.reindex(list(sample_ids))
                return None if found.isna().any() else found.to_numpy(dtype=str)
        return None

    @property
    def hours(self) -> float:
        """Hours of training; of a cross-validation those of all its folds. NaN where unknown."""
        seconds = self.trained["wall_time_s"]
        if self.fold_scores is not None and "run_dir" in self.fold_scores:
            folds = [_read_record(folder) for folder in fold_dirs(self.record.run_dir)]
            seconds = sum(fold["wall_time_s"] for fold in folds if fold) or seconds
        return seconds / 3600.0 if seconds else NAN

    def cost(self, name: str) -> float:
        """Return `cost/<name>` as recorded with the scores, else with the training; NaN without."""
        contents = [self.content, self.trained]
        if self.fold_scores is not None and "run_dir" in self.fold_scores:
            contents += [fold for fold in map(_read_record, fold_dirs(self.record.run_dir)) if fold]
        values = (content["metrics"].get(f"cost/{name}") for content in contents)
        return next((float(value) for value in values if value is not None), NAN)


def _training_of(content: Mapping[str, Any]) -> Mapping[str, Any]:
    if content["kind"] != "eval":
        return content
    return _read_record(content["config"].get("run")) or content


def _read_record(folder: str | Path | None) -> Mapping[str, Any] | None:
    """Read a record that a run points to; it may have been moved or deleted since."""
    try:
        return RunRecord.open(folder).read() if folder else None
    except (RunNotFoundError, DataError):
        return None


def _read_counts(record: RunRecord, split: str) -> pd.DataFrame | None:
    if not record.per_image_path.is_file():
        return None
    frame = record.per_image()
    if not {"sample_id", "split", *_COUNTS} <= set(frame):
        return None
    frame = frame.loc[frame["split"] == split, ["sample_id", *_COUNTS]]
    if frame.empty:
        return None
    if frame["sample_id"].duplicated().any():
        # Every repeat of a cross-validation holds each image once.
        frame = frame.groupby("sample_id", as_index=False)[list(_COUNTS)].agg(_add_up)
    return frame.set_index("sample_id").sort_index()


def _add_up(rows: pd.Series) -> np.ndarray:
    return np.asarray(np.stack(rows.to_list()).sum(axis=0))


def _read_folds(record: RunRecord) -> pd.DataFrame | None:
    path = record.run_dir / "fold_scores.parquet"
    if not path.is_file():
        return None
    frame = pd.read_parquet(path)
    if "status" in frame:
        frame = frame[frame["status"] == "finished"]
    return frame.set_index(["repeat", "fold"]).sort_index()
