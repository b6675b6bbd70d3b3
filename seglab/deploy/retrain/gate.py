"""Whether the challenger takes the champion's place: each condition with what was found, in words."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from seglab.deploy.retrain.duel import Duel, Slice
from seglab.deploy.retrain.options import RetrainOptions


@dataclass(frozen=True)
class Condition:
    """One condition of a promotion."""

    name: str
    met: bool
    text: str


@dataclass(frozen=True)
class Decision:
    """All conditions; it is promoted where every one is met."""

    conditions: list[Condition]

    @property
    def promotes(self) -> bool:
        """Whether the challenger becomes the champion."""
        return all(one.met for one in self.conditions)

    @property
    def why(self) -> str:
        """The conditions that were not met, or where all were, the difference."""
        failed = [one.text for one in self.conditions if not one.met]
        return "; ".join(failed) if failed else self.conditions[0].text

    def to_dict(self) -> dict[str, Any]:
        """Return plain content."""
        return {"promotes": self.promotes, "conditions": [asdict(one) for one in self.conditions]}


def decide(duel: Duel, options: RetrainOptions) -> Decision:
    """Hold what was found against the conditions."""
    conditions = [_not_worse(duel, options)]
    conditions += [_guarded(one, options.guard_tolerance) for one in duel.slices]
    if options.max_latency_ms is not None:
        conditions.append(_fast_enough(duel, options.max_latency_ms))
    return Decision(conditions)


def _not_worse(duel: Duel, options: RetrainOptions) -> Condition:
    before, now = duel.miou
    found = duel.difference
    text = f"mIoU {now:.4f} against the champion's {before:.4f}: {found.value:+.4f}"
    if math.isnan(found.low):
        return Condition(
            "mIoU",
            False,
            f"{text}, but {found.units} images or groups are too few to tell how sure",
        )
    text += f" [{found.low:+.4f}, {found.high:+.4f}], p = {duel.p:.3f}"
    met = found.low > -options.margin
    if not met:
        certain = found.high < -options.margin
        text += (
            f"; it is worse by more than margin={options.margin:g}"
            if certain
            else f"; a loss of more than margin={options.margin:g} cannot be ruled out"
        )
    return Condition("mIoU", met, text)


def _guarded(one: Slice, tolerance: float) -> Condition:
    change = one.challenger - one.champion
    met = change >= -tolerance - 1e-12  # sums of float64 in another order
    text = (
        f"{one.name} ({one.images} images): {one.challenger:.4f} against {one.champion:.4f}, "
        f"{change:+.4f}"
    )
    return Condition(one.name, met, text if met else f"{text}; it may not be lower")


def _fast_enough(duel: Duel, limit: float) -> Condition:
    now, before = duel.challenger.p95, duel.champion.p95
    met = now <= limit
    text = f"latency: {now:.1f} ms an image (p95), the champion {before:.1f}, allowed {limit:g}"
    return Condition("latency", met, text if met else f"{text}; it is too slow")
