"""Drift and quality of a bundle's images over a period, of a long one at stretches of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow as pa

from seglab.bundle.loader import Bundle
from seglab.core.errors import SeglabError
from seglab.monitor.drift.detector import DriftDetector, DriftTimeline
from seglab.monitor.log.reading import read_log
from seglab.monitor.log.schema import STATISTICS
from seglab.monitor.quality.estimate import Estimate, QualityReference, estimate_quality
from seglab.monitor.quality.measured import Measured
from seglab.monitor.report.options import ReportOptions
from seglab.monitor.samples import (
    Sample,
    joined_samples,
    logged_sample,
    readable_name,
    reference_sample,
)

# More rows than these are looked at in stretches of consecutive ones, evenly over the period.
MOST_ROWS, _STRETCHES, _ROWS_OF_STRETCH = 10_000, 24, 400
_LEAST_ROWS, _ESTIMATES = 10, 24
_COLUMNS = ("time", "status", "stream", *STATISTICS, "features")


_Told = TypeVar("_Told")


class Drift(NamedTuple):
    """A time at which images were not like the reference's."""

    first: float
    """Time of the first window above the threshold: of its last image."""
    last: float
    windows: int
    scores: np.ndarray
    """Largest of each statistic."""


@dataclass
class Watched:
    """What became of the images of one bundle.

    Attributes:
        bundle: That answered.
        images: Answered by it in the period.
        looked_at: Of these.
        detector: None where the reference does not allow one; `notes` say why.
        timelines: Drift along each stretch.
        estimates: Quality without labels by stretch of time: middle, estimate.
        estimate: Of all images looked at; None where there is none.
        measured: With labels; None where none arrived.
        known_miou: Of the bundle on its reference; NaN: not known.
        notes: What cannot be told, and how far it can be relied on, a sentence each.
    """

    bundle: Bundle
    images: int = 0
    looked_at: int = 0
    detector: DriftDetector | None = None
    timelines: list[DriftTimeline] = field(default_factory=list)
    estimates: list[tuple[float, Estimate]] = field(default_factory=list)
    estimate: Estimate | None = None
    measured: Measured | None = None
    known_miou: float = float("nan")
    notes: list[str] = field(default_factory=list)

    @property
    def label(self) -> str:
        """The beginning of the id, as in the list of bundles."""
        return self.bundle.id[:8]

    @property
    def doubtful(self) -> list[tuple[float, Estimate]]:
        """Estimates over time whose assumption fails."""
        return [(time, one) for time, one in self.estimates if not one.assumption.ok]

    @property
    def threshold(self) -> float:
        """Of the scores of drift; NaN without a detector."""
        return self.detector.calibration.threshold if self.detector else float("nan")

    @property
    def statistics(self) -> list[str]:
        """Names of the statistics that drift is watched by, with classes for their numbers."""
        names, classes = self.detector.names if self.detector else (), self.bundle.class_names
        return [readable_name(name, classes) for name in names]

    @property
    def drifts(self) -> list[Drift]:
        """Each time that the images were others, from its first window to its last."""
        return [one for line in self.timelines for one in _drifts(line)]


def _drifts(line: DriftTimeline) -> list[Drift]:
    """Return runs of windows above the threshold; gaps of fewer than half a window do not end one."""
    places = np.flatnonzero(line.drifted)
    if not len(places):
        return []
    length = int(line.ends[0]) + 1
    gaps = np.flatnonzero(np.diff(line.ends[places]) > length // 2) + 1
    return [
        Drift(
            float(line.times[run[0]]), float(line.times[run[-1]]), len(run), line.scores[run].max(0)
        )
        for run in np.split(places, gaps)
    ]


def watch_bundle(
    bundle: Bundle, path: str | Path, times: np.ndarray, options: ReportOptions
) -> Watched:
    """Measure drift and quality of the images that a bundle answered.

    Args:
        bundle: Loaded.
        path: Where it lies.
        times: Of the rows that it answered, seconds since 1970, in order.
        options: Log and drift.
    """
    found = Watched(bundle, images=len(times))
    if len(times) < _LEAST_ROWS:
        found.notes.append(f"Only {len(times)} images of the period are its own: too few to tell.")
        return found
    reference = _tried(found, lambda: reference_sample(path))
    stretches = [logged_sample(one) for one in _stretches(bundle.id, times, options)]
    stretches = [one for one in stretches if len(one.times)]
    found.looked_at = sum(len(one.times) for one in stretches)
    if found.looked_at < len(times):
        found.notes.append(
            f"{found.looked_at:,} of its {len(times):,} images were looked at, in {len(stretches)} stretches "
            "over the period."
        )
    if reference is None or not stretches:
        return found
    _watch_drift(found, reference, stretches, options)
    _estimate(found, reference, stretches)
    return found


def _stretches(bundle: str, times: np.ndarray, options: ReportOptions) -> list[pa.Table]:
    """Return the rows to look at."""
    count = len(times)
    starts, length = [0], count
    if count > MOST_ROWS:
        length = _ROWS_OF_STRETCH
        starts = np.linspace(0, count - length, _STRETCHES).astype(int).tolist()
    # To a microsecond beyond the last, which is left out.
    spans = [(times[one], times[one + length - 1] + 1e-6) for one in starts]
    return [
        read_log(options.log, low, high, _COLUMNS, bundle, tell=lambda _line: None)
        for low, high in spans
    ]


def _watch_drift(
    found: Watched, reference: Sample, stretches: list[Sample], options: ReportOptions
) -> None:
    found.detector = _tried(found, lambda: DriftDetector.fit(reference, options.drift))
    if found.detector is None:
        return
    found.notes += found.detector.notes
    lines = _tried(found, lambda: [found.detector.watch(one) for one in stretches])  # type: ignore[union-attr]
    found.timelines = [line for line in lines or () if len(line.ends)]
    else_told = {note for one in stretches for note in found.detector.notes_on(one)}
    found.notes += sorted(else_told)[:1]
    if not found.timelines:
        found.notes.append(
            f"No {found.detector.window} images in a row, the window of the watch for drift."
        )


def _estimate(found: Watched, reference: Sample, stretches: list[Sample]) -> None:
    known = QualityReference.fit(reference)
    if known is not None:
        found.known_miou = known.miou
    whole = joined_samples(stretches)
    found.estimate = _tried(found, lambda: estimate_quality(whole, known))
    if found.estimate is None:
        return
    for piece in _pieces(stretches):
        found.estimates.append((float(piece.times.mean()), estimate_quality(piece, known)))


def _pieces(stretches: list[Sample]) -> list[Sample]:
    """Return samples of at most `_ESTIMATES` times of the period, each of enough images."""
    if len(stretches) > 1:
        return [one for one in stretches if len(one.times) >= _LEAST_ROWS]
    count = len(stretches[0].times)
    pieces = max(1, min(_ESTIMATES, count // (3 * _LEAST_ROWS)))
    cuts = np.linspace(0, count, pieces + 1).astype(int)
    return [stretches[0].take(slice(int(low), int(high))) for low, high in itertools.pairwise(cuts)]


def _tried(found: Watched, make: Callable[[], _Told]) -> _Told | None:
    """Return what can be made; where it cannot the page says why, and the rest of it is worth having."""
    try:
        return make()
    except SeglabError as error:
        found.notes.append(f"{error}.")
        return None
