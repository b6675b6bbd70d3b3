"""What does not go together where `data.bands` chooses the bands of images."""

from __future__ import annotations

from collections.abc import Iterator

from seglab.config.rules.valid_view import Rule, ValidView, broken
from seglab.core.bands import MAX_BANDS
from seglab.core.problems import Problem, show

_RGB = 3


def _bands_are_a_choice(value: ValidView) -> Iterator[Problem]:
    bands, display = value("data.bands", None), value("data.display_bands", None)
    if bands is not None and not (1 <= len(bands) <= MAX_BANDS and len({*bands}) == len(bands)):
        yield broken(
            "data.bands", f"expected 1 to {MAX_BANDS} different numbers of bands, got {show(bands)}"
        )
    if bands is not None and display is not None and not {*display} <= {*bands}:
        yield broken(
            "data.display_bands",
            f"expected three of the bands that are read, {show(bands)}; got {show(display)}",
        )


def _channels_follow_the_data(value: ValidView) -> Iterator[Problem]:
    bands, channels = value("data.bands", None), value("model.in_channels", None)
    if bands is not None and channels not in (None, len(bands)):
        yield broken(
            "model.in_channels",
            f"it follows data.bands, which are {len(bands)}; leave it null, got {channels}",
        )


BAND_RULES: tuple[Rule, ...] = (_bands_are_a_choice, _channels_follow_the_data)
