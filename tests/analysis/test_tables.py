"""The table per class: hand-computed scores, undefined ones shown as such."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from rich.console import Console

from seglab.analysis.evaluation.class_scores import class_table
from seglab.analysis.tables import format_cell, markdown_table, rich_table
from seglab.core.errors import ShapeError

NAMES = ("road", "car", "sky")
VAL = np.array([[6, 2, 0], [1, 1, 0], [0, 0, 0]])
TEST = np.array([[4, 0, 0], [0, 4, 0], [0, 2, 0]])


def test_rows_hold_the_scores_of_each_split() -> None:
    road, car, sky, mean = class_table({"val": VAL, "test": TEST}, NAMES)
    assert list(road) == [
        "class",
        "val pixels",
        "val IoU",
        "val Dice",
        "test pixels",
        "test IoU",
        "test Dice",
    ]
    assert (road["val pixels"], car["val pixels"], sky["val pixels"]) == (8, 2, 0)
    assert road["val IoU"] == pytest.approx(6 / 9)
    assert road["val Dice"] == pytest.approx(12 / 15)
    assert car["val IoU"] == pytest.approx(1 / 4)
    assert math.isnan(float(sky["val IoU"])), "absent from target and prediction"
    assert sky["test IoU"] == 0.0, "in the target and never found"
    assert mean["val IoU"] == pytest.approx((6 / 9 + 1 / 4) / 2)
    assert mean["test IoU"] == pytest.approx((1 + 4 / 6 + 0) / 3)
    assert mean["class"] == "mean of 2 (val), 3 (test)"
    assert mean["val pixels"] == 10


def test_mean_names_one_count_where_splits_agree() -> None:
    assert class_table({"val": VAL}, NAMES)[-1]["class"] == "mean of 2"


def test_matrices_must_fit_the_names() -> None:
    with pytest.raises(ShapeError, match=r"\(2, 2\) for 2 classes, got val: \(3, 3\)"):
        class_table({"val": VAL}, NAMES[:2])
    with pytest.raises(ShapeError, match="got none"):
        class_table({}, NAMES)


def test_cells() -> None:
    cells = [0.12349, float("nan"), None, 1234567, "car"]
    assert [format_cell(cell) for cell in cells] == ["0.123", "-", "-", "1,234,567", "car"]


def test_markdown_is_a_table_with_numbers_to_the_right() -> None:
    text = markdown_table(class_table({"val": VAL}, ("a|b", "car", "sky")))
    assert text.splitlines() == [
        "| class | val pixels | val IoU | val Dice |",
        "| --- | ---: | ---: | ---: |",
        "| a\\|b | 8 | 0.667 | 0.800 |",
        "| car | 2 | 0.250 | 0.400 |",
        "| sky | 0 | - | - |",
        "| mean of 2 | 10 | 0.458 | 0.600 |",
    ]


def test_terminal_table_sets_the_mean_apart() -> None:
    stream = io.StringIO()
    Console(file=stream, width=80).print(rich_table(class_table({"val": VAL}, NAMES), "scores"))
    lines = stream.getvalue().splitlines()
    assert lines[0].strip() == "scores"
    (sky,) = [number for number, line in enumerate(lines) if "sky" in line]
    assert "-" in lines[sky].replace("│", "")
    assert set(lines[sky + 1].strip("├┤")) <= {"─", "┼"}
    assert "mean of 2" in lines[sky + 2]
    assert "0.458" in lines[sky + 2]
