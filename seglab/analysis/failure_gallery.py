"""The failure gallery of one or two evaluations: the same image lined up, filtered, blended.

The widget of a notebook and the static figure show the same panels; both are made here, without
ipywidgets.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from seglab.analysis.overlays import fit_image
from seglab.analysis.run_sources import RunLike, labels_of, open_run, run_file
from seglab.analysis.style import MUTED, bare, new_figure, styled
from seglab.core.errors import DataError, nearest
from seglab.runs import RunRecord
from seglab.runs.predictions import prediction_path

ANY = "any"
_COLUMNS = ("sample_id", "reason", "rank", "error_type", "image", "truth", "prediction")
_EVALUATE = "`seglab evaluate run=RUN_DIR` makes an evaluation with one"
_PANEL_WIDTH = 2.7


@dataclass(frozen=True)
class Case:
    """One image and what the runs made of it.

    Args:
        sample_id: Name of the sample.
        rows: For each run the row of its gallery table, None where its gallery lacks the image.
        reasons: Why it is shown, by any run.
        error_types: Main kind of error, by any run.
        classes: Classes it is shown for, or that are confused in it.
        rank: The best place it has in the first run's gallery; 1 is the worst image.
    """

    sample_id: str
    rows: tuple[dict[str, Any] | None, ...]
    reasons: tuple[str, ...]
    error_types: tuple[str, ...]
    classes: tuple[str, ...]
    rank: int

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
        self.names = list(labels) or [record.run_id for record in self.records]
        tables = [run_file(one, "gallery.parquet", _COLUMNS, _EVALUATE) for one in self.records]
        self.cases = sorted(_cases(tables), key=lambda case: (case.rank, case.sample_id))

    def choices(self, what: str) -> list[str]:
        """Return what can be filtered by: `classes`, `error_types` or `reasons` of all cases."""
        return sorted({value for case in self.cases for value in getattr(case, what)})

    def select(
        self,
        class_name: str = ANY,
        error_type: str = ANY,
        reason: str = ANY,
        shared: bool = False,
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
            ("classes", class_name), ("error_types", error_type), ("reasons", reason),
        ):  # fmt: skip
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


def gallery(
    run: RunLike,
    other: RunLike | None = None,
    *,
    static: bool = False,
    opacity: float = 0.6,
    count: int = 5,
    **filters: Any,
) -> Any:
    """Return the failure gallery of an evaluation, or of two with the same images side by side.

    Args:
        run: An evaluation.
        other: A second one, of another run on the same data.
        static: A figure even where ipywidgets is installed.
        opacity: Of masks over the image at first, 0..1.
        count: Cases in the static figure.
        **filters: `class_name`, `error_type`, `reason`, `shared`; see `FailureGallery.select`.

    Returns:
        A widget with filters, a slider through the cases and one for the opacity; a static figure
        of the worst cases where ipywidgets is not installed or not wanted.

    Raises:
        RunNotFoundError: A run has no gallery.
        DataError: A filter names something no case has.
    """
    content = FailureGallery([run] if other is None else [run, other])
    if not static:
        try:
            from seglab.analysis.gallery_widget import GalleryWidget
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] != "ipywidgets":
                raise
        else:
            return GalleryWidget(content, opacity, filters)
    return gallery_figure(content, content.select(**filters)[:count], opacity)


def gallery_figure(content: FailureGallery, cases: Sequence[Case], opacity: float = 0.6) -> Figure:
    """Draw cases below each other: image, truth, predictions and confidence.

    Raises:
        DataError: There is no case.
    """
    if not cases:
        raise DataError("no case of the gallery fits; loosen the filters")
    rows = [content.panels(case, opacity, confidence=True) for case in cases]
    columns = max(len(row) for row in rows)
    height, width = rows[0][0].picture.shape[:2]
    row_height = _PANEL_WIDTH * height / width + 0.42
    with styled():
        figure = new_figure(_PANEL_WIDTH * columns, row_height * len(rows) + 0.2, "compressed")
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for axes_row, panels in zip(grid, rows, strict=True):
            for axes in axes_row:
                bare(axes)
            for axes, panel in zip(axes_row, panels, strict=False):
                axes.imshow(panel.picture, interpolation="nearest")
                axes.set_title(_shorten(panel.title, 34), fontsize=8, fontweight="bold")
                axes.set_xlabel(_shorten(panel.note, 52), fontsize=7, color=MUTED, loc="left")
    return figure


def _cases(tables: Sequence[pd.DataFrame]) -> Iterator[Case]:
    """Put the rows of all galleries about one image together."""
    groups: dict[str, list[list[dict[str, Any]]]] = {}
    for number, table in enumerate(tables):
        for row in table.sort_values("rank", kind="stable").to_dict("records"):
            plain = {str(key): value for key, value in row.items()}
            lists = groups.setdefault(str(plain["sample_id"]), [[] for _ in tables])
            lists[number].append(plain)
    for sample_id, lists in groups.items():
        together = [row for rows in lists for row in rows]
        names = ((row.get("class_name"), *_confused(row)) for row in together)
        yield Case(
            sample_id,
            tuple(rows[0] if rows else None for rows in lists),
            _texts(row["reason"] for row in together),
            _texts(row["error_type"] for row in together),
            _texts(name for several in names for name in several),
            min((int(row["rank"]) for row in lists[0]), default=10**6),
        )


def _texts(values: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if isinstance(value, str) and value))


def _confused(row: dict[str, Any]) -> list[str]:
    """Return both classes of a detail such as `road as pavement; 60% of ...`."""
    detail = row.get("detail")
    pair = detail.split(";")[0].split(" as ") if isinstance(detail, str) else []
    return [name.strip() for name in pair] if len(pair) == 2 else []


def _said(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    score = row.get("score")
    parts = [f"{float(score):.3f}"] if score is not None and np.isfinite(score) else []
    return ", ".join([*parts, *_texts([row.get("error_type"), row.get("detail")])])


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


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."
