"""The failure gallery of one run: rows of `gallery.parquet` about the same pictures become a case."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from seglab.analysis.report.cells import as_number
from seglab.analysis.report.model import Case
from seglab.analysis.report.reading.files import GALLERY, RunFiles
from seglab.analysis.report.reading.pictures import Album, Content
from seglab.core.errors import DataError

_PICTURES: dict[str, Content] = {
    "image": "photo",
    "truth": "mask",
    "prediction": "mask",
    "confidence": "confidence",
}
_NO_RANK = 10**6


def read_gallery(files: RunFiles, album: Album, max_cases: int) -> tuple[Case, ...]:
    """Return the cases of a run, the worst first; their pictures go into the album.

    Args:
        files: Of the run. A row whose picture is missing or broken is shown without it; how many
            there are is noted as one problem.
        album: Takes the pictures.
        max_cases: More are left out, those of the highest rank first.
    """
    frame = files.table("gallery.parquet", GALLERY)
    if frame is None or frame.empty:
        return ()
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in frame.to_dict(orient="records"):
        plain = {str(name): value for name, value in row.items()}
        names = (_text(plain.get(name)) for name in _PICTURES)
        groups.setdefault((_text(plain["sample_id"]), *names), []).append(plain)
    ordered = sorted(groups.values(), key=lambda rows: (_rank(rows), _text(rows[0]["sample_id"])))
    missing: list[str] = []
    cases = [_case(files.folder, rows, album, missing) for rows in ordered[:max_cases]]
    if missing:
        first = f"{missing[0]}" + (f", and {len(missing) - 1} more" if len(missing) > 1 else "")
        files.complain(f"the gallery lacks pictures: {first}")
    return tuple(cases)


def _case(folder: Path, rows: list[dict[str, Any]], album: Album, missing: list[str]) -> Case:
    keys: dict[str, str | None] = {}
    for name, content in _PICTURES.items():
        try:
            keys[name] = album.add(_inside(folder, _text(rows[0].get(name))), content)
        except DataError as error:
            keys[name] = None
            missing.append(str(error))
    return Case(
        sample_id=_text(rows[0]["sample_id"]),
        reasons=_distinct(rows, "reason"),
        error_types=_distinct(rows, "error_type"),
        class_names=_distinct(rows, "class_name"),
        details=_distinct(rows, "detail"),
        rank=_rank(rows),
        score=as_number(rows[0].get("score")),
        **keys,
    )


def _inside(folder: Path, name: str) -> Path:
    """Return a file of the run; a record from elsewhere must not pull in files from outside it."""
    path = folder / name
    if not name:
        raise DataError("a case names no picture")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{name} lies outside the run")
    return path


def _distinct(rows: Iterable[Mapping[str, Any]], name: str) -> tuple[str, ...]:
    values = (_text(row.get(name)) for row in rows)
    return tuple(dict.fromkeys(value for value in values if value))


def _rank(rows: Iterable[Mapping[str, Any]]) -> int:
    ranks = [as_number(row.get("rank")) for row in rows]
    return int(min((rank for rank in ranks if math.isfinite(rank)), default=_NO_RANK))


def _text(value: Any) -> str:
    return "" if value is None or value != value else str(value)
