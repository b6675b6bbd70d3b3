"""The cases of one or two evaluations: the same image lined up, filtered, masks blended over it.

The widget of a notebook and the static figure show the same panels; they are made here.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from seglab.analysis.overlays import fit_image
from seglab.analysis.run_sources import RunLike, labels_of, open_run, run_file
from seglab.core.errors import DataError, nearest
from seglab.runs import RunRecord
from seglab.runs.predictions import prediction_path

ANY = "any"
WORST, FIXED = "worst image", "fixed"
_COLUMNS = ("sample_id", "reason", "rank", "error_type", "image", "truth", "prediction")
_EVALUATE = "`seglab evaluate run=RUN_DIR` makes an evaluation with one"


@dataclass(frozen=True)
class Case:
    """One image and what the runs made of it.

    Args:
        sample_id: Name of the sample.
        rows: For each run the row of its gallery table, None where its gallery lacks the image.
        reasons: Why it is shown, by any run.
        error_types: Main kind of error, by any run.
        classes: Classes it is shown for, or that are confused in it.
        place: Where it stands: the worst images of the first run first, then the worst of classes
            and slices, then those shown for every model, then those only the other run shows.
    """

    sample_id: str
    rows: tuple[dict[str, Any] | None, ...]
    reasons: tuple[str, ...]
    error_types: tuple[str, ...]
    classes: tuple[str, ...]
    place: tuple[int, int]

    @property
    def shared(self) -> bool:
        """Whether every run's gallery has the image."""
        return all(row is not None for row in self.rows)


@dataclass(frozen=True)
class Panel:
    """One picture of a case: uint8 RGB `(H, W, 3)` and what stands above and below it."""

    title: str
    picture: np.ndarray
    note: str = ""


class FailureGallery:
    """Cases of one or two evaluations.

    Args:
        runs: Evaluations with a `gallery.parquet`.
        labels: How the runs are called; their run ids by default.

    Raises:
        RunNotFoundError: A run has no gallery.
        DataError: There is no run, or its table lacks columns.
    """

    def __init__(self, runs: Sequence[RunLike], labels: Sequence[str] = ()) -> None:
        if not runs:
            raise DataError("a gallery needs an evaluation, got none")
        self.records = [open_run(run) for run in runs]
        self.names = list(labels) or _names(self.records)
        tables = [run_file(one, "gallery.parquet", _COLUMNS, _EVALUATE) for one in self.records]
        classes = labels_of(self.records[0]).class_names
        self.cases = sorted(_cases(tables, classes), key=lambda case: (case.place, case.sample_id))

    def choices(self, what: str) -> list[str]:
        """Return what can be filtered by: `classes`, `error_types` or `reasons` of all cases."""
        return sorted({value for case in self.cases for value in getattr(case, what)})

    def select(
        self, class_name: str = ANY, error_type: str = ANY, reason: str = ANY, shared: bool = False
    ) -> list[Case]:
        """Return the cases that fit all filters, the worst first.

        Args:
            class_name: Shown for this class, or this class is confused in it.
            error_type: Main kind of error in any of the runs.
            reason: Such as `worst image`.
            shared: Only images that every run's gallery has.

        Raises:
            DataError: A filter names something no case has.
        """
        chosen = [case for case in self.cases if case.shared or not shared]
        for what, wanted in (
            ("classes", class_name),
            ("error_types", error_type),
            ("reasons", reason),
        ):
            known = self.choices(what)
            if wanted != ANY and wanted not in known:
                raise DataError(
                    f"no case for '{wanted}'{nearest(wanted, known)}; there are {known}"
                )
            chosen = [case for case in chosen if wanted in (ANY, *getattr(case, what))]
        return chosen

    def panels(self, case: Case, opacity: float = 0.6, confidence: bool = False) -> list[Panel]:
        """Return image, truth and each run's prediction, blended over the image.

        Args:
            case: One of `cases`.
            opacity: Of truth and predictions over the image, 0..1.
            confidence: Add each run's confidence, black where it is unsure.
        """
        first = next(row for row in case.rows if row is not None)
        home = self.records[case.rows.index(first)].run_dir
        image = _read(home / str(first["image"]))
        truth = _read(home / str(first["truth"]))
        shown = [
            Panel("image", image, case.sample_id),
            Panel("truth", _mix(image, truth, opacity), ", ".join(case.reasons[:2])),
        ]
        for record, name, row in zip(self.records, self.names, case.rows, strict=True):
            prediction = _prediction(record, row, case.sample_id)
            if prediction is None:
                empty = np.full_like(image, 235)
                shown.append(Panel(name, empty, "not in its gallery"))
                continue
            shown.append(Panel(name, _mix(image, prediction, opacity), _said(row)))
            if confidence and row is not None and isinstance(row.get("confidence"), str):
                sure = _read(record.run_dir / row["confidence"])
                shown.append(Panel("confidence", sure, "dark: unsure"))
        return shown


def _names(records: Sequence[RunRecord]) -> list[str]:
    experiments = [str(record.read()["experiment"]) for record in records]
    return experiments if len(set(experiments)) > 1 else [record.run_id for record in records]


def _cases(tables: Sequence[pd.DataFrame], class_names: Sequence[str]) -> Iterator[Case]:
    """Put the rows of all galleries about one image together."""
    groups: dict[str, list[list[dict[str, Any]]]] = {}
    for number, table in enumerate(tables):
        for row in table.to_dict("records"):
            plain = {str(key): value for key, value in row.items()}
            lists = groups.setdefault(str(plain["sample_id"]), [[] for _ in tables])
            lists[number].append(plain)
    for sample_id, lists in groups.items():
        for rows in lists:
            rows.sort(key=_place)
        together = [row for rows in lists for row in rows]
        classes = [_texts([row.get("class_name")]) for row in together]
        classes += [_confused(row, class_names) for row in together]
        yield Case(
            sample_id,
            tuple(rows[0] if rows else None for rows in lists),
            _texts(row["reason"] for row in together),
            _texts(row["error_type"] for row in together),
            _texts(name for several in classes for name in several),
            min(map(_place, lists[0]), default=(9, 0)),
        )


def _place(row: dict[str, Any]) -> tuple[int, int]:
    """Return where a row stands; the score of the first kinds is that of the whole image."""
    order = {WORST: 0, FIXED: 2}.get(str(row["reason"]), 1)
    return order, int(row["rank"])


def _texts(values: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if isinstance(value, str) and value))


def _confused(row: dict[str, Any], class_names: Sequence[str]) -> tuple[str, ...]:
    """Return the classes that a detail names, such as `car missed, taken for road`."""
    detail = row.get("detail")
    if not isinstance(detail, str):
        return ()
    return tuple(
        name for name in class_names if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", detail)
    )


def _said(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    score, name = row.get("score"), row.get("class_name")
    of = name if isinstance(name, str) and name else "mIoU"
    known = score is not None and np.isfinite(score)
    parts = [f"{of} {float(score):.3f}"] if known and score is not None else []
    # The detail says the kind of error too, in words.
    return ", ".join([*parts, *_texts([row.get("detail"), row.get("error_type")])[:1]])


def _prediction(record: RunRecord, row: dict[str, Any] | None, sample_id: str) -> np.ndarray | None:
    if row is not None:
        return _read(record.run_dir / str(row["prediction"]))
    path = prediction_path(record.run_dir, sample_id)
    if not path.is_file():
        return None
    with Image.open(path) as picture:
        return labels_of(record).colourise(np.asarray(picture))


@functools.lru_cache(maxsize=64)
def _read(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
    except OSError as error:
        raise DataError(f"the gallery lacks the picture {path}: {error}") from error


def _mix(image: np.ndarray, colours: np.ndarray, opacity: float) -> np.ndarray:
    if not 0.0 <= opacity <= 1.0:
        raise DataError(f"opacity must lie in 0..1, got {opacity}")
    base = fit_image(image, colours.shape[:2]).astype(np.float32)
    return np.rint(base * (1.0 - opacity) + colours * np.float32(opacity)).astype(np.uint8)
