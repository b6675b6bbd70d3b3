"""What a split is told: shares, what must stay together, and how whole units are chosen."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from annotated_types import Interval
from pydantic import field_validator, model_validator

from seglab.core.options import (
    FromList,
    NotNegative,
    Options,
    Positive,
    ProperFraction,
    broken_rule,
)

Source = Literal["column", "names", "pattern", "time", "near_duplicates"]
SOURCES: tuple[Source, ...] = ("column", "names", "pattern", "time", "near_duplicates")
Labelled = Literal["train", "val", "test"]
LABELLED: tuple[Labelled, ...] = ("train", "val", "test")


class SplitOptions(Options):
    """Settings of `draw_split`."""

    val: ProperFraction = 0.2
    """Share of the samples for validation."""
    test: ProperFraction = 0.0
    """Share of the samples for the test; 0: none."""
    by: Annotated[tuple[Source, ...], FromList] | None = None
    """What must not lie in two splits, joined where several are named. `column`: the manifest's `group`.
    `names`: numbered names of one beginning. `pattern`: a part of the sample id. `time`: photographs taken
    shortly one after the other (EXIF). `near_duplicates`: images that look alike. null: `near_duplicates`,
    with `column` where it says something, else with `names`."""
    pattern: str | None = None
    """For `pattern`: regular expression whose first bracket, or the one named `group`, is the group."""
    seconds: Positive = 60
    """For `time`: photographs at most so far apart belong together."""
    max_hash_distance: Annotated[int, Interval(ge=0, le=64)] = 4
    """For `near_duplicates`: bits in which the perceptual hashes (64 bits) may differ."""
    block: NotNegative = 0
    """Cut what belongs together into runs of so many consecutive samples, as for video of few scenes; 0:
    it stays whole."""
    gap: NotNegative = 0
    """Samples left out on both sides of a held-out run."""
    pooled: Annotated[tuple[Labelled, ...], FromList] = LABELLED
    """Splits whose samples are shared out anew; the others stay as they are."""
    seed: NotNegative = 0
    """Which of the possible draws."""

    @field_validator("pooled", "by")
    @classmethod
    def _is_each_once(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is not None and (not value or len(set(value)) < len(value)):
            raise broken_rule(f"expected at least one name, each once, got {list(value)}")
        return value

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        problems = []
        if self.val + self.test >= 1:
            problems.append(f"val and test leave nothing for training: {self.val} + {self.test}")
        if self.val + self.test == 0:
            problems.append("val and test are 0, so there is nothing to split; give one a share")
        asked = self.by is not None and "pattern" in self.by
        if asked != (self.pattern is not None):
            problems.append("pattern and by=pattern go together; give both or neither")
        if self.gap and not self.block:
            problems.append(f"gap counts only between blocks, got {self.gap}; set block too")
        if problems:
            raise broken_rule(*problems)
        return self
