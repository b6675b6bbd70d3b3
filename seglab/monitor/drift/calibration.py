"""Which threshold gives the asked number of images between false alarms: found by letting the watch run.

The watch runs along the reference itself, its blocks of neighbouring images in random orders, as it will
in service: overlapping windows, all statistics at once, a new start after an alarm. Each window is held
against the images of the reference that are neither in it nor near it, as a window of new images will be,
and each statistic is measured by what the other windows show: anything else counts the window among
what it is held against and alarms too often later (with 2,000 frames of video and 1,000 images asked, one
in 420). So correlation along the stream, between windows and between statistics, and the luck of the
reference are all in the count of alarms; no table of a test is asked.

References:
    Westfall and Young (1993), correction by the distribution of the largest: "Resampling-Based Multiple
        Testing", Wiley
    Page (1954), run length of a watch: https://doi.org/10.1093/biomet/41.1-2.100
    Burman et al. (1994), leaving out neighbours too: https://doi.org/10.1093/biomet/81.2.351
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from seglab.monitor.drift.distances import Distances, Encoded, Tally, moving_sum, moving_windows

_ALARMS, _FEWEST_ALARMS, _TAIL_ALARMS = 300, 30, 120
_FEWEST_ORDERS, _MOST_ORDERS = 10, 600
# In standard deviations of single images; of the kernel's distance, whose largest is about 1.4.
_LEAST_UNIT, _LEAST_KERNEL_UNIT = 0.02, 0.001
# What is usual for other windows, over what is for all, at least.
_LEAST_USUAL = 0.5


class Watch(NamedTuple):
    """How the watch runs."""

    step: int
    """Images between two windows."""
    fresh: int
    """Steps of a window."""
    gap: int
    """Steps beside a window whose images are like its own."""
    run_length: int
    """Images between two false alarms, as asked."""
    simulated_windows: int
    """Windows to simulate, at most."""


@dataclass(frozen=True)
class Calibration:
    """What the runs along the reference taught.

    Attributes:
        unit: Distance of each statistic that is usual for a window (root mean square), `(S + 1,)`; scores
            are distances in these.
        threshold: Of the largest score of a window.
        largest: Largest score of every simulated window, sorted.
        is_extrapolated: The run length is beyond what was simulated.
    """

    unit: np.ndarray
    threshold: float
    largest: np.ndarray
    is_extrapolated: bool

    def p_values(self, scores: np.ndarray) -> np.ndarray:
        """Return the share of undisturbed windows whose largest score is at least as large, corrected so."""
        above = len(self.largest) - np.searchsorted(self.largest, scores, side="left")
        return (1 + above) / (1 + len(self.largest))


def calibrate(
    images: Encoded, order: Callable[[int], np.ndarray], distances: Distances, watch: Watch
) -> Calibration:
    """Let the watch run along the reference, and set the threshold by its alarms.

    Args:
        images: Of the reference.
        order: Number of a run -> numbers of the images in a random order of their blocks.
        distances: Fitted to the reference.
        watch: Window, step, run length.
    """
    found, others = [], []
    for number in range(_num_orders(len(images.codes), watch)):
        numbers = order(number)
        steps = distances.tally(Encoded(images.codes[numbers], images.waves[numbers]), watch.step)
        apart = distances.between(moving_windows(steps, watch.fresh), _without(steps, watch))
        found.append(apart)
        others.append(_usual_of_others(apart, watch.fresh + watch.gap))
    distance, usual = np.stack(found), np.stack(others)
    least = np.full(distance.shape[-1], _LEAST_UNIT)
    least[-1] = _LEAST_KERNEL_UNIT
    unit = np.maximum(np.sqrt((distance**2).mean((0, 1))), least)
    # A small reference has few other windows, by chance all alike: measured by those, a window of its own
    # would raise the threshold beyond what any change could reach.
    largest = (distance / np.maximum(usual, unit * _LEAST_USUAL)).max(-1)
    wanted = largest.size * watch.step / watch.run_length
    threshold = _threshold(largest, wanted, watch.fresh)
    return Calibration(unit, threshold, np.sort(largest.reshape(-1)), wanted < _FEWEST_ALARMS)


def _num_orders(count: int, watch: Watch) -> int:
    most = min(_MOST_ORDERS, watch.simulated_windows * watch.step // count)
    return max(_FEWEST_ORDERS, min(_ALARMS * watch.run_length // count, most))


def _without(steps: Tally, watch: Watch) -> Tally:
    """Return sums over all images but those of each window and those near it."""
    around = watch.fresh + 2 * watch.gap
    sums = []
    for values in steps:
        beside = np.zeros((watch.gap, *values.shape[1:]), values.dtype)
        near = moving_sum(np.concatenate([beside, values, beside]), around)
        sums.append(values.sum(0, dtype=np.float64) - near)
    return Tally(*sums)


def _usual_of_others(distance: np.ndarray, reach: int) -> np.ndarray:
    """Return the root mean square over the windows farther than `reach` from each, `(w, S + 1)`."""
    count = np.arange(len(distance))
    low, high = np.maximum(0, count - reach), np.minimum(len(count), count + reach + 1)
    sums = np.concatenate([np.zeros((1, distance.shape[1])), np.cumsum(distance**2, 0)])
    others = np.maximum(1, len(count) - (high - low))[:, None]
    return np.asarray(np.sqrt(np.maximum(0.0, sums[-1] - (sums[high] - sums[low])) / others))


def alarm_places(scores: np.ndarray, threshold: float, fresh: int) -> list[int]:
    """Return windows that raise an alarm; after one the watch starts anew with fresh images.

    Args:
        scores: Largest score of each window of one stream.
        threshold: Above it is an alarm.
        fresh: Steps until a window holds none of the images of an alarm.
    """
    found: list[int] = []
    for place in np.flatnonzero(scores > threshold):
        if not found or place >= found[-1] + fresh:
            found.append(int(place))
    return found


def _threshold(largest: np.ndarray, wanted: float, fresh: int) -> float:
    """Return the threshold that gives so many alarms in all runs together."""
    if wanted >= _FEWEST_ALARMS:
        return _threshold_of(largest, wanted, fresh)
    # Beyond what was simulated alarms get rarer as they did before: exponentially.
    near, far = (_threshold_of(largest, one, fresh) for one in (_TAIL_ALARMS, _FEWEST_ALARMS))
    slope = (far - near) / math.log(_TAIL_ALARMS / _FEWEST_ALARMS)
    return far + slope * math.log(_FEWEST_ALARMS / wanted)


def _threshold_of(largest: np.ndarray, wanted: float, fresh: int) -> float:
    low, high = 0.0, float(largest.max())
    for _ in range(40):
        middle = (low + high) / 2
        alarms = sum(len(alarm_places(one, middle, fresh)) for one in largest)
        low, high = (middle, high) if alarms > wanted else (low, middle)
    return high
