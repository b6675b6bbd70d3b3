"""A stand-in for a study, for tests of what a trial says to it."""

from __future__ import annotations

from typing import Any


class Channel:
    """Writes down what a trial says; gives it up at a step."""

    study, number = "lr-0a1b2c", 7

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at = stop_at
        self.reports: list[tuple[int, float]] = []
        self.facts: list[dict[str, Any]] = []

    def report(self, value: float, step: int) -> bool:
        self.reports.append((step, value))
        return step == self.stop_at

    def progress(self, **facts: Any) -> None:
        self.facts.append(facts)
