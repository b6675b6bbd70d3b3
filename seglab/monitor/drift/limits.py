"""What a reference cannot bear: too few scenes, too long a run length, a stream that is denser than it."""

from __future__ import annotations

import math

import numpy as np

from seglab.monitor.blocks import Streams
from seglab.monitor.drift.calibration import Calibration, Watch
from seglab.monitor.drift.distances import watched_values
from seglab.monitor.samples import Sample

_FEWEST_INDEPENDENT = 30
_FEWEST_ALARMS = 5
# Neighbours that differ so many times less, in mean square, are of a denser stream.
_DENSER = 2.0


def reference_notes(
    count: int, streams: Streams, block: int, alike: float, watch: Watch, calibration: Calibration
) -> list[str]:
    """Say where a reference is too small for what was asked of it, a sentence each.

    Args:
        count: Images.
        streams: Of them.
        block: Images that stay together.
        alike: For how many images in a row the statistics say the same.
        watch: What was asked.
        calibration: What came of it.
    """
    found = []
    independent = count / alike
    asked = f"{watch.run_length:,}"
    if independent < _FEWEST_INDEPENDENT:
        found.append(
            f"The reference is too small to tell chance from change: its {count} images of "
            f"{len(streams.members)} streams say as much as {independent:.0f} independent ones. Expect false "
            f"alarms more often than every {asked} images; give a reference of more scenes."
        )
    told = run_length_told(count, block, watch.step * watch.fresh)
    if told < watch.run_length:
        found.append(
            f"The reference can tell of run lengths up to about {told:,.0f} images, and {asked} were asked: "
            f"the threshold is extrapolated. Neighbouring images are alike over about {alike:.0f}; give a "
            "reference of more images, or a smaller run_length."
        )
    elif calibration.is_extrapolated:
        found.append(
            f"A run length of {asked} images is beyond what was simulated: the threshold is extrapolated. "
            "Raise simulated_windows to have it counted."
        )
    return found


def run_length_told(count: int, block: int, window: int) -> float:
    """Return up to which run length a reference can tell.

    Where a window lies within one block the reference has no windows but its own, and a few alarms among
    them are needed; shorter blocks make new windows in each order.

    Args:
        count: Images of the reference.
        block: Images that stay together.
        window: Images of a window.
    """
    blocks, drawn = count / block, window / block
    ways = math.lgamma(blocks + drawn) - math.lgamma(drawn + 1) - math.lgamma(blocks)
    return max(count, window * math.exp(min(ways, 50.0)) if drawn > 1 else 0.0) / _FEWEST_ALARMS


def change_between(sample: Sample, scale: np.ndarray) -> float | None:
    """Return how far neighbouring images of a stream are apart; None where none has a neighbour.

    Args:
        sample: Images in order of time within each stream.
        scale: Standard deviation of each statistic in the reference.

    Returns:
        The mean square difference in variances of the reference, the median over the statistics that vary.
    """
    _, values = watched_values(sample)
    streams = Streams.of(sample.streams)
    steps = [np.diff(values[one], axis=0) for one in streams.members if len(one) > 1]
    if not steps:
        return None
    squared = (np.concatenate(steps) / scale[: values.shape[1]]) ** 2
    moving = squared.mean(0)[values.std(0) > 0]
    return float(np.median(moving)) if moving.size else None


def denser_notes(known: float, change: float | None) -> list[str]:
    """Say that the images of a stream follow each other faster than the reference's, if they do.

    Args:
        known: Change between neighbours of the reference.
        change: Of the stream.
    """
    if change is None or change > known / _DENSER:
        return []
    return [
        f"Neighbouring images of a stream differ {known / max(change, 1e-9):.1f} times less than those of "
        "the reference: they follow each other faster, so false alarms come more often than asked. Log a "
        "sample of them (log.sample), ask for a longer window, or give a reference of images as they come."
    ]
