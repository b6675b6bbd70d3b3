"""The learning-curve figure says what the numbers say and survives gaps in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from seglab.analysis.learning.history_curves import learning_curves
from seglab.analysis.learning.loss_trend import best_epoch
from seglab.analysis.style import save_figure

PNG = b"\x89PNG"


def _history(epochs: int = 30) -> pd.DataFrame:
    epoch = np.arange(epochs)
    return pd.DataFrame(
        {
            "epoch": epoch,
            "train/loss": 2 * np.exp(-epoch / 8) + 0.1,
            "val/loss": np.where(epoch < 12, 2 - epoch / 10, 0.8 + (epoch - 12) * 0.05),
            "val/miou": 0.6 - 0.001 * (epoch - 20.0) ** 2,
            "val/dice": 0.7 - 0.001 * (epoch - 20.0) ** 2,
            "lr/encoder": 1e-4,
            "lr/decoder": 1e-3,
        }
    )


def _texts(figure: Figure) -> str:
    parts = [text.get_text() for axes in figure.axes for text in axes.texts]
    for axes in figure.axes:
        parts.append(axes.get_title(loc="left"))
        legend = axes.get_legend()
        parts += [text.get_text() for text in legend.get_texts()] if legend else []
    return "\n".join([*parts, figure.get_supxlabel(), figure.get_suptitle()])


def test_figure_shows_verdict_gap_best_epoch_and_rates(tmp_path: Path) -> None:
    figure = learning_curves(_history(), "run 7")
    texts = _texts(figure)
    for expected in (
        "run 7",
        "validation loss rises, epoch 12",
        "gap",
        "validation",
        "best epoch 20: mIoU 0.600",
        "Overfit since epoch 12: ",
        "encoder",
        "decoder",
    ):
        assert expected in texts
    losses, scores, _ = figure.axes
    np.testing.assert_array_equal(losses.lines[0].get_ydata(), _history()["train/loss"])
    assert scores.lines[-1].get_xdata()[0] == 20
    path = save_figure(figure, tmp_path / "figures" / "curves.png")
    assert path.read_bytes()[:4] == PNG
    assert [item.name for item in path.parent.iterdir()] == ["curves.png"]


def test_best_epoch_is_that_of_the_classes_present_and_never_one_without_a_score() -> None:
    """A stray pixel of a class that val lacks takes a fourth from val/miou, and nothing from the model."""
    history = pd.DataFrame(
        {
            "epoch": range(4),
            "val/miou": [0.7, 0.6, 0.675, np.nan],
            "val/miou_present": [0.7, 0.8, 0.9, np.nan],
        }
    )
    assert best_epoch(history) == 2
    assert "best epoch 2: mIoU 0.675" in _texts(learning_curves(history))
    assert best_epoch(history.drop(columns="val/miou_present")) == 0
    assert best_epoch(history.assign(**{"val/miou_present": np.nan, "val/miou": np.nan})) is None


def test_epochs_without_validation_leave_no_hole_in_the_line() -> None:
    history = _history()
    history.loc[history["epoch"] % 2 == 1, ["val/loss", "val/miou", "val/dice"]] = np.nan
    losses = learning_curves(history).axes[0]
    validation = losses.lines[1].get_ydata()
    assert len(validation) == 15
    assert np.isfinite(validation).all()


def test_missing_columns_are_said() -> None:
    texts = _texts(learning_curves(pd.DataFrame({"epoch": [0], "train/loss": [1.0]})))
    for expected in ("Too short to tell", "no validation scores", "no learning rate"):
        assert expected in texts
    assert "no losses recorded" in _texts(learning_curves(pd.DataFrame({"epoch": []})))


def test_one_wild_first_epoch_does_not_flatten_the_rest() -> None:
    history = _history()
    history.loc[0, "train/loss"] = 1e4
    assert learning_curves(history).axes[0].get_ylim()[1] < 10


def test_wide_range_of_rates_is_logarithmic_a_narrow_one_starts_at_zero() -> None:
    history = _history()
    assert learning_curves(history).axes[2].get_yscale() == "linear"
    history["lr/encoder"] = np.geomspace(1e-3, 1e-6, len(history))
    assert learning_curves(history).axes[2].get_yscale() == "log"


def test_no_global_state_of_pyplot_is_left() -> None:
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    learning_curves(_history())
    assert plt.get_fignums() == before
