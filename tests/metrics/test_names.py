"""Keys are one level per slash, distinct, and spelt in one place."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from seglab.metrics import names


def test_keys() -> None:
    assert names.metric_key("val", names.MIOU) == "val/miou"
    assert names.metric_key("test", names.DICE, "car") == "test/dice/car"
    assert names.metric_key("val", names.MIOU_PER_IMAGE) == "val/miou_per_image"


def test_slashes_repeats_and_empty_names() -> None:
    assert names.safe_class_names(["a/b", "a_b", "a_b", " ", "c"]) == (
        "a_b",
        "a_b_1",
        "a_b_2",
        "class_3",
        "c",
    )


@given(st.lists(st.text("a_/ 12", max_size=4), max_size=8))
def test_safe_names_are_distinct_and_hold_no_slash(class_names: list[str]) -> None:
    safe = names.safe_class_names(class_names)
    assert len(set(safe)) == len(safe) == len(class_names)
    assert all(name and "/" not in name for name in safe)
