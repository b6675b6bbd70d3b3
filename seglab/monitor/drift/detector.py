"""The watch for drift: made from a reference, asked about a window, or run along a stream."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from seglab.core.errors import ConfigError, ShapeError
from seglab.core.seeding import generator
from seglab.monitor.blocks import Streams, choose_block
from seglab.monitor.drift.calibration import Calibration, Watch, alarm_places, calibrate
from seglab.monitor.drift.distances import Distances, Tally, moving_windows, watched_values
from seglab.monitor.drift.limits import change_between, denser_notes, reference_notes
from seglab.monitor.drift.options import DriftOptions
from seglab.monitor.samples import Sample

_WINDOW, _STEPS_OF_WINDOW, _WINDOWS_OF_REFERENCE = 50, 5, 4
# Correlation with images farther away than this many times the length of likeness is small.
_TIMES_NEAR = 4
# Steps that are worked on together, to bound memory.
_STEPS_AT_ONCE = 4_000


class DriftVerdict(NamedTuple):
    """What a window says."""

    p_values: dict[str, float]
    """Of each statistic, corrected for their number: the share of undisturbed windows with any as far off."""
    scores: dict[str, float]
    """Distance of each statistic; 1 is usual for a window when nothing has changed."""
    statistic: float
    """The largest score."""
    threshold: float
    """What the largest score exceeds once in `run_length` images."""
    drifted: bool
    """Whether it does now."""
    which: tuple[str, ...]
    """Statistics above the threshold, the farthest first."""


class DriftTimeline(NamedTuple):
    """What windows along a stream say; `alarms` are those that begin one."""

    ends: np.ndarray
    """Number of the last image of each window, int `(w,)`."""
    times: np.ndarray
    """Its time, `(w,)`."""
    scores: np.ndarray
    """`(w, S + 1)`."""
    drifted: np.ndarray
    """bool `(w,)`."""
    alarms: list[int]
    """Numbers of windows."""


@dataclass(frozen=True)
class DriftDetector:
    """Holds windows of images against a reference.

    Attributes:
        watched: Window, step and run length.
        distances: What is measured.
        known: Sums over the reference.
        calibration: The threshold, and what it was found by.
        block: Images of the reference that stayed together.
        alike: For how many images in a row the reference's statistics say the same.
        change: How far neighbouring images of the reference are apart; None: it has no neighbours.
        notes: What the reference cannot bear, one sentence each; empty where all is well.
    """

    watched: Watch
    distances: Distances
    known: Tally
    calibration: Calibration
    block: int
    alike: float
    change: float | None
    notes: tuple[str, ...]

    @classmethod
    def fit(cls, reference: Sample, options: DriftOptions | None = None) -> DriftDetector:
        """Measure the reference and set the threshold.

        Args:
            reference: Images as they come when nothing has changed, in order of time within each stream.
            options: Window and run length.

        Raises:
            ConfigError: The window is too long for the reference, or for the run length.
        """
        options = options or DriftOptions()
        count = len(reference.times)
        window, step = _lengths(count, options)
        streams = Streams.of(reference.streams)
        distances = Distances.fit(reference, options.seed)
        block, alike = choose_block(watched_values(reference)[1], streams)
        block = options.block or block
        gap = _near(alike, count, window, options.cameras)
        watch = Watch(
            step, window // step, -(-gap // step), options.run_length, options.simulated_windows
        )
        images = distances.encode(reference)

        def order(number: int) -> np.ndarray:
            rng = generator(options.seed, "drift calibration", number)
            return streams.shuffled(block, rng, options.cameras)

        calibration = calibrate(images, order, distances, watch)
        known = Tally(*(one[0] for one in distances.tally(images, count)))
        notes = reference_notes(count, streams, block, alike, watch, calibration)
        change = change_between(reference, distances.scale)
        return cls(watch, distances, known, calibration, block, alike, change, tuple(notes))

    @property
    def window(self) -> int:
        """Images of a window."""
        return self.watched.step * self.watched.fresh

    @property
    def names(self) -> tuple[str, ...]:
        """Of the statistics, the last for all together."""
        return self.distances.names

    def test(self, window: Sample) -> DriftVerdict:
        """Judge the latest images.

        Args:
            window: At least `window` images in order of time; earlier ones are left out.

        Raises:
            ShapeError: Fewer, or other statistics than the reference's.
        """
        length = self.window
        if len(window.times) < length:
            raise ShapeError(
                f"expected a window of {length} images, got {len(window.times)}; wait for more, or fit with "
                "a smaller window"
            )
        images = self.distances.encode(window.take(slice(-length, None)))
        scores = self._scores(self.distances.tally(images, length))[0]
        threshold = self.calibration.threshold
        order = np.argsort(-scores)
        return DriftVerdict(
            dict(zip(self.names, self.calibration.p_values(scores).tolist(), strict=True)),
            dict(zip(self.names, scores.tolist(), strict=True)),
            float(scores.max()),
            threshold,
            bool(scores.max() > threshold),
            tuple(self.names[place] for place in order if scores[place] > threshold),
        )

    def watch(self, stream: Sample) -> DriftTimeline:
        """Judge windows along a stream, one each `step` images.

        Args:
            stream: Images in order of time, of all cameras together; fewer than a window: no verdicts.
        """
        step, fresh = self.watched.step, self.watched.fresh
        steps = len(stream.times) // step
        found = [np.empty((0, len(self.names)))]
        for start in range(0, max(0, steps - fresh + 1), _STEPS_AT_ONCE):
            end = min(steps, start + _STEPS_AT_ONCE + fresh - 1)
            images = self.distances.encode(stream.take(slice(start * step, end * step)))
            found.append(self._scores(moving_windows(self.distances.tally(images, step), fresh)))
        scores = np.concatenate(found)
        largest = scores.max(1) if len(scores) else np.empty(0)
        ends = (np.arange(len(scores)) + fresh) * step - 1
        threshold = self.calibration.threshold
        return DriftTimeline(
            ends,
            stream.times[ends],
            scores,
            largest > threshold,
            alarm_places(largest, threshold, fresh),
        )

    def notes_on(self, stream: Sample) -> list[str]:
        """Say where false alarms may come more often than asked, since a stream is unlike the reference.

        Images that follow each other faster than the reference's are more alike, and fewer scenes make up a
        window. A change of all images does not count: neighbours are compared.

        Args:
            stream: Images in order of time.
        """
        if self.change is None or len(stream.times) < self.window:
            return []
        return denser_notes(self.change, change_between(stream, self.distances.scale))

    def _scores(self, windows: Tally) -> np.ndarray:
        return self.distances.between(windows, self.known) / self.calibration.unit


def _lengths(count: int, options: DriftOptions) -> tuple[int, int]:
    """Return the images of a window and of a step."""
    window = options.window or min(_WINDOW, count // _WINDOWS_OF_REFERENCE)
    if window < 2 or count < 2 * window:
        raise ConfigError(
            f"window: expected at most half of the reference's {count} images, and at least 2, got {window}; "
            "give a smaller window, or a bundle with more images in its reference (reference_images of "
            "seglab export)"
        )
    step = options.step or max(
        part for part in range(1, max(1, window // _STEPS_OF_WINDOW) + 1) if window % part == 0
    )
    if window % step:
        raise ConfigError(f"step: expected a whole part of the window ({window}), got {step}")
    if options.run_length <= window:
        raise ConfigError(
            f"run_length: expected more images than the window has ({window}), got {options.run_length}"
        )
    return window, step


def _near(alike: float, count: int, window: int, cameras: int) -> int:
    """Return the images beside a window that are left out with it; half of the reference stays."""
    wanted = 0 if alike < 1.5 else math.ceil(_TIMES_NEAR * alike * cameras)
    return max(0, min(wanted, (count // 2 - window) // 2))
