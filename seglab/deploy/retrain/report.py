"""What came of a retraining: plain content for `retrain.json`, and a page in Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from seglab.core.text.wording import plural
from seglab.deploy.retrain.duel import Duel, Side


def facts_of(duel: Duel) -> dict[str, Any]:
    """Return a comparison as plain content."""
    found = duel.difference
    return {
        "champion": {"miou": duel.miou[0], **_latency(duel.champion)},
        "challenger": {"miou": duel.miou[1], **_latency(duel.challenger)},
        "difference": _number(found.value),
        "interval": [_number(found.low), _number(found.high)],
        "p": _number(duel.p),
        "slices": {
            one.name: {
                "images": one.images,
                "champion": _number(one.champion),
                "challenger": _number(one.challenger),
            }
            for one in duel.slices
        },
    }


def page(content: Mapping[str, Any]) -> str:
    """Return the report of a retraining, Markdown."""
    checks, decision = content.get("checks") or {}, content.get("decision")
    lines = [f"# {content['verdict'].capitalize()}", "", content["text"], ""]
    lines += [f"- champion: `{content['champion']}`"]
    lines += [f"- challenger: `{content['challenger']}`"] if content.get("challenger") else []
    lines += [
        f"- configuration of: `{content['configuration_of']}`",
        f"- data: `{content['data']}`",
    ]
    lines += [f"- run: `{content['run']}`"] if content.get("run") else []
    lines += _holdout(content.get("holdout"))
    lines += ["", "## The data", ""]
    lines += [f"- **{one}**" for one in checks.get("problems", ())]
    lines += [f"- {one}" for one in checks.get("notes", ())]
    if decision:
        lines += ["", "## The conditions", "", "| | condition | |", "|---|---|---|"]
        lines += [
            f"| {'met' if one['met'] else '**not met**'} | {one['name']} | {one['text']} |"
            for one in decision["conditions"]
        ]
        duel = content["duel"]
        lines += ["", "| | mIoU | p50 ms | p95 ms |", "|---|---:|---:|---:|"]
        lines += [
            f"| {name} | {duel[name]['miou']:.4f} | {duel[name]['p50_ms']} | {duel[name]['p95_ms']} |"
            for name in ("champion", "challenger")
        ]
    return "\n".join(lines) + "\n"


def repeated_use(used: Mapping[str, Any]) -> list[str]:
    """Return a warning where a holdout was compared on before."""
    if used["use"] < 2:
        return []
    return [
        f"the holdout was used {plural(used['use'] - 1, 'time')} before: who chooses among many by one "
        "holdout comes to overrate the chosen; renew it now and then (new_holdout=true)"
    ]


def _holdout(used: Mapping[str, Any] | None) -> list[str]:
    if not used:
        return []
    lines = [
        f"- holdout: `{used['holdout']}`, {used['images']} images, comparison {used['use']} on it"
    ]
    return lines + [f"- **{one}**" for one in repeated_use(used)]


def _latency(side: Side) -> dict[str, float]:
    p50, p95 = np.percentile(side.milliseconds, [50, 95])
    return {"p50_ms": round(float(p50), 2), "p95_ms": round(float(p95), 2)}


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
