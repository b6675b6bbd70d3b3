"""Every rule finds what it is for, and nothing on usual images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seglab.monitor.alerts.findings import RUNBOOK, Judged
from seglab.monitor.alerts.options import RuleOptions
from seglab.monitor.alerts.patterns import judge_patterns
from seglab.monitor.alerts.requests import judge_requests
from seglab.monitor.alerts.verdicts import judge_drift, judge_estimate
from seglab.monitor.drift.detector import DriftVerdict
from seglab.monitor.log.schema import table_of
from seglab.monitor.quality.estimate import Assumption, Estimate
from seglab.monitor.quality.scores import Interval
from seglab.monitor.samples import logged_sample, reference_sample
from tests.monitor.rows import camera, reference_arrays

REFERENCE = reference_sample(reference_arrays())
NAMES = ["sky", "road", "car"]
RULES = RuleOptions()


def found(judged: Judged) -> dict[str, str]:
    """Return the subject of each finding by its kind."""
    return {one.kind: one.subject for one in judged.findings}


def patterns(rows: list[dict[str, Any]], stream: str | None = "cam") -> dict[str, str]:
    told = {"bundle": "b", "variant": "v", "status": "ok", "latency": 0.1, "image": 0}
    table = table_of(
        [
            {"time": n, "request_id": str(n), "stream": stream, **told, **r}
            for n, r in enumerate(rows)
        ]
    )
    return found(judge_patterns(logged_sample(table), REFERENCE, NAMES, RULES))


def shares(*values: float) -> dict[str, np.ndarray]:
    return {"class_shares": np.array(values)}


BLACK = {"channel_mean": np.full(3, 4.0), "channel_std": np.full(3, 1.0)}
NIGHT = {"channel_mean": np.full(3, 12.0), "channel_std": np.full(3, 9.0), "sharpness": 0.2}
WHITE = {"channel_mean": np.full(3, 255.0), "channel_std": np.zeros(3)}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (camera(60), {}),
        (camera(15, **BLACK), {}),  # too few to tell
        (camera(60, **shares(0.45, 0.55, 0)), {"class_vanished": "car"}),
        (camera(60, **shares(0.2, 0.3, 0.5)), {"class_flooded": "car"}),
        (camera(60, **shares(0.2, 0.7, 0.1)), {}),  # more road than ever, and not by much
        (camera(60, confidence=0.7), {"confidence": "service"}),
        (camera(56) + camera(4, **BLACK), {"blank_frames": "cam"}),
        (camera(56) + camera(4, **WHITE), {"blank_frames": "cam"}),
        (camera(58) + camera(2, **BLACK), {}),  # 1 in 30
        (camera(30) + camera(30, channel_mean=NIGHT["channel_mean"] + 20), {}),
        (camera(50) + camera(1, seed=5) * 10, {"frozen_camera": "cam"}),
        (camera(50) + camera(1, seed=5) * 10 + camera(1), {}),  # it moves again
        (camera(50) + camera(1, seed=5) * 9, {}),
    ],
)
def test_unusual_patterns(rows: list[dict[str, Any]], expected: dict[str, str]) -> None:
    assert patterns(rows) == expected


def test_the_same_image_again_without_a_stream_is_no_frozen_camera() -> None:
    assert patterns(camera(50) + camera(1, seed=5) * 10, stream=None) == {}


def requests(**counts: int) -> Judged:
    rows = [
        {"status": status, "latency": 5.0 if status == "ok" and n < counts["slow"] else 0.1}
        for status, count in counts.items()
        if status != "slow"
        for n in range(count)
    ]
    told = {"time": 0, "bundle": "b", "variant": "v"}
    table = [
        {"request_id": str(n), "image": image, **told, **row}
        for n, row in enumerate(rows)
        for image in range(3 if row["status"] == "ok" else 1)  # several images are one request
    ]
    return judge_requests(table_of(table), RuleOptions(expected_rows=10))


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"ok": 99, "slow": 4, "internal": 1}, set()),
        ({"ok": 97, "slow": 0, "internal": 1, "deadline": 2}, {"errors"}),
        ({"ok": 90, "slow": 0, "queue": 5, "memory": 5}, {"saturated"}),
        ({"ok": 70, "slow": 0, "image": 30}, {"unreadable"}),
        ({"ok": 90, "slow": 6}, {"slow"}),
        ({"ok": 90, "slow": 0, "key": 50, "rate": 50}, set()),  # the callers' own affairs
        ({"ok": 2, "slow": 0}, {"no_requests"}),
    ],
)
def test_answers(counts: dict[str, int], expected: set[str]) -> None:
    judged = requests(**counts)
    assert set(found(judged)) == expected
    # With too few rows nothing is said to be over.
    assert ("errors" in judged.kinds) == (counts["ok"] > 20)


def estimate(miou: float, half: float, assumption: Assumption) -> Estimate:
    empty = np.zeros(3)
    interval = Interval(miou - half, miou + half)
    return Estimate(empty, empty, empty, miou, interval, 50, assumption)


def test_verdicts_on_drift_and_quality() -> None:
    verdict = DriftVerdict({}, {}, 3.0, 1.5, True, ("sharpness", "class_shares[2]", "a", "b"))
    [drift] = judge_drift(verdict, "b", NAMES).findings
    assert "sharpness, class_shares: car, a and 1 more (3.00, threshold 1.50)" in drift.message
    assert judge_drift(verdict._replace(drifted=False), "b", NAMES) == Judged(
        [], frozenset({"drift"})
    )

    holds, fails = Assumption(True, "fine"), Assumption(False, "too far away", "outside", 9.0)
    for low, expected in ((0.62, "quality_estimated"), (0.68, None)):
        judged = judge_estimate(estimate(low, 0.02, holds), 0.7, "b", RULES)
        assert [one.kind for one in judged.findings] == [expected][: expected is not None]
    unknown = judge_estimate(estimate(0.5, 0.01, fails), 0.7, "b", RULES)
    assert found(unknown) == {"quality_unknown": "b"}
    assert "quality_estimated" not in unknown.kinds  # what was wrong before is not over


def test_every_kind_has_a_line_on_what_to_do_and_a_place_in_the_page() -> None:
    page = Path(__file__).resolve().parents[3] / "docs" / "production.md"
    text = page.read_text(encoding="utf-8")
    assert all(f"`{kind}`" in text for kind in RUNBOOK)
