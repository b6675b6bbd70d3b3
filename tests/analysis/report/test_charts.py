"""Charts and tables of a report: places, escapes, marks, hand-computed shares."""

from __future__ import annotations

import json
import math
import re
import xml.etree.ElementTree as ElementTree
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from seglab.analysis.report import Report, collect_report
from seglab.analysis.report.cells import Column, mark_best, number_cell, scale_bands, whole_cell
from seglab.analysis.report.model import by_data
from seglab.analysis.report.plots import (
    Bins,
    Line,
    Spread,
    line_chart,
    reliability_chart,
    spread_chart,
)
from seglab.analysis.report.sections.confusion import confusion_view, largest_mixups, row_shares
from seglab.analysis.report.sections.curves import drawn_runs, run_charts
from seglab.analysis.report.sections.evaluation import (
    calibration_block,
    corruption_block,
    slices_table,
)
from seglab.analysis.report.sections.folds import cross_validation_view
from seglab.analysis.report.sections.runs_table import comparable, differing_settings, runs_table
from seglab.analysis.report.svg import Axis, tag

CONFUSION = np.array([[80, 20, 0], [10, 30, 0], [0, 0, 0]])


def parsed(svg: Markup) -> ElementTree.Element:
    """An SVG is XML only if every text in it is escaped."""
    return ElementTree.fromstring(str(svg))  # noqa: S314 - our own drawing


def column(table: Any, title: str) -> list[Any]:
    place = [one.title for one in table.columns].index(title)
    return [row[place] for row in table.rows]


def test_elements_escape_text_and_attributes() -> None:
    element = tag(
        "text", "<b>", tag("title", "a & b"), aria_label='"x" <y>', x=1.26, y=2.0, id=None
    )
    assert str(element) == (
        '<text aria-label="&#34;x&#34; &lt;y&gt;" x="1.3" y="2">&lt;b&gt;<title>a &amp; b</title></text>'
    )


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_axis_holds_all_values_and_its_ticks(values: list[float]) -> None:
    axis = Axis.around(values)
    slack = 1e-9 * (axis.high - axis.low)
    assert axis.low - slack <= min(values) <= max(values) <= axis.high + slack
    assert all(axis.low - 1e-6 <= tick <= axis.high + 1e-6 for tick in axis.ticks)
    ends = axis.place([axis.low, axis.high], 10.0, 90.0)
    assert ends.tolist() == pytest.approx([10.0, 90.0])


def test_axis_of_scores_begins_at_zero_and_ignores_nan() -> None:
    axis = Axis.around([0.31, float("nan"), 0.74], floor=0.0)
    assert (axis.low, axis.high) == (0.0, 0.8)
    assert Axis.around([], floor=0.0, ceiling=1.0).ticks[-1] == 1.0
    assert Axis.around([3], whole=True).high > 3


def test_logarithmic_axis_places_ratios_evenly() -> None:
    axis = Axis.logarithmic([1e-4, 1e-2])
    assert axis.place([1e-4, 1e-3, 1e-2], 0.0, 10.0).tolist() == pytest.approx([0.0, 5.0, 10.0])
    assert 1e-3 in axis.ticks


def test_line_chart_holds_points_for_the_pointer_and_says_what_it_shows() -> None:
    line = Line("<run>", np.array([0.0, 1.0]), np.array([0.25, 0.123456]), slot=9, best=0)
    svg = parsed(line_chart([line], "a < b", "epoch", "mIoU"))
    assert svg.get("role") == "img"
    assert svg.get("aria-label") == "a < b"
    data = json.loads(svg.get("data-chart") or "")
    assert data["lines"] == [
        {"label": "<run>", "class": "s1 d1", "points": [[0, 0.25], [1, 0.1235]]}
    ]
    titles = [one.text for one in svg.iter() if one.tag == "title"]
    assert titles == ["a < b", "<run>: 0.25 at epoch 0"]


def test_line_chart_without_points_is_an_empty_frame() -> None:
    svg = parsed(line_chart([Line("x", np.empty(0), np.empty(0))], "nothing", "epoch", "loss"))
    assert not [one for one in svg.iter() if "line s" in (one.get("class") or "")]


def test_value_beyond_the_axis_stays_at_its_edge() -> None:
    line = Line("x", np.array([0.0, 1.0, 2.0]), np.array([1.0, 1e9, 1.0]))
    svg = str(line_chart([line], "", "epoch", "loss", y=Axis(0.0, 2.0, (0.0, 2.0))))
    drawn = re.search(r'<path d="M([^"]+)" class="line', svg)
    assert drawn is not None
    heights = [float(pair.split()[1]) for pair in drawn[1].split("L")]
    assert min(heights) >= 0.0


def test_spread_chart_draws_boxes_of_three_points_or_more() -> None:
    rows = [
        Spread("a very long name of a class", math.nan, 0.1, 0.9, (0.1, 0.5, 0.9)),
        Spread("two", math.nan, points=(0.2, math.nan, 0.4)),
        Spread("undefined", math.nan),
    ]
    svg = parsed(spread_chart(rows, "", "IoU"))
    boxes = [one for one in svg.iter() if (one.get("class") or "").startswith("box")]
    dots = [one for one in svg.iter() if (one.get("class") or "").startswith("dot")]
    assert (len(boxes), len(dots)) == (1, 5)
    names = [one for one in svg.iter() if one.get("class") == "row"]
    title = names[0].find("title")
    assert title is not None
    assert title.text == "a very long name of a class"
    assert title.tail == "a very long…a class", "the id at the end tells runs of one name apart"


def test_reliability_of_nothing_is_the_diagonal_alone() -> None:
    nothing = np.zeros(2)
    bins = Bins(np.array([0.0, 0.5]), np.array([0.5, 1.0]), nothing, nothing * np.nan, nothing)
    svg = parsed(reliability_chart(bins, ""))
    assert not [one for one in svg.iter() if (one.get("class") or "").startswith(("line", "mark"))]


def test_rows_of_a_confusion_are_shares_of_the_true_class() -> None:
    shares = row_shares(CONFUSION)
    np.testing.assert_allclose(shares[:2], [[0.8, 0.2, 0], [0.25, 0.75, 0]])
    assert np.isnan(shares[2]).all()
    table = confusion_view("c", "val", CONFUSION, ("road", "car", "sky")).table
    assert table is not None
    assert [cell.text for cell in table.rows[0]] == ["road", "80", "20", "0", "100"]
    assert [cell.text for cell in table.rows[2]] == ["sky", "-", "-", "-", "0"]


def test_mixups_name_the_cells_with_most_pixels() -> None:
    assert largest_mixups(CONFUSION, ("road", "car", "sky")) == [
        "road taken for car: 20.0% of road, 66.7% of all wrong pixels",
        "car taken for road: 25.0% of car, 33.3% of all wrong pixels",
    ]
    assert largest_mixups(np.diag([3, 4]), ("a", "b")) == []


def test_many_classes_are_told_in_words_only() -> None:
    names = [f"c{index}" for index in range(40)]
    view = confusion_view("c", "val", np.ones((40, 40), np.int64), names)
    assert view.table is None
    assert len(view.mixups) == 8


def test_best_is_marked_only_among_comparable_rows() -> None:
    columns = (Column("up", better="high"), Column("down", better="low"), Column("neither"))
    values = [(0.5, 3.0, 9.0), (0.7, 1.0, 8.0), (0.7, math.nan, 7.0), (0.9, 0.1, 9.5)]
    rows = [tuple(number_cell(value) for value in row) for row in values]
    marked = mark_best(columns, rows, lambda index: "other" if index == 3 else "same")
    assert [[cell.best for cell in row] for row in marked] == [
        [False, False, False],
        [True, True, False],
        [True, False, False],
        [False, False, False],
    ]


def test_equal_values_have_no_best() -> None:
    rows = [(number_cell(0.5),), (number_cell(0.5),)]
    marked = mark_best((Column("up", better="high"),), rows)
    assert not any(cell.best for row in marked for cell in row)


def test_bands_of_a_table_share_one_scale() -> None:
    cells = [number_cell(0.5, band=(0.4, 0.5, 0.6)), number_cell(0.8, band=(0.7, 0.8, 0.8))]
    scaled = scale_bands([(cell,) for cell in cells])
    assert [row[0].band for row in scaled] == [(0.0, 25.0, 50.0), (75.0, 100.0, 100.0)]


def test_counts_out_of_tables_with_gaps_are_whole() -> None:
    assert whole_cell(12.0).text == "12"
    assert whole_cell(np.int64(1200)).text == "1,200"
    assert whole_cell(float("nan")).text == "-"
    assert whole_cell(None).value is None


def test_runs_table_is_ordered_by_score_with_intervals(full_report: Report) -> None:
    table = runs_table(full_report.runs)
    assert [cell.text for cell in table.rows[0]][:2] == ["<script>alert('x')</script>", "0.700"]
    assert table.columns[table.sorted_by or 0].title == "val mIoU"
    scores = {row[0].text: row[1] for row in table.rows}
    assert scores["c-eval"].sub == "[0.550, 0.650]"
    assert scores["e-cv"].sub == "± 0.100 [0.300, 0.700]"
    assert [cell.best for cell in column(table, "val mIoU")] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]
    params = {
        row[0].text: cell for row, cell in zip(table.rows, column(table, "params (M)"), strict=True)
    }
    assert params["a-train"].best
    assert params["c-eval"].text == "-"
    assert "GFLOPs" not in [one.title for one in table.columns], "no run recorded it"


def test_spread_of_a_class_stands_below_its_score(full_report: Report) -> None:
    table = runs_table(full_report.runs)
    cells = zip(table.rows, column(table, "IoU road"), strict=True)
    assert {row[0].text: cell.sub for row, cell in cells}["e-cv"] == "± 0.070"


def test_evaluations_on_other_data_stand_apart(maker: Any) -> None:
    for run_id, fingerprint in (("e1", "f1"), ("e2", "f2"), ("e3", "f1")):
        maker.run(run_id, "eval", dataset_fingerprint=fingerprint)
    runs = collect_report([maker.root]).runs
    groups = by_data(runs)
    assert [title for title, _ in groups] == ["toy, val (f1)", "toy, val (f2)"]
    assert [[run.facts["run_id"] for run in group] for _, group in groups] == [["e1", "e3"], ["e2"]]
    assert by_data(runs[:1])[0][0] == ""
    assert by_data([]) == []


def test_runs_of_other_data_are_not_compared(maker: Any) -> None:
    for run_id, fingerprint, score in (("r1", "f1", 0.5), ("r2", "f2", 0.9), ("r3", "f1", 0.6)):
        maker.run(run_id, scores={"val/miou": score}, dataset_fingerprint=fingerprint)
    audited = {"dataset_fingerprint": "f4", "data_fingerprint": "f1"}
    maker.run("r4", scores={"val/miou": 0.55}, **audited)
    table = runs_table(collect_report([maker.root]).runs)
    best = {
        row[0].text: cell.best
        for row, cell in zip(table.rows, column(table, "val mIoU"), strict=True)
    }
    assert best == {"r1": False, "r2": False, "r3": True, "r4": False}


def test_settings_that_differ_become_columns(full_report: Report) -> None:
    assert differing_settings(full_report.runs) == ["optimizer.lr"]
    table = runs_table(full_report.runs)
    values = {
        row[0].text: cell.text
        for row, cell in zip(table.rows, column(table, "optimizer.lr"), strict=True)
    }
    assert values["a-train"] == "0.1"
    assert values["<script>alert('x')</script>"] == "0.2"
    assert "settings" in table.groups


def test_best_runs_are_drawn_where_there_are_too_many(full_report: Report) -> None:
    assert [run.facts["run_id"] for run in drawn_runs(full_report.runs)] == ["a-train", "b-train"]
    assert [run.facts["run_id"] for run in drawn_runs(full_report.runs, limit=1)] == ["b-train"]


def test_single_run_shows_both_losses_in_one_chart(full_report: Report) -> None:
    run = full_report.runs[0]
    charts = run_charts([run], {run.key: 0})
    assert [chart.title for chart in charts] == ["Validation scores", "Losses", "Learning rate"]
    assert [label for label, _ in charts[1].legend] == ["training", "validation"]
    several = run_charts(full_report.runs[:2], {"r0": 0, "r1": 1})
    assert [chart.title for chart in several] == [
        "Validation mIoU",
        "Validation loss",
        "Training loss",
    ]


def test_slices_of_two_runs_stand_beside_each_other(full_report: Report) -> None:
    runs = [run for run in full_report.runs if run.tables]
    table = slices_table(runs)
    assert [one.title for one in table.columns] == ["slice", "images", "c-eval mIoU", "d-eval mIoU"]
    assert [cell.best for cell in table.rows[0]] == [False, False, False, True]
    alone = slices_table(runs[:1])
    assert [cell.text for cell in alone.rows[0]] == [
        "all",
        "9",
        "0.600",
        "0.600",
        "2",
        "0.600",
        "0.300",
        "-",
    ]


def test_corruptions_begin_at_the_clean_score(full_report: Report) -> None:
    runs = [run for run in full_report.runs if run.tables]
    block = corruption_block(runs, {run.key: number for number, run in enumerate(runs)})
    assert [chart.title for chart in block.charts] == ["fog", "jpeg"]
    data = json.loads(parsed(block.charts[0].svg).get("data-chart") or "")
    assert data["lines"][0]["points"] == [[0, 0.6], [1, 0.54], [2, 0.3]]
    assert block.table is not None
    assert [cell.text for cell in block.table.rows[0]] == [
        "fog",
        "c-eval",
        "0.600",
        "0.540",
        "0.300",
        "0.700",
    ]


def test_calibration_gap_by_class_weighs_bins_by_pixels(full_report: Report) -> None:
    runs = [run for run in full_report.runs if run.tables]
    block = calibration_block(runs, {run.key: number for number, run in enumerate(runs)})
    assert [chart.title for chart in block.charts] == [
        "Reliability, c-eval",
        "Reliability, d-eval",
        "Risk and coverage",
    ]
    assert block.by_class is not None
    assert [cell.text for cell in block.by_class.rows[0]] == ["car", "0.0400", "0.0400"]
    assert block.table is not None
    assert block.table.rows[0][1].text == "0.0300"
    rejection = json.loads(parsed(block.charts[2].svg).get("data-chart") or "")["lines"][0][
        "points"
    ]
    assert rejection[0] == [0.2, 0.02]
    assert rejection[-1] == [1, 0.1]
    assert len(rejection) == 81


def test_cross_validation_shows_mean_spread_and_failed_folds(full_report: Report) -> None:
    (run,) = [run for run in full_report.runs if run.kind == "cv"]
    view = cross_validation_view(run)
    assert view.facts[0] == ("mIoU, mean of folds", "0.500 ± 0.100", "95 % interval 0.300 to 0.700")
    assert view.facts[-1][:2] == ("folds finished", "2 of 3")
    assert view.table is not None
    assert [cell.text for cell in view.table.rows[2]] == [
        "r0-f2",
        "-",
        "0.500",
        "12",
        "0.800",
        "failed",
    ]
    assert [chart.title for chart in view.charts] == [
        "IoU of each class over the folds",
        "Validation mIoU",
    ]
    assert view.confusion is not None


def test_cross_validation_without_its_files_has_its_facts(maker: Any) -> None:
    record = maker.run("r1", "cv", {"val/miou_std": 0.1})
    view = cross_validation_view(collect_report([record.run_dir]).runs[0])
    assert (view.table, view.charts) == (None, ())
    assert view.facts[0][0] == "mIoU, mean of folds"


def test_repeats_are_named(maker: Any) -> None:
    record = maker.run("r1", "cv")
    frame = pd.DataFrame({"repeat": [0, 1], "fold": [0, 0], "miou": [0.5, 0.6]})
    frame.to_parquet(record.run_dir / "fold_scores.parquet")
    table = cross_validation_view(collect_report([record.run_dir]).runs[0]).table
    assert table is not None
    assert [row[0].text for row in table.rows] == ["r0-f0", "r1-f0"]


def test_cross_validations_are_ranked_only_where_their_folds_are_cut_alike() -> None:
    def view(**cv: object) -> Any:
        facts = {"config": {"cv": cv}, "fold": None}
        return SimpleNamespace(kind="cv", fingerprint="f", class_names=("a",), facts=facts)

    block, again = view(scheme="block", folds=4), view(scheme="block", folds=4, workers=2)
    assert comparable(block) == comparable(again)
    assert comparable(block) != comparable(view(scheme="kfold", folds=4))
