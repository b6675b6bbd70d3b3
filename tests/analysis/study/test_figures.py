"""The printed figures show what the trials were."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection

from seglab.analysis.study import (
    StudyView,
    contour_figure,
    history_figure,
    intermediate_figure,
    parallel_figure,
    pareto_figure,
    read_study,
    slice_figure,
    timeline_figure,
)
from seglab.analysis.study.figures.parallel import ABSENT, line_places
from seglab.analysis.study.figures.timeline import natural_order, study_clock
from seglab.analysis.study.marks import NotDrawableError, value_limits


@pytest.fixture(scope="module")
def view(swept: Any) -> StudyView:
    return read_study(swept)


def marks(axes: Axes, label: str) -> np.ndarray:
    """The points drawn under a label, `(N, 2)`."""
    (line,) = [line for line in axes.lines if line.get_label() == label]
    return np.asarray(line.get_xydata())


def test_history_shows_every_trial_and_the_best_so_far(view: StudyView) -> None:
    axes = history_figure(view).axes[0]
    done, pruned = (view.trials[view.trials["state"] == state] for state in ("finished", "pruned"))
    assert marks(axes, "finished").tolist() == done[["number", "val/miou"]].to_numpy().tolist()
    assert (
        marks(axes, "pruned (last report)").tolist()
        == pruned[["number", "last_value"]].to_numpy().tolist()
    )
    assert marks(axes, "failed")[:, 0].tolist() == [17]
    steps = marks(axes, "best so far")
    assert (np.diff(steps[:, 1]) >= 0).all()
    assert steps[-1, 1] == done["val/miou"].max()
    assert axes.get_ylabel() == "val/miou (higher is better)"
    assert axes.get_xlabel() == "trial"


def test_history_falls_where_less_is_better_and_keeps_outliers_at_the_edge(make: Any) -> None:
    view = read_study(make(make.numeric(), objectives=[("val/loss", "minimize")]))
    axes = history_figure(view).axes[0]
    assert (np.diff(marks(axes, "best so far")[:, 1]) <= 0).all()
    low, high = axes.get_ylim()
    assert high < 2.0, "one value of 50 does not stretch the axis"
    assert marks(axes, "beyond the axis").tolist() == [[20.0, high]]
    assert low < view.trials["val/loss"].min()


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5, 0.5], [], [0.0], [1.0, np.nan]])
def test_limits_of_few_values_are_apart(values: list[float], view: StudyView) -> None:
    low, high = value_limits(values, view.objectives[0])
    assert low < high
    assert all(low <= value <= high for value in values if value == value)


def test_curves_of_trials(view: StudyView) -> None:
    axes = intermediate_figure(view).axes[0]
    lines = [line for line in axes.lines if len(line.get_xdata()) > 1]
    reported = [trial for trial in view.frozen if trial.intermediate_values]
    assert len(lines) == len(reported)
    best = max(lines, key=lambda line: line.get_linewidth())
    assert best.get_ydata()[-1] == view.trials["val/miou"].max()  # type: ignore[index]
    assert axes.get_xlabel() == "epoch"


@pytest.mark.parametrize(("scheme", "step"), [("kfold", "fold"), ("none", "epoch")])
def test_steps_of_cross_validations_are_folds(make: Any, scheme: str, step: str) -> None:
    trials = [make.trial([0.5], {}, [0.4, 0.5, 0.6])] * 2
    figure = intermediate_figure(read_study(make(trials, base_config={"cv": {"scheme": scheme}})))
    assert figure.axes[0].get_xlabel() == step


def test_slices_share_the_values_and_mark_the_best(view: StudyView) -> None:
    figure = slice_figure(view)
    panels = [axes for axes in figure.axes if axes.get_xlabel()]
    assert {axes.get_xlabel() for axes in panels} == {"lr (log)", "batch_size", "loss"}
    done = view.finished(0)
    for axes in panels:
        (dots,) = [one for one in axes.collections if isinstance(one, PathCollection)]
        assert np.asarray(dots.get_offsets())[:, 1].tolist() == done["val/miou"].tolist()
    (rate,) = [axes for axes in panels if axes.get_xlabel() == "lr (log)"]
    assert rate.get_xscale() == "log"


@pytest.mark.slow
def test_contour_has_a_surface_for_numbers_only(make: Any, view: StudyView) -> None:
    numbers = read_study(make(make.numeric(), objectives=[("val/loss", "minimize")]))
    panels = contour_figure(numbers).axes[:3]
    assert {axes.get_xlabel() for axes in panels} | {axes.get_ylabel() for axes in panels} == {
        "lr (log)",
        "weight_decay",
        "depth",
    }
    counts = [len(axes.collections) for axes in panels]
    assert min(counts) >= 2, "dots and a surface"
    mixed = contour_figure(view, params=["optimizer.lr", "loss"]).axes[0]
    assert len(mixed.collections) == 1, "dots alone"


def test_surface_is_low_where_the_loss_is(make: Any) -> None:
    from seglab.analysis.study.figures.surface import score_surface

    view = read_study(make(make.numeric(60, outlier=False), objectives=[("val/loss", "minimize")]))
    scales = view.scales["optimizer.lr"], view.scales["optimizer.weight_decay"]
    done = view.finished(0)
    places = view.places(done, "optimizer.lr"), view.places(done, "optimizer.weight_decay")
    values = done["val/loss"].to_numpy(float)
    ground = score_surface(scales, places, values, value_limits(values, view.objectives[0]))
    assert ground is not None
    row, column = np.unravel_index(np.nanargmin(ground.score), ground.score.shape)
    assert -3.0 < np.log10(ground.x[column]) < -2.0
    assert ground.y[row] < 0.05


def test_parallel_lines_pass_below_the_axis_of_what_they_lack(make: Any) -> None:
    view = read_study(make(make.conditional()))
    scales = [view.scales["optimizer.momentum"], view.scales["optimizer"]]
    places = line_places(view, 0, scales)
    lacks = view.finished(0)["params.optimizer.momentum"].isna().to_numpy()
    assert (places[lacks, 0] < 0).all()
    assert np.abs(places[lacks, 0] - ABSENT).max() < 0.03
    assert (places[~lacks] >= 0).all()
    assert (places[~lacks] <= 1).all()
    figure = parallel_figure(view)
    assert "not set" in {text.get_text() for text in figure.axes[0].texts}


def test_parallel_has_a_line_a_trial_and_the_best_on_top(view: StudyView) -> None:
    axes = parallel_figure(view).axes[0]
    (lines,) = [one for one in axes.collections if isinstance(one, LineCollection)]
    assert len(lines.get_segments()) == len(view.finished(0))
    widths = np.asarray(lines.get_linewidths())
    assert widths.argmax() == len(widths) - 1
    heads = {text.get_text() for text in axes.texts}
    assert {"lr", "batch_size", "loss", "val/miou"} <= heads


def test_pareto_marks_the_front(make: Any) -> None:
    goals = [("val/miou", "maximize"), ("cost/latency_ms", "minimize")]
    view = read_study(make(make.fronts(2), objectives=goals))
    axes = pareto_figure(view).axes[0]
    (front,) = [line for line in axes.lines if str(line.get_label()).startswith("Pareto front")]
    points = np.asarray(front.get_xydata())
    assert len(points) >= 3
    assert (np.diff(points[:, 0]) >= 0).all()
    assert (np.diff(points[:, 1]) >= 0).all(), "a better mIoU on the front costs more time"
    assert axes.get_ylabel() == "cost/latency_ms (lower is better)"


def test_one_objective_has_no_front(view: StudyView) -> None:
    with pytest.raises(NotDrawableError, match="at least two objectives"):
        pareto_figure(view)


def test_timeline_has_a_bar_a_start(view: StudyView) -> None:
    axes = timeline_figure(view).axes[0]
    bars = [patch for container in axes.containers for patch in container.patches]
    assert len(bars) == len(view.attempts) == 41
    assert [label.get_text() for label in axes.get_yticklabels()] == ["gpu0", "gpu1"]
    minutes = sorted(bar.get_x() + bar.get_width() for bar in bars)
    whole = (view.attempts["ended"].max() - view.attempts["started"].min()) / 60
    assert minutes[-1] == pytest.approx(whole)
    assert axes.get_xlabel() == "minutes since the first start"
    assert "2 workers, idle 0.3 % of the time while trials waited" in axes.get_title(loc="left")
    lost = [
        container for container in axes.containers if container.get_label().startswith("broken off")
    ]
    assert len(lost[0].patches) == 1


def test_clock_cuts_pauses_short(make: Any) -> None:
    day = 86_400.0
    folder = make(
        [
            make.trial([0.5], attempts=[("a", 0, 3600)]),
            make.trial([0.5], attempts=[("b", 1800, 3600)]),
            make.trial([0.5], attempts=[("a", 3600 + day, 7200 + day)]),
        ]
    )
    view = read_study(folder)
    clock = study_clock(view.attempts)
    assert clock.pauses == ((3600.0, 3600.0 + day),)
    at = [make.start + moment for moment in (0, 1800, 3600, 3600 + day, 7200 + day)]
    stub = 0.03 * 7200
    assert clock.place(at).tolist() == pytest.approx([0, 1800, 3600, 3600 + stub, 7200 + stub])
    assert "pauses cut short" in timeline_figure(view).axes[0].get_xlabel()


def test_workers_stand_in_the_order_one_counts() -> None:
    names = ["gpu10", "gpu2", "cpu0", "node2 gpu0", "node10 gpu0", "gpu2 (2)"]
    assert sorted(names, key=natural_order) == [
        "cpu0",
        "gpu2",
        "gpu2 (2)",
        "gpu10",
        "node2 gpu0",
        "node10 gpu0",
    ]
