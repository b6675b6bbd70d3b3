"""Rules about drift and quality: what the verdicts of others say, as findings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from seglab.monitor.alerts.findings import Finding, Judged
from seglab.monitor.alerts.options import RuleOptions
from seglab.monitor.drift.detector import DriftVerdict
from seglab.monitor.quality.estimate import Estimate
from seglab.monitor.quality.measured import Measured
from seglab.monitor.samples import readable_name

_NAMED = 3


def judge_drift(verdict: DriftVerdict, bundle: str, class_names: Sequence[str]) -> Judged:
    """Judge what the watch for drift says of a bundle's images."""
    findings = []
    if verdict.drifted:
        first = ", ".join(readable_name(one, class_names) for one in verdict.which[:_NAMED])
        more = f" and {len(verdict.which) - _NAMED} more" if len(verdict.which) > _NAMED else ""
        text = (
            f"the images are no longer those that the bundle was measured on: {first}{more} "
            f"({verdict.statistic:.2f}, threshold {verdict.threshold:.2f})"
        )
        findings = [Finding("drift", "warn", bundle, text, verdict.statistic, verdict.threshold)]
    return Judged(findings, frozenset({"drift"}))


def judge_estimate(
    estimate: Estimate, known_miou: float, bundle: str, options: RuleOptions
) -> Judged:
    """Judge what the probabilities say about quality.

    Args:
        estimate: Of the window.
        known_miou: Of the bundle on its reference.
        bundle: Id.
        options: How large a drop is one.
    """
    if not estimate.assumption.ok:
        text = f"quality cannot be estimated: {estimate.assumption.why}"
        distance = estimate.assumption.distance
        unknown = Finding("quality_unknown", "info", bundle, text, distance, 1.0)
        return Judged([unknown], frozenset({"quality_unknown"}))
    findings = list(_drop("quality_estimated", "warn", estimate, known_miou, bundle, options))
    return Judged(findings, frozenset({"quality_estimated", "quality_unknown"}))


def judge_measured(
    measured: Measured, known_miou: float, bundle: str, options: RuleOptions
) -> Judged:
    """Judge what labels say about quality; arguments as for `judge_estimate`."""
    found = _drop("quality_measured", "page", measured.measured, known_miou, bundle, options)
    return Judged(list(found), frozenset({"quality_measured"}))


def _drop(
    kind: str, severity: str, found: Estimate, known_miou: float, bundle: str, options: RuleOptions
) -> Iterator[Finding]:
    """Find a drop that is sure: the whole interval is below what is accepted."""
    low, high = found.interval
    least = known_miou - options.quality_drop
    if high < least:
        text = (
            f"mIoU is {found.miou:.3f} [{low:.3f}, {high:.3f}] on {found.images} images, it was "
            f"{known_miou:.3f} on the known ones"
        )
        yield Finding(kind, severity, bundle, text, found.miou, least)  # type: ignore[arg-type]
