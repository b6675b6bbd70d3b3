"""Weights & Biases as a view of the run record.

The record on the disk is the truth. Nothing that W&B does or fails to do stops a run: every call is
guarded, warns once and goes on, and `seglab wandb sync` can bring the rest later.

Resuming: online, the run is taken up under the same id. Offline, W&B cannot take up a segment (and
synchronising a second one erases the first), so each resume starts a new segment under the same id,
which first replays everything logged so far. The newest segment is therefore always complete, but
for images of earlier segments, and the older ones are marked so that `wandb sync` skips them.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np

from seglab.engine.tracking import wandb_media
from seglab.engine.tracking.wandb_mode import (
    find_segments,
    is_offline,
    mark_superseded,
    resolve_mode,
)
from seglab.engine.tracking.wandb_session import WandbConfig, open_run, short_error
from seglab.engine.tracking.wandb_steps import StepLog
from seglab.metrics.names import find_score
from seglab.runs import EPOCH, STEP, SamplePrediction

__all__ = ["EXIT_CODES", "GLOBAL_STEP", "WandbConfig", "WandbView"]

log = logging.getLogger(__name__)

GLOBAL_STEP = "trainer/global_step"
# What the operating system would say: W&B calls 0 finished and everything else failed.
EXIT_CODES = {"finished": 0, "pruned": 0, "failed": 1, "interrupted": 255}
_SPLITS = ("train/", "val/", "test/")
_BEST = {"high": "max", "low": "min"}
_MAX_FAILURES = 5
# W&B refuses an artifact with more, so one key too many would cost the checkpoint.
_MAX_METADATA = 100


class WandbView:
    """Shows one run in W&B; usable as a context manager that closes it with the right status.

    Args:
        config: Where and how.
    """

    def __init__(self, config: WandbConfig) -> None:
        self.config = config
        self.mode, self._reason = resolve_mode(config.mode)
        self._run: Any = None
        self._defined: set[str] = set()
        self._failures = 0
        self._steps = StepLog(config.run_dir / "wandb" / "seglab_steps.jsonl")
        self.url: str | None = None

    @property
    def active(self) -> bool:
        """Whether a W&B run is open."""
        return self._run is not None

    def facts(self) -> dict[str, Any]:
        """Return what the run record keeps: id, mode, url and the segment folders, oldest first."""
        folders = find_segments(self.config.run_dir, self.config.wandb_id)
        return {
            "id": self.config.wandb_id,
            "mode": self.mode,
            "project": self.config.project,
            "url": self.url,
            "dirs": [folder.relative_to(self.config.run_dir).as_posix() for folder in folders],
        }

    def start(
        self,
        config: Mapping[str, Any],
        history: Iterable[Mapping[str, Any]] = (),
        resume_step: int | None = None,
    ) -> None:
        """Open the W&B run; a failure to reach W&B makes it an offline one.

        Args:
            config: The resolved configuration, shown in full.
            history: On a resume, the rows of `history.csv` that are kept (`to_dict("records")`).
            resume_step: On a resume, the optimizer step the checkpoint was taken at: step rows
                after it are logged again by the training and left out of the replay.
        """
        if self.mode == "disabled" or self._run is not None:
            return
        earlier = find_segments(self.config.run_dir, self.config.wandb_id)
        self._run, self.mode = open_run(self.config, self.mode, config)
        if self._run is None:
            return
        self.url = self._run.url if self.mode == "online" else None
        self._defined.clear()
        self._failures = 0
        kept = self._steps.truncate(resume_step if earlier else -1)
        if earlier and (self.mode == "offline" or any(map(is_offline, earlier))):
            self._replay(list(history), kept)
            for segment in filter(is_offline, earlier):
                mark_superseded(segment)

    def _replay(
        self, history: list[Mapping[str, Any]], steps: list[tuple[int, dict[str, float]]]
    ) -> None:
        """Show again, in order, what earlier segments showed."""
        events = [(step, 0, row) for step, row in steps]
        events += [(int(row.get(STEP, 0)), 1, dict(row)) for row in history]
        for step, is_epoch, row in sorted(events, key=lambda event: event[:2]):
            if is_epoch:
                self.log_epoch(row, step)
            else:
                self._log("step row", row, step)

    def describe(self, facts: Mapping[str, Any]) -> None:
        """Show facts that the configuration does not hold, under `facts.*`, for columns and axes."""
        if self._run is not None:
            with self._guarded("facts"):
                # Not under `run`, which in an evaluation's configuration is the run that is scored.
                known = dict(self._run.config.get("facts", {}))
                self._run.config.update({"facts": {**known, **facts}}, allow_val_change=True)

    def log_step(self, metrics: Mapping[str, float], step: int) -> None:
        """Show numbers of one optimizer step, on the axis `trainer/global_step`.

        Args:
            metrics: By key. One that is also a score of epochs (`train/loss`) gets `_step` added,
                since a key has one axis. NaN, infinities and None are left out.
            step: Optimizer steps done, over all segments; need not grow.
        """
        if self._run is None:
            return
        row = {_step_key(key): value for key, value in _finite(metrics).items()}
        with self._guarded("step log"):
            self._steps.append(step, row)
        self._log("step row", row, step)

    def log_epoch(self, row: Mapping[str, Any], step: int) -> None:
        """Show one row of the history; scores of splits on the axis `epoch`.

        Args:
            row: As written to `history.csv`; needs `epoch`.
            step: Optimizer steps done.
        """
        numbers = {key: value for key, value in _finite(row).items() if key != STEP}
        self._log("epoch row", numbers, step)

    def log_summary(
        self, metrics: Mapping[str, float | None], words: Mapping[str, str] | None = None
    ) -> None:
        """Set final scores (of the best checkpoint) as `final/<key>`, but undefined ones.

        Args:
            metrics: Scores by key.
            words: What is said instead of a number, by key.
        """
        if self._run is not None:
            with self._guarded("summary"):
                shown = {**_finite(metrics), **(words or {})}
                self._run.summary.update({f"final/{key}": value for key, value in shown.items()})

    def log_overlays(
        self,
        split: str,
        samples: Sequence[SamplePrediction],
        class_names: Sequence[str],
        ignore_index: int,
        step: int,
    ) -> None:
        """Show the same samples again, under one key, so that a slider goes through the epochs."""
        if self._run is not None:
            with self._guarded("overlays"):
                images = [wandb_media.overlay(s, class_names, ignore_index) for s in samples]
                self._run.log({f"overlays/{split}": images, GLOBAL_STEP: step})

    def log_table(self, key: str, rows: Sequence[Mapping[str, Any]], folder: Path) -> None:
        """Show rows as a table; cells that name a PNG file in `folder` become pictures.

        Undefined numbers are empty cells.
        """
        if self._run is not None:
            with self._guarded(f"table {key}"):
                self._run.log({key: wandb_media.table(rows, folder)})

    def log_confusion(self, split: str, confusion: np.ndarray, class_names: Sequence[str]) -> None:
        """Show a confusion matrix (rows = target) as table and, up to 40 classes, as chart."""
        if self._run is not None:
            with self._guarded("confusion matrix"):
                objects = wandb_media.confusion_objects(confusion, class_names)
                self._run.log({f"confusion/{split}_{key}": v for key, v in objects.items()})

    def log_images(self, images: Mapping[str, Path]) -> None:
        """Show image files, such as the figures of the run record, by key."""
        if self._run is not None:
            with self._guarded("images"):
                import wandb

                self._run.log({key: wandb.Image(str(path)) for key, path in images.items()})

    def log_artifact_files(
        self,
        kind: str,
        name: str,
        paths: Sequence[Path],
        aliases: Sequence[str] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Register files as an artifact.

        The files are referred to where they are, not copied (a checkpoint would otherwise also fill
        the W&B staging folder): call this when they are final, and keep them until synchronised.

        Args:
            kind: model or dataset; models are skipped where `log_model` is off.
            name: Of the artifact; characters that W&B refuses become `-`.
            paths: Files, put side by side under their own names.
            aliases: Such as best.
            metadata: Plain values shown with it, numbers that are not finite left out. All scores are
                in the run's summary; W&B takes no more than 100 keys here.

        A failure is told each time: a run without its checkpoint looks like any other.
        """
        if self._run is None or (kind == "model" and not self.config.log_model):
            return
        with self._guarded(f"artifact {name}", always_told=True):
            import wandb

            clean = re.sub(r"[^a-zA-Z0-9_.-]", "-", name)[:128]
            artifact = wandb.Artifact(clean, kind, metadata=_small(name, metadata or {}))
            for path in paths:
                artifact.add_file(str(path), name=path.name, policy="immutable")
            self._run.log_artifact(artifact, aliases=list(aliases) or None)

    def finish(self, status: str) -> None:
        """Close the W&B run; a second call does nothing.

        Args:
            status: finished and pruned are shown as finished, failed and interrupted as failed; the
                exact word is `seglab/status` in the summary.
        """
        self._steps.close()
        run, self._run = self._run, None
        if run is None:
            return
        with self._guarded("closing"):
            run.summary["seglab/status"] = status
        with self._guarded("closing"):
            run.finish(exit_code=EXIT_CODES.get(status, 1))

    def __enter__(self) -> Self:
        """Return the view; `start` is called inside."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Close the run as finished, interrupted or failed."""
        stopped = kind is not None and issubclass(kind, KeyboardInterrupt)
        self.finish("finished" if kind is None else "interrupted" if stopped else "failed")

    def _log(self, what: str, row: Mapping[str, Any], step: int) -> None:
        if self._run is None or not row:
            return
        with self._guarded(what):
            for key in row.keys() - self._defined:
                self._define(key)
            self._run.log({**row, GLOBAL_STEP: step})

    def _define(self, key: str) -> None:
        """Give a key its axis and the value shown in tables: the best, where better is known."""
        is_score = key.startswith(_SPLITS) and not key.endswith("_step")
        score = find_score(key) if is_score else None
        best = _BEST.get(score.better) if score is not None else None
        axis = EPOCH if is_score and key != EPOCH else GLOBAL_STEP
        # W&B reads a star as a pattern, and takes one only at the end.
        pattern = key[: key.index("*") + 1] if "*" in key else key
        self._run.define_metric(pattern, step_metric=axis, summary=best)
        self._defined.add(key)

    @contextmanager
    def _guarded(self, what: str, always_told: bool = False) -> Iterator[None]:
        """Let no error of W&B out: warn at the first, give up after some."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - a view must never stop the run
            self._failures += 1
            if self._failures == 1 or always_told:
                log.warning(
                    "W&B failed (%s): %s; the record goes on without it", what, short_error(error)
                )
            if self._failures == _MAX_FAILURES and self._run is not None:
                log.warning("W&B failed %d times and is off for this run", _MAX_FAILURES)
                self._run = None


def _finite(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values W&B can draw: finite numbers, as plain Python ones."""
    numbers = {}
    for key, value in row.items():
        if isinstance(value, int | float | np.number) and math.isfinite(value):
            numbers[key] = value.item() if isinstance(value, np.number) else value
    return numbers


def _small(name: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    known = {k: v for k, v in metadata.items() if not isinstance(v, float) or math.isfinite(v)}
    if len(known) > _MAX_METADATA:
        log.warning(
            "artifact %s: the first %d of %d metadata keys are shown",
            name,
            _MAX_METADATA,
            len(known),
        )
    return dict(list(known.items())[:_MAX_METADATA])


def _step_key(key: str) -> str:
    return f"{key}_step" if key.startswith(_SPLITS) and not key.endswith("_step") else key
