"""Colours that a label space gives to classes without any."""

from __future__ import annotations

import pytest

from seglab.core.labels import LabelSpace

GREY = (128, 128, 128)


@pytest.mark.parametrize("name", ["background", "Back ground", "other", "0", "class_0", "class 0"])
def test_background_without_a_colour_is_grey_wherever_it_stands(name: str) -> None:
    for names in ((name, "roof", "tree"), ("roof", name, "tree")):
        palette = LabelSpace(names).palette
        assert palette[names.index(name)] == GREY
        assert len(set(palette)) == 3


def test_other_classes_have_colours_and_a_palette_stays() -> None:
    plain = LabelSpace(("roof", "10", "backgrounds")).palette
    assert GREY not in plain
    assert all(max(colour) - min(colour) > 60 for colour in plain)
    given = ((1, 2, 3), (4, 5, 6))
    assert LabelSpace(("background", "roof"), given).palette == given
