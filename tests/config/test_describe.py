from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Interval, Lt
from hypothesis import given
from hypothesis import strategies as st

from seglab.core.describe import describe
from seglab.core.option_problems import problems_of
from seglab.core.options import OnDisk, Pair, Size, Span
from seglab.core.problems import did_you_mean, nearest_keys, show, show_names


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (Annotated[int, Ge(1)], "a whole number (1 or more)"),
        (Annotated[float, Interval(gt=0, le=1)], "a number (0 to 1, 0 excluded)"),
        (Annotated[float, Lt(3)], "a number (less than 3)"),
        (int | Literal["auto"] | None, "a whole number, 'auto' or null"),
        (Literal["a", "b"], "one of a, b"),
        (Size, "[height, width], two whole numbers (1 or more)"),
        (Annotated[Pair, Span(0, 2)], "[low, high] with 0 <= low <= high <= 2"),
        (Annotated[str, OnDisk("file")], "the path of a file"),
        (list[str], "a list of [text, ...]"),
        (tuple[int, ...], "a list of [a whole number, ...]"),
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
        "true",
        "null",
        "1.5",
        "'x'",
        "[1, null]",
        "{a: false}",
    ]
    assert len(show("x" * 500)) == 60
    assert show_names(range(20)).endswith("and 4 more")


@given(st.floats(allow_nan=True), st.sampled_from(["gt", "ge"]), st.sampled_from(["lt", "le"]))
def test_limits_hold_what_they_say(value: float, low: str, high: str) -> None:
    hint = Annotated[float, Interval(**{low: 0, high: 1})]  # type: ignore[arg-type]
    above = value > 0 if low == "gt" else value >= 0
    below = value < 1 if high == "lt" else value <= 1

    assert (problems_of(hint, value) == []) == (above and below)
