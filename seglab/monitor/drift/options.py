"""What the watch for drift may be told."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from seglab.core.options import NotNegative, Options, Positive, broken_rule


class DriftOptions(Options):
    """Windows of the latest images, each held against the reference."""

    window: Positive | None = None
    """Images that are held against the reference together: more see smaller changes, later; null: 50, or a
    quarter of a reference below 200."""
    step: Positive | None = None
    """Images after which the next window is looked at, a whole part of the window; null: a fifth of it."""
    run_length: Positive = 10_000
    """Images between two false alarms, on average, while nothing changes."""
    cameras: Positive = 1
    """Streams whose images come mixed; more of them vary less together, so smaller changes are seen."""
    block: Positive | None = None
    """Neighbouring images of one stream that stay together where the reference is shuffled; null: ten times
    as many as are alike."""
    simulated_windows: Positive = 100_000
    """Windows that the threshold is found on, at most."""
    seed: NotNegative = 0
    """Of what is drawn at random."""

    @model_validator(mode="after")
    def _whole_steps(self) -> Self:
        if self.window and self.step and self.window % self.step:
            raise broken_rule(
                f"step: expected a whole part of window ({self.window}), got {self.step}"
            )
        return self
