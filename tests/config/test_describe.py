from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seglab.config.describe import describe
from seglab.config.fields import Bounds, OnDisk, Pair, Size, Span
from seglab.config.problems import did_you_mean, nearest_keys, show, show_names


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (Annotated[int, Bounds(1)], "a whole number (1 or more)"),
        (Annotated[float, Bounds(0, 1, low_open=True)], "a number (0 to 1, 0 excluded)"),
        (Annotated[float, Bounds(high=3, high_open=True)], "a number (less than 3)"),
        (int | Literal["auto"] | None, "a whole number, 'auto' or null"),
        (Literal["a", "b"], "one of a, b"),
        (Size, "[height, width], two whole numbers (1 or more)"),
        (Annotated[Pair, Span(0, 2)], "[low, high] with 0 <= low <= high <= 2"),
        (Annotated[str, OnDisk("file")], "the path of a file"),
        (list[str], "a list of [text, ...]"),
        (dict[str, Any], "a group of keys"),
    ],
    ids=str,
)
def test_hint_in_words(hint: object, words: str) -> None:
    assert describe(hint) == words


def test_nearest_keys_prefers_a_slip_then_another_place_then_likeness() -> None:
    known = {"optimizer.lr", "optimizer.encoder_lr", "data.batch_size", "seed", "model.dropout"}

    assert nearest_keys("data.batchsize", known) == ["data.batch_size"]
    assert nearest_keys("lr", known) == ["optimizer.lr"]
    assert nearest_keys("train.lr", known) == ["optimizer.lr"]
    assert nearest_keys("modl.dropout", known) == ["model.dropout"]
    assert nearest_keys("zzz", known) == []
    assert did_you_mean(["a", "b"]) == " (did you mean 'a' or 'b'?)"


def test_values_are_shown_as_typed_and_shortened() -> None:
    assert [show(one) for one in (True, None, 1.5, "x", [1, None], {"a": False})] == [
        "true", "null", "1.5", "'x'", "[1, null]", "{a: false}",
    ]  # fmt: skip
    assert len(show("x" * 500)) == 60
    assert show_names(range(20)).endswith("and 4 more")


@given(st.floats(allow_nan=True), st.booleans(), st.booleans())
def test_bounds_hold_what_they_say(value: float, low_open: bool, high_open: bool) -> None:
    bounds = Bounds(0, 1, low_open, high_open)
    expected = (value > 0 if low_open else value >= 0) and (value < 1 if high_open else value <= 1)

    assert bounds.holds(value) == expected
