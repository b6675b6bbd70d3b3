"""Tables and figures of an evaluation, and the failure gallery."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.figure import Figure
from PIL import Image

from seglab.analysis import (
    FailureGallery,
    corruptions_figure,
    gallery,
    latest_evaluations,
    load_runs,
    reliability,
    slices,
    slices_figure,
    worst_classes,
)
from seglab.analysis.evaluation.evaluations import calibration_error
from seglab.core.errors import DataError, RunNotFoundError
from seglab.core.labels import LabelSpace
from seglab.runs import RunRecord
from seglab.runs.predictions import prediction_path

LABELS = LabelSpace(("road", "car", "sky"))


def _evaluation(run_dir: Path, parent: str = "r1", **facts: Any) -> RunRecord:
    record = RunRecord.create(
        run_dir,
        experiment=run_dir.parent.name,
        kind="eval",
        config={"split": "val"},
        config_yaml="",
        parent=parent,
        git={"commit": "abc"},
        packages={"x": "1"},
        **{"dataset_fingerprint": "f", **facts},
    )
    folder = run_dir / "manifest"
    folder.mkdir()
    (folder / "manifest.yaml").write_text(yaml.safe_dump({"labels": LABELS.to_dict()}))
    return record


@pytest.fixture
def scored(tmp_path: Path) -> RunRecord:
    """An evaluation with slices, corruptions and calibration."""
    record = _evaluation(tmp_path / "e" / "v1")
    rows = [("tag", "day", 3, 0.6), ("tag", "night", 2, 0.25), ("all", "all", 5, 0.5)]
    pd.DataFrame(
        [
            {
                "slice_kind": kind,
                "slice": name,
                "images": images,
                "pixels": 100,
                "miou": miou,
                "miou_low": miou - 0.1,
                "miou_high": miou + 0.1,
                "dice": miou,
                "iou": [miou, miou / 2, np.nan],
            }
            for kind, name, images, miou in rows
        ]
    ).to_parquet(record.run_dir / "slices.parquet")
    pd.DataFrame(
        {
            "class_name": ["all"] * 3 + ["car"],
            "bin": [0, 1, 2, 0],
            "low": [0, 0.5, 0.75, 0],
            "high": [0.5, 0.75, 1, 1],
            "count": [10, 30, 0, 5],
            "confidence": [0.4, 0.7, np.nan, 0.5],
            "accuracy": [0.5, 0.6, np.nan, 0.5],
        }
    ).to_parquet(record.run_dir / "reliability.parquet")
    pd.DataFrame({"coverage": [0.5, 1.0], "risk": [0.1, 0.4]}).to_parquet(
        record.run_dir / "risk_coverage.parquet"
    )
    pd.DataFrame(
        {
            "corruption": ["none", "fog", "fog", "rain"],
            "severity": [0, 1, 2, 1],
            "miou": [0.5, 0.4, 0.3, 0.1],
        }
    ).to_parquet(record.run_dir / "corruptions.parquet")
    return record


def _texts(figure: Figure) -> str:
    parts = [figure.get_suptitle()]
    for axes in figure.axes:
        legend = axes.get_legend()
        parts += [text.get_text() for text in legend.get_texts()] if legend else []
        parts += [text.get_text() for text in axes.texts]
        parts += [axes.get_title(loc=loc) for loc in ("left", "center")] + [axes.get_xlabel()]
    return "\n".join(parts)


def test_slices_come_worst_first_after_all(scored: RunRecord) -> None:
    table = slices(scored.run_dir)
    assert table["slice"].tolist() == ["all", "night", "day"]
    np.testing.assert_allclose(table["below_all"], [0.0, 0.25, -0.1])
    axes = slices_figure(scored).axes[0]
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels == ["all images (5)", "tag: night (2)", "tag: day (3)"]
    points = axes.collections[-1].get_offsets()
    np.testing.assert_allclose(np.asarray(points)[:, 0], [0.5, 0.25, 0.6])


def test_worst_classes_of_slices(scored: RunRecord) -> None:
    table = worst_classes(scored, LABELS.class_names, count=2)
    assert table[["slice", "class"]].to_numpy().tolist() == [["night", "car"], ["night", "road"]]
    np.testing.assert_allclose(table[["iou", "all"]], [[0.125, 0.25], [0.25, 0.5]])


def test_calibration_error_by_hand(scored: RunRecord) -> None:
    bins = pd.read_parquet(scored.run_dir / "reliability.parquet").query("class_name == 'all'")
    assert calibration_error(bins) == pytest.approx((10 * 0.1 + 30 * 0.1) / 40)
    assert np.isnan(calibration_error(bins.head(0)))


def test_reliability_shows_bins_with_pixels_and_risk(scored: RunRecord) -> None:
    figure = reliability(scored)
    above, below, risk = figure.axes
    np.testing.assert_allclose(above.lines[1].get_data(), [[0.4, 0.7], [0.5, 0.6]])
    assert [bar.get_height() for bar in below.patches] == [0.25, 0.75]
    np.testing.assert_allclose(risk.lines[0].get_data(), [[0.5, 1.0], [0.1, 0.4]])
    texts = _texts(figure)
    for expected in ("e v1", "Reliability, all: error 0.100", "keeping all: 0.400"):
        assert expected in texts
    with pytest.raises(DataError, match="did you mean 'car'"):
        reliability(scored, "cars")
    (scored.run_dir / "risk_coverage.parquet").unlink()
    assert len(reliability(scored, "car").axes) == 2


def test_corruptions_start_at_the_clean_score(scored: RunRecord) -> None:
    axes = corruptions_figure(scored).axes[0]
    drawn = {str(line.get_label()): line.get_xydata().tolist() for line in axes.lines}
    assert drawn == {"rain": [[0, 0.5], [1, 0.1]], "fog": [[0, 0.5], [1, 0.4], [2, 0.3]]}


@pytest.mark.parametrize("view", [slices, reliability, corruptions_figure, gallery])
def test_missing_files_say_how_they_are_made(tmp_path: Path, view: Any) -> None:
    record = _evaluation(tmp_path / "e" / "v1")
    with pytest.raises(RunNotFoundError, match=r"run v1 \(eval\) has no .*seglab evaluate"):
        view(record)


def _add_gallery(record: RunRecord, rows: list[tuple[str, str, int, float, str, str]]) -> None:
    folder = record.run_dir / "gallery"
    folder.mkdir(exist_ok=True)
    table = []
    for sample_id, reason, rank, score, error, detail in rows:
        files = {}
        for number, kind in enumerate(("image", "truth", "prediction", "confidence")):
            picture = np.full((6, 8, 3), 40 * number, np.uint8)
            files[kind] = f"gallery/{sample_id}.{kind}.png"
            Image.fromarray(picture).save(record.run_dir / files[kind])
        name = reason.removeprefix("worst of class ") if "class" in reason else None
        table.append(
            {
                "case_id": f"{sample_id}{reason}",
                "sample_id": sample_id,
                "reason": reason,
                "rank": rank,
                "score": score,
                "error_type": error,
                "detail": detail,
                "class_name": name,
                **files,
            }
        )
    pd.DataFrame(table).to_parquet(record.run_dir / "gallery.parquet")


@pytest.fixture
def two(tmp_path: Path) -> tuple[RunRecord, RunRecord]:
    """Two evaluations whose galleries share some images."""
    first, second = _evaluation(tmp_path / "a" / "v1"), _evaluation(tmp_path / "b" / "v2", "r2")
    _add_gallery(
        first,
        [
            ("s1", "fixed", 1, 0.9, "boundary", "boundary of road and sky (5%)"),
            ("s2", "worst of class car", 1, 0.1, "missed", "car missed, taken for road (9%)"),
            ("s3", "worst image", 1, 0.2, "confusion", "sky taken for road (9%)"),
            ("s2", "worst image", 2, 0.3, "missed", "car missed, taken for road (9%)"),
        ],
    )
    _add_gallery(
        second,
        [
            ("s1", "fixed", 1, 0.8, "confusion", "road taken for sky (1%)"),
            ("s4", "worst image", 1, 0.1, "missed", "car missed, taken for sky (1%)"),
            ("s2", "worst image", 2, 0.4, "missed", "car missed, taken for sky (1%)"),
        ],
    )
    return first, second


def test_cases_of_one_image_are_one_and_the_worst_come_first(
    two: tuple[RunRecord, RunRecord],
) -> None:
    content = FailureGallery([two[0]])
    assert [case.sample_id for case in content.cases] == ["s3", "s2", "s1"]
    case = content.cases[1]
    assert case.reasons == ("worst image", "worst of class car")
    assert case.classes == ("car", "road")
    assert case.rows[0] is not None
    assert case.rows[0]["score"] == 0.3, "the score of the image, not of the class"


def test_same_images_of_two_runs_line_up(two: tuple[RunRecord, RunRecord]) -> None:
    content = FailureGallery(two)
    assert content.names == ["a", "b"]
    assert [case.sample_id for case in content.cases] == ["s3", "s2", "s1", "s4"]
    assert [case.sample_id for case in content.select(shared=True)] == ["s2", "s1"]
    panels = content.panels(content.cases[1], confidence=True)
    assert [panel.title for panel in panels] == [
        "image",
        "truth",
        "a",
        "confidence",
        "b",
        "confidence",
    ]
    assert panels[4].note == "mIoU 0.400, car missed, taken for sky (1%)"
    alone = content.panels(content.cases[0])
    assert [panel.note for panel in alone][-1] == "not in its gallery"


def test_a_kept_prediction_fills_in_for_a_missing_case(two: tuple[RunRecord, RunRecord]) -> None:
    path = prediction_path(two[1].run_dir, "s3")
    path.parent.mkdir()
    Image.fromarray(np.full((6, 8), 1, np.uint8)).save(path)
    content = FailureGallery(two)
    panel = content.panels(content.cases[0], opacity=1.0)[-1]
    assert (panel.picture == LABELS.palette[1]).all()


def test_filters(two: tuple[RunRecord, RunRecord]) -> None:
    content = FailureGallery(two)

    def ids(**filters: Any) -> list[str]:
        return [case.sample_id for case in content.select(**filters)]

    assert ids(error_type="missed") == ["s2", "s4"]
    assert ids(class_name="car") == ["s2", "s4"]
    assert ids(class_name="sky", error_type="confusion") == ["s3", "s1"]
    assert ids(reason="fixed") == ["s1"]
    assert content.choices("error_types") == ["boundary", "confusion", "missed"]
    with pytest.raises(DataError, match=r"no case for 'carr'.*did you mean 'car'"):
        content.select(class_name="carr")


def test_opacity_blends_exactly(two: tuple[RunRecord, RunRecord]) -> None:
    content = FailureGallery([two[0]])
    case = content.cases[0]
    for opacity, expected in ((0.0, 0), (0.5, 40), (1.0, 80)):
        prediction = content.panels(case, opacity)[2].picture
        assert (prediction == expected).all()
    with pytest.raises(DataError, match=r"0\.\.1, got 2"):
        content.panels(case, 2.0)


def test_static_figure_and_fall_back(
    two: tuple[RunRecord, RunRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = gallery(*two, static=True, count=2)
    assert isinstance(figure, Figure)
    assert sum(bool(axes.images) for axes in figure.axes) == 5 + 6
    real = builtins.__import__

    def without(name: str, *args: Any, **more: Any) -> Any:
        if name.split(".")[0] == "ipywidgets":
            raise ModuleNotFoundError("No module named 'ipywidgets'", name="ipywidgets")
        return real(name, *args, **more)

    monkeypatch.delitem(sys.modules, "seglab.analysis.failures.widget", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    assert isinstance(gallery(two[0], error_type="missed"), Figure)


def test_widget_goes_through_the_cases(two: tuple[RunRecord, RunRecord]) -> None:
    pytest.importorskip("ipywidgets")
    widget = gallery(*two, class_name="car")
    assert (widget.place.max, "s2" in widget.caption.value) == (2, True)
    assert len(widget.pictures.children) == 4
    widget.class_name.value = "any"
    assert (widget.place.max, "s3" in widget.caption.value) == (4, True)
    widget.place.value = 2
    assert "<b>s2</b> (2 of 4)" in widget.caption.value
    before = widget.pictures.children[2].children[1].value
    widget.opacity.value = 0.0
    assert widget.pictures.children[2].children[1].value != before
    widget.confidence.value = True
    assert len(widget.pictures.children) == 6
    widget.shared.value = True
    assert widget.place.max == 2
    widget.class_name.value, widget.error_type.value = "road", "boundary"
    widget.reason.value = "worst of class car"
    assert widget.caption.value == "no case fits these filters"
    assert widget.pictures.children == ()


def test_names_from_files_are_escaped(tmp_path: Path) -> None:
    pytest.importorskip("ipywidgets")
    record = _evaluation(tmp_path / "e" / "v1")
    _add_gallery(record, [("<b>x", "worst image", 1, 0.5, "missed", "a <i> b")])
    assert "&lt;b&gt;x" in gallery(record).caption.value


def test_latest_evaluation_of_each_run(tmp_path: Path) -> None:
    made = [
        ("v1", "r1", 0.5, "f"),
        ("v2", "r1", 0.6, "f"),
        ("v3", "r2", 0.9, "f"),
        ("v4", "r3", 0.7, "other"),
        ("v5", "r2", 0.4, "f"),
    ]
    for number, (name, parent, miou, data) in enumerate(made):
        record = _evaluation(
            tmp_path / "e" / name,
            parent,
            dataset_fingerprint=data,
            started=f"2025-01-0{number + 1}",
        )
        record.set_metrics({"val/miou": miou})
        record.finish("finished")
        _add_gallery(record, [("s1", "fixed", 1, miou, "missed", "")])
    table = latest_evaluations(tmp_path)
    assert table["run_id"].tolist() == ["v2", "v5"]
    assert latest_evaluations(tmp_path, "test").empty
    assert latest_evaluations(load_runs(tmp_path / "e" / "v4"))["run_id"].tolist() == ["v4"]
