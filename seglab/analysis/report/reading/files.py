"""Optional files of a run record: read if they are there, a sentence where they are broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import yaml

from seglab.analysis.report.model import Palette
from seglab.core.errors import DataError, SeglabError
from seglab.metrics.names import safe_class_names
from seglab.runs import read_history

T = TypeVar("T")


@dataclass(frozen=True)
class TableShape:
    """What a table must have to be shown; columns beyond these may be missing.

    Args:
        words: Columns of names.
        numbers: Columns of numbers; what is no number in them becomes NaN.
        keys: Columns of numbers that place a row; a row without one is dropped.
    """

    words: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()

    def fit(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the table with its numbers as numbers.

        Raises:
            DataError: A column is missing.
        """
        needed = (*self.words, *self.keys, *self.numbers)
        missing = [column for column in needed if column not in frame]
        if missing:
            raise DataError(f"expected the columns {', '.join(needed)}, lacks {', '.join(missing)}")
        numeric = [*self.keys, *self.numbers]
        found = frame.assign(
            **{name: pd.to_numeric(frame[name], errors="coerce") for name in numeric}
        )
        return found.dropna(subset=list(self.keys)).reset_index(drop=True)


EVALUATION_TABLES = {
    "slices": TableShape(("slice_kind", "slice"), ("miou",)),
    "corruptions": TableShape(("corruption",), ("miou",), ("severity",)),
    "reliability": TableShape(
        ("class_name",), ("confidence", "accuracy"), ("bin", "low", "high", "count")
    ),
    "risk_coverage": TableShape((), ("risk",), ("coverage",)),
}
GALLERY = TableShape(("case_id", "sample_id"))
FOLD_SCORES = TableShape(("fold",), ("miou",))

# What a file someone else wrote can make its reader raise; ArrowInvalid is a ValueError.
READ_ERRORS: tuple[type[Exception], ...] = (OSError, ValueError, LookupError, TypeError)
READ_ERRORS += (AttributeError, EOFError, SeglabError, yaml.YAMLError)


class RunFiles:
    """Reads the files of one run; what cannot be read is added to `problems` and left out.

    Args:
        folder: Of the run.
        problems: Takes one sentence a broken file, beginning with the name of the run.
    """

    def __init__(self, folder: Path, problems: list[str]) -> None:
        self.folder = folder
        self.problems = problems

    def complain(self, sentence: str) -> None:
        """Note a problem of this run."""
        self.problems.append(f"{self.folder.name}: {sentence}")

    def attempt(self, name: str, read: Callable[[Path], T]) -> T | None:
        """Return what `read` makes of a file of the run; None where it is missing or broken."""
        path = self.folder / name
        if not path.exists():
            return None
        try:
            return read(path)
        except READ_ERRORS as error:
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            self.complain(f"{name} cannot be read ({first}); it is left out")
            return None

    def table(self, name: str, shape: TableShape) -> pd.DataFrame | None:
        """Return a Parquet table of a given shape."""
        return self.attempt(name, lambda path: shape.fit(pd.read_parquet(path)))

    def text(self, name: str) -> str:
        """Return a text file; empty where it is missing."""
        return self.attempt(name, lambda path: path.read_text("utf-8", errors="replace")) or ""

    def history(self) -> pd.DataFrame:
        """Return the learning curves; empty where there are none."""
        frame = self.attempt("history.csv", read_history)
        return pd.DataFrame() if frame is None else frame

    def confusions(self, main_split: str) -> dict[str, np.ndarray]:
        """Return the confusion matrix of every split, the main one first."""
        found = {}
        for path in sorted(self.folder.glob("confusion*.npy")):
            split = main_split if path.stem == "confusion" else path.stem.removeprefix("confusion_")
            matrix = self.attempt(path.name, _read_confusion)
            if matrix is not None:
                found[split] = matrix
        return found

    def labels(self) -> tuple[tuple[str, ...], Palette] | None:
        """Return class names, as in metric keys, and palette of the manifest kept with the run."""
        return self.attempt("manifest/manifest.yaml", _read_labels)


def _read_confusion(path: Path) -> np.ndarray:
    matrix: np.ndarray = np.load(path, allow_pickle=False)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.dtype.kind not in "iu":
        raise DataError(f"expected square integers, got {matrix.dtype} {matrix.shape}")
    return matrix.astype(np.int64)


def _read_labels(path: Path) -> tuple[tuple[str, ...], Palette]:
    labels = yaml.safe_load(path.read_text("utf-8"))["labels"]
    names = safe_class_names([str(name) for name in labels["class_names"]])
    palette = tuple((int(r), int(g), int(b)) for r, g, b in labels.get("palette") or ())
    return names, palette if len(palette) == len(names) else ()
