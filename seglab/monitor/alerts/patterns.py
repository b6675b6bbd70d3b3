"""Rules about images and answers: blank frames, frozen cameras, classes that vanish or flood, confidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from seglab.monitor.alerts.findings import SERVICE, Finding, Judged, Severity
from seglab.monitor.alerts.options import RuleOptions
from seglab.monitor.samples import Sample

_BLACK, _FLAT = 0.08, 0.03  # of the reference's usual brightness and contrast
_LEAST_SHARE = 0.005  # of a class that could vanish
_LONGEST_STRETCH = 4  # the reference is looked at in stretches of a quarter at most
KINDS = ("blank_frames", "frozen_camera", "class_vanished", "class_flooded", "confidence")


def judge_patterns(
    window: Sample, reference: Sample, class_names: Sequence[str], options: RuleOptions
) -> Judged:
    """Judge the images of a window.

    Args:
        window: In order of time, with every statistic.
        reference: What is usual.
        class_names: In the order of the shares.
        options: Thresholds.
    """
    if window.num_images < options.least_rows:
        return Judged([], frozenset())
    findings = [
        *_blank(window, reference, options),
        *_frozen(window, options),
        *_classes(window, reference, class_names, options),
        *_doubt(window, reference, options),
    ]
    return Judged(findings, frozenset(KINDS))


def _streams(window: Sample) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each stream and which images are its."""
    for stream in np.unique(window.streams):
        yield str(stream), np.flatnonzero(window.streams == stream)


def _blank(window: Sample, reference: Sample, options: RuleOptions) -> Iterator[Finding]:
    def bright(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        mean, spread = (sample.statistics[f"channel_{name}"].mean(1) for name in ("mean", "std"))
        return mean + 2 * spread, spread

    light, contrast = (float(np.median(values)) for values in bright(reference))
    brightest, spread = bright(window)
    is_blank = (brightest < _BLACK * light) | (spread < _FLAT * contrast)
    for stream, places in _streams(window):
        share = float(is_blank[places].mean())
        if share > options.blank:
            text = f"{share:.1%} of {len(places)} images of {_called(stream)} are black or of one colour"
            severity: Severity = "page" if is_blank[places][-1] else "warn"
            yield Finding("blank_frames", severity, stream or SERVICE, text, share, options.blank)


def _frozen(window: Sample, options: RuleOptions) -> Iterator[Finding]:
    """Find streams whose latest images are one; images without a stream may well be asked about again."""
    seen = [window.statistics[name] for name in ("channel_mean", "channel_std", "sharpness")]
    whole = np.concatenate([one.reshape(window.num_images, -1) for one in seen], axis=1)
    for stream, places in _streams(window):
        if not stream:
            continue
        changes = np.flatnonzero((whole[places][1:] != whole[places][:-1]).any(1))
        run = len(places) - (changes[-1] + 1 if len(changes) else 0)
        if run >= options.frozen:
            text = f"the last {run} images of {_called(stream)} are the same to the last bit"
            yield Finding("frozen_camera", "page", stream, text, run, options.frozen)


def _classes(
    window: Sample, reference: Sample, class_names: Sequence[str], options: RuleOptions
) -> Iterator[Finding]:
    now = window.statistics["class_shares"].mean(0)
    known = reference.statistics["class_shares"]
    least = _stretches(known, window.num_images).min(0)
    most = known.max(0)
    for index, name in enumerate(class_names):
        low, high = options.vanished * float(least[index]), _flood(float(most[index]), options)
        share = float(now[index])
        if least[index] >= _LEAST_SHARE and share < low:
            text = f"{name} is on {share:.2%} of the pixels, where at least {least[index]:.2%} are usual"
            yield Finding("class_vanished", "warn", name, text, share, low)
        if share > high:
            text = f"{name} is on {share:.1%} of the pixels; of no known image on more than {most[index]:.1%}"
            yield Finding("class_flooded", "warn", name, text, share, high)


def _flood(most: float, options: RuleOptions) -> float:
    """Return the share above which a class floods: half as much again as on any known image."""
    # A class that fills most of an image cannot have half as much again: half of what is left to it.
    return max(min(1.5 * most, (1 + most) / 2), options.flooded)


def _doubt(window: Sample, reference: Sample, options: RuleOptions) -> Iterator[Finding]:
    usual = float(_stretches(1 - reference.statistics["confidence"], window.num_images).max())
    doubt, most = float(1 - window.statistics["confidence"].mean()), options.doubt * usual
    if doubt > most:
        text = f"mean confidence is {1 - doubt:.3f}, where at least {1 - usual:.3f} is usual"
        yield Finding("confidence", "warn", SERVICE, text, 1 - doubt, 1 - most)


def _stretches(values: np.ndarray, length: int) -> np.ndarray:
    """Return means of neighbouring images of the reference, as many as the window has where it can be."""
    length = max(1, min(length, len(values) // _LONGEST_STRETCH))
    sums = np.cumsum(np.concatenate([np.zeros_like(values[:1]), values]), axis=0, dtype=np.float64)
    found: np.ndarray = (sums[length:] - sums[:-length]) / length
    return found


def _called(stream: str) -> str:
    return f"stream {stream}" if stream else "the service"
