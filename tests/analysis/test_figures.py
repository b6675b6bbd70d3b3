"""Pictures of predictions: pixels are checked where the answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from seglab.analysis.evaluation.figures import confusion_figure, samples_figure
from seglab.analysis.overlays import blend, colour_mask, error_map, fit_image
from seglab.analysis.style import save_figure
from seglab.core.errors import ShapeError
from seglab.core.labels import LabelSpace
from seglab.runs import SamplePrediction

LABELS = LabelSpace(("road", "car", "sky"), ((255, 0, 0), (0, 255, 0), (0, 0, 255)))


def _sample(height: int = 40, width: int = 60) -> SamplePrediction:
    mask = np.zeros((height, width), np.uint8)
    mask[:10], mask[20:] = 255, 1
    prediction = np.where(mask == 255, 2, mask).astype(np.uint8)
    prediction[30:] = 0
    image = np.full((height, width, 3), 100, np.uint8)
    return SamplePrediction("frame-1", image, mask, prediction)


def _legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_blend_mixes_colours_and_leaves_ignored_pixels_alone() -> None:
    sample = _sample()
    mixed = blend(sample.image, sample.mask, LABELS, alpha=0.5)
    assert mixed[0, 0].tolist() == [100, 100, 100]
    assert mixed[15, 0].tolist() == [178, 50, 50]
    assert mixed[25, 0].tolist() == [50, 178, 50]
    np.testing.assert_array_equal(blend(sample.image, sample.mask, LABELS, 0.0), sample.image)
    with pytest.raises(ShapeError, match=r"alpha must lie in 0\.\.1, got 2"):
        blend(sample.image, sample.mask, LABELS, 2.0)


def test_image_is_fitted_to_the_mask_and_never_the_other_way() -> None:
    small = np.full((10, 15, 3), 7, np.uint8)
    assert fit_image(small, (40, 60)).shape == (40, 60, 3)
    assert blend(small, _sample().mask, LABELS).shape == (40, 60, 3)
    assert fit_image(small, (10, 15)) is small


def test_error_map_marks_wrong_pixels_only_and_hatches_ignored_ones() -> None:
    picture = error_map(_sample(), 255)
    right, wrong, ignored = picture[15, 5], picture[35, 5], picture[:10]
    assert right[0] == right[1] == right[2] == 190
    assert wrong[0] > 200 > wrong[1] > wrong[2]
    assert set(np.unique(ignored)) == {0, 70}


def test_colour_mask_uses_the_palette() -> None:
    picture = colour_mask(_sample().mask, LABELS)
    assert picture[15, 0].tolist() == [255, 0, 0]
    assert picture[25, 0].tolist() == [0, 255, 0]
    assert set(np.unique(picture[:10])) == {0, 70}


def test_samples_figure_names_the_classes_that_occur(tmp_path: Path) -> None:
    figure = samples_figure([_sample(), _sample()], LABELS)
    assert _legend(figure) == ["road", "car", "sky", "ignored", "wrong"]
    assert len(figure.axes) == 8
    assert [axes.get_title() for axes in figure.axes[:4]] == [
        "image",
        "target",
        "prediction",
        "errors",
    ]
    assert figure.axes[0].get_xlabel() == "frame-1"
    # 10 of the 30 valid rows are wrong.
    assert figure.axes[3].get_xlabel() == "33.3% of valid pixels wrong"
    assert save_figure(figure, tmp_path / "samples.png").stat().st_size > 1000


def test_sample_without_valid_pixels_is_said() -> None:
    empty = np.full((8, 8), 255, np.uint8)
    sample = SamplePrediction("x", np.zeros((8, 8, 3), np.uint8), empty, np.zeros_like(empty))
    assert samples_figure([sample], LABELS).axes[3].get_xlabel() == "all pixels ignored"
    with pytest.raises(ShapeError, match="at least one sample"):
        samples_figure([], LABELS)


def test_sample_checks_its_arrays() -> None:
    image, mask = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)
    with pytest.raises(ShapeError, match=r"'x': image: expected uint8.*; mask: expected int"):
        SamplePrediction("x", image.astype(float), mask.astype(float), mask)
    with pytest.raises(ShapeError, match="differ in size"):
        SamplePrediction("x", image, mask, mask[:4])


def test_confusion_figure_shows_shares_of_the_target() -> None:
    figure = confusion_figure(np.array([[90, 10, 0], [0, 0, 0], [1, 0, 499]]), LABELS.class_names)
    axes = figure.axes[0]
    shown = {text.get_text(): text.get_position() for text in axes.texts}
    assert shown["90"] == (0, 0)
    assert shown["10"] == (1, 0)
    assert shown["100"] == (2, 2)
    assert shown["does not occur in the target"][1] == 1
    assert [label.get_text() for label in axes.get_xticklabels()] == list(LABELS.class_names)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("prediction", "target")
    with pytest.raises(ShapeError, match=r"expected a \(2, 2\) matrix, got \(3, 3\)"):
        confusion_figure(np.eye(3, dtype=int), ("a", "b"))


@pytest.mark.parametrize("count", [2, 11, 30])
def test_labels_of_the_confusion_figure_are_not_clipped(count: int) -> None:
    names = [f"a long class name {index}" for index in range(count)]
    figure = confusion_figure(np.eye(count, dtype=int) * 9, names, "title")
    figure.canvas.draw()
    axes = figure.axes[0]
    for text in (*axes.get_xticklabels(), *axes.get_yticklabels(), axes.yaxis.label, axes.title):
        box = text.get_window_extent()
        assert box.x0 >= -1
        assert box.y0 >= -1
        assert box.x1 <= figure.bbox.x1 + 1
        assert box.y1 <= figure.bbox.y1 + 1


def test_many_classes_are_drawn_without_numbers() -> None:
    names = [str(index) for index in range(31)]
    assert not confusion_figure(np.eye(31, dtype=int), names).axes[0].texts
