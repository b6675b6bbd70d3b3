"""One evaluation: the latest rows, every rule, and the figures behind them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from seglab.bundle.loader import load
from seglab.monitor.alerts.findings import SERVICE, Finding, Judged
from seglab.monitor.alerts.patterns import judge_patterns
from seglab.monitor.alerts.requests import judge_requests
from seglab.monitor.alerts.verdicts import judge_drift, judge_estimate, judge_measured
from seglab.monitor.drift.detector import DriftDetector, DriftVerdict
from seglab.monitor.log.reading import read_log
from seglab.monitor.log.schema import OK, STATISTICS
from seglab.monitor.quality.estimate import estimate_quality
from seglab.monitor.quality.labels import folder_labels
from seglab.monitor.quality.measured import COLUMNS as LABEL_COLUMNS
from seglab.monitor.quality.measured import Measured, measured_quality
from seglab.monitor.samples import Sample, logged_sample
from seglab.monitor.watch.known import Known
from seglab.monitor.watch.options import WatchOptions

COLUMNS = [*"time request_id image status latency bundle stream".split(), *STATISTICS, "features"]


@dataclass
class Evaluation:
    """What was found.

    Attributes:
        judged: Findings of every rule.
        rows: How many rows were judged.
        figures: Numbers for the metrics, by name.
    """

    judged: Judged = field(default_factory=lambda: Judged([], frozenset()))
    rows: int = 0
    figures: dict[str, float] = field(default_factory=dict)

    def add(self, judged: Judged) -> None:
        """Add what a rule found."""
        findings = [*self.judged.findings, *judged.findings]
        self.judged = Judged(findings, self.judged.kinds | judged.kinds)


class Evaluator:
    """Judges the latest rows of a log, again and again.

    Args:
        options: Log, window, thresholds.
        tell: Gets what could not be read.
    """

    def __init__(self, options: WatchOptions, tell: Callable[[str], None]) -> None:
        self._options, self._tell = options, tell
        self._labels: tuple[object, Measured | None] = (
            None,
            None,
        )  # as they were, and what they said
        self._confusions: dict[str, np.ndarray] = {}

    def evaluate(self, known: Known, now: float) -> Evaluation:
        """Judge the rows up to a time.

        Whatever one rule fails of, the others are asked; the failure is an alert itself.

        Args:
            known: The bundle.
            now: End of the window, seconds since 1970.
        """
        found, options = Evaluation(), self._options
        start = now - 60 * options.minutes
        table = read_log(options.log, start, now, COLUMNS, tell=self._tell)
        found.rows = len(table)
        found.add(judge_requests(table, options.rules))
        window = logged_sample(table.filter(pc.equal(table["bundle"], known.bundle)))
        failures = []
        for rule in (self._patterns, self._drift, self._estimate, self._measured):
            try:
                rule(found, known, window, now)
            except Exception as error:  # noqa: BLE001 - the next rule must be asked
                failures.append(f"{type(error).__name__}: {error}")
        findings = [Finding("watch_failed", "page", SERVICE, one, 1.0, 0.0) for one in failures[:1]]
        found.add(Judged(findings, frozenset({"watch_failed"})))
        return found

    def _patterns(self, found: Evaluation, known: Known, window: Sample, now: float) -> None:
        found.add(judge_patterns(window, known.reference, known.class_names, self._options.rules))

    def _drift(self, found: Evaluation, known: Known, window: Sample, now: float) -> None:
        detector = known.detector
        if detector is None or window.num_images < detector.window:
            return
        verdict = _worst(detector, window, now - self._options.interval)
        found.figures |= {"drift_score": verdict.statistic, "drift_threshold": verdict.threshold}
        found.add(judge_drift(verdict, known.bundle, known.class_names))

    def _estimate(self, found: Evaluation, known: Known, window: Sample, now: float) -> None:
        rules = self._options.rules
        if known.quality is None or window.num_images < rules.least_rows:
            return
        estimate = estimate_quality(window, known.quality)
        found.figures |= {
            "miou_estimated": estimate.miou,
            "miou_estimated_low": estimate.interval.low,
            "miou_estimated_high": estimate.interval.high,
            "miou_estimate_holds": float(estimate.assumption.ok),
            "miou_known": known.miou,
        }
        found.add(judge_estimate(estimate, known.miou, known.bundle, rules))

    def _measured(self, found: Evaluation, known: Known, window: Sample, now: float) -> None:
        rules = self._options.rules
        measured = self._measure(known, now)
        if measured is None or measured.measured.images < rules.least_rows:
            return
        low, high = measured.measured.interval
        found.figures |= {
            "miou_measured": measured.measured.miou,
            "miou_measured_low": low,
            "miou_measured_high": high,
        }
        found.add(judge_measured(measured, known.miou, known.bundle, rules))

    def _measure(self, known: Known, now: float) -> Measured | None:
        """Score the images that have labels, again where labels came."""
        options = self._options
        if options.labels is None or known.quality is None:
            return None
        files = sorted(Path(options.labels).expanduser().rglob("*"))
        if not files:
            return None
        stamp = (known.bundle, [(str(one), one.stat().st_mtime_ns) for one in files])
        if stamp != self._labels[0]:
            start = now - 86_400 * options.label_days
            table = read_log(options.log, start, now, LABEL_COLUMNS, known.bundle, self._tell)
            measured = measured_quality(
                table.filter(pc.equal(table["status"], OK)),
                Path(options.log).expanduser(),
                folder_labels(options.labels),
                load(known.place, check=False),
                known.quality,
                before=self._confusions,
            )
            self._labels = stamp, measured
        return self._labels[1]


def _worst(detector: DriftDetector, window: Sample, since: float) -> DriftVerdict:
    """Return the verdict on the images of now, or on those since the last evaluation that drifted most."""
    latest = detector.test(window)
    fresh = int(np.searchsorted(window.times, since))
    recent = window.take(slice(max(0, fresh - detector.window), None))
    timeline = detector.watch(recent)
    if latest.drifted or not timeline.drifted.any():
        return latest
    return detector.test(
        recent.take(slice(int(timeline.ends[timeline.scores.max(1).argmax()]) + 1))
    )
