"""Where the folds of a cross-validation's record are."""

from __future__ import annotations

from pathlib import Path

from seglab.core.errors import DataError
from seglab.core.text.shell import shell_command

SCORES_FILE = "fold_scores.parquet"
FOLDS = "folds"


def relative_to_record(fold_dir: Path, cv_dir: Path) -> str:
    """Return the path as the record keeps it: relative where the fold lies inside, so that both move."""
    fold_dir, cv_dir = fold_dir.absolute(), cv_dir.absolute()
    return str(fold_dir.relative_to(cv_dir) if fold_dir.is_relative_to(cv_dir) else fold_dir)


def fold_dirs(cv_dir: Path) -> list[Path]:
    """Return the run folders of a finished cross-validation's folds; none where it has no scores."""
    import pandas as pd

    path = cv_dir / SCORES_FILE
    if not path.is_file():
        return []
    # An absolute path stays as it is.
    return [cv_dir / str(kept) for kept in pd.read_parquet(path, columns=["run_dir"])["run_dir"]]


def model_dirs(run_dir: Path) -> list[Path]:
    """Return the folder of each model of a run: of a cross-validation those of its folds, else its own.

    Raises:
        DataError: It is a cross-validation that is not finished.
    """
    folders = fold_dirs(run_dir)
    if not folders and (run_dir / FOLDS).is_dir():
        command = shell_command("seglab", "train", f"resume={run_dir}")
        raise DataError(
            f"{run_dir} is a cross-validation that is not finished; go on with it: `{command}`"
        )
    return folders or [run_dir]
