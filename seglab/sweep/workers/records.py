"""Run records of trials whose process could not close them itself."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock

from seglab.core.errors import TrainingError
from seglab.runs import RunRecord
from seglab.runs.locate import RECORD_FILE


def mark_failed(run_dir: Path, error: str) -> None:
    """Close the record of a training that was killed as failed; without a record there is nothing to do.

    Args:
        run_dir: Folder of the record.
        error: Why it ended, in one line.
    """
    if not (run_dir / RECORD_FILE).is_file():
        return
    with FileLock(run_dir / ".lock", timeout=10):
        record = RunRecord.open(run_dir)
        if record.status in ("running", "interrupted"):
            record.finish("failed", TrainingError(error))
