"""Rules about answers: errors, saturation, slow responses, requests that are missing or unreadable."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from seglab.monitor.alerts.findings import SERVICE, Finding, Judged, Severity
from seglab.monitor.alerts.options import RuleOptions
from seglab.monitor.log.schema import OK

# What a status says of whose fault it is; others (a key, a query) are the caller's, and no alert.
ERRORS = ("internal", "500", "deadline")
SATURATED = ("queue", "wait", "memory")
UNREADABLE = ("image", "too_large", "content_type")


def judge_requests(table: pa.Table, options: RuleOptions) -> Judged:
    """Judge the rows of a window.

    Args:
        table: With `request_id`, `status` and `latency`.
        options: Thresholds.
    """
    findings = []
    judged = {"no_requests"} if options.expected_rows else set[str]()
    count = len(table)
    if count < options.expected_rows:
        message = f"{count} rows in the window, at least {options.expected_rows} are expected"
        findings.append(
            Finding("no_requests", "page", SERVICE, message, count, options.expected_rows)
        )
    if count < options.least_rows:
        return Judged(findings, frozenset(judged))
    # One row a request: of several images the slowest, which all have the request's own latency.
    ids, first = np.unique(table["request_id"].to_numpy(zero_copy_only=False), return_index=True)
    status = table["status"].to_numpy(zero_copy_only=False)[first]
    shares: tuple[tuple[str, tuple[str, ...], float, Severity, str], ...] = (
        ("errors", ERRORS, options.errors, "page", "fail"),
        ("saturated", SATURATED, options.refused, "warn", "are refused: too much is under way"),
        ("unreadable", UNREADABLE, options.unreadable, "warn", "have images that cannot be read"),
    )
    for kind, codes, most, severity, says in shares:
        share = float(np.isin(status, codes).mean())
        if share > most:
            text = f"{share:.1%} of {len(ids)} requests {says}; up to {most:.1%} are accepted"
            findings.append(Finding(kind, severity, SERVICE, text, share, most))
    judged |= {"errors", "saturated", "unreadable"}
    latency = table["latency"].to_numpy()[first][status == OK]
    if len(latency) >= options.least_rows:
        judged.add("slow")
        p95 = float(np.percentile(latency, 95))
        if p95 > options.latency_p95:
            text = f"1 of 20 requests takes longer than {p95:.2f} s; the target is {options.latency_p95:g} s"
            findings.append(Finding("slow", "warn", SERVICE, text, p95, options.latency_p95))
    return Judged(findings, frozenset(judged))
