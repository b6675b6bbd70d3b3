"""Verdicts on curves whose truth is known by construction."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seglab.analysis.learning.gap import GapVerdict, Interval
from seglab.analysis.learning.loss_trend import VerdictRules, curve, smooth
from seglab.analysis.learning.verdict import fit_verdict

RNG = np.random.default_rng(7)


def _history(train: np.ndarray, val: np.ndarray, **more: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"epoch": range(len(train)), "train/loss": train, "val/loss": val, **more})


def _decay(epochs: int, constants: float, start: float = 2.0, floor: float = 0.3) -> np.ndarray:
    """An exponential decay seen over so many of its time constants."""
    return floor + (start - floor) * np.exp(-constants * np.linspace(0, 1, epochs))


def _turning(epochs: int, turn: int, rise: float) -> np.ndarray:
    """Falls to 1.0 at `turn`, then rises straight by `rise` in all."""
    down = np.linspace(2.0, 1.0, turn + 1)
    return np.concatenate([down, 1.0 + rise * np.linspace(0, 1, epochs - turn)[1:]])


def test_rising_validation_loss_with_falling_training_loss_is_overfit() -> None:
    verdict = fit_verdict(_history(_decay(30, 4), _turning(30, 12, 0.6)))
    assert verdict.kind == "overfit"
    assert verdict.since_epoch is not None
    assert abs(verdict.since_epoch - 12) <= 1
    assert verdict.gap == pytest.approx(1.6 - _decay(30, 4)[-1], abs=0.05)
    assert verdict.sentence.startswith(
        f"Overfit since epoch {verdict.since_epoch}: validation loss"
    )


def test_memorised_training_set_is_overfit_though_its_loss_cannot_fall_further() -> None:
    train = np.where(np.arange(30) < 12, np.linspace(2, -3.3, 30).clip(1e-4), 1e-4)
    assert fit_verdict(_history(train, _turning(30, 10, 0.8))).kind == "overfit"


def test_overfit_with_rising_miou_says_overconfident() -> None:
    history = _history(_decay(30, 4), _turning(30, 12, 0.6))
    history["val/miou"] = np.linspace(0.2, 0.6, 30)
    assert "overconfident" in fit_verdict(history).sentence
    history["val/miou"] = np.linspace(0.6, 0.2, 30)
    assert "stop there" in fit_verdict(history).sentence


def _scores(kind: str) -> GapVerdict:
    gap = Interval(0.2, 0.1, 0.3)
    return GapVerdict(kind, {}, gap, gap, (0,), "gap +0.200", "Test 0.6.")  # type: ignore[arg-type]


OVERFIT, FINE, SHORT = (
    _history(_decay(30, 4), _turning(30, 12, 0.6)),
    _history(_decay(40, 6), _decay(40, 6, floor=0.4)),
    _history(_decay(3, 3), _decay(3, 3)),
)


@pytest.mark.parametrize(
    ("history", "scores", "kind", "words"),
    [
        (FINE, "overfit", "overfit", "Overfit: gap +0.200, though validation loss is lowest"),
        (OVERFIT, "overfit", "overfit", "Overfit since epoch 13: gap +0.200; validation loss rose"),
        (SHORT, "overfit", "overfit", "Overfit: gap +0.200; both losses are there for 3"),
        (OVERFIT, "no overfit", "fine", "Fine: gap +0.200, though validation loss rose"),
        (FINE, "no overfit", "fine", "Fine: gap +0.200; validation loss is lowest"),
        (
            SHORT,
            "no overfit",
            "too short to tell",
            "Too short to tell: gap +0.200; both losses are",
        ),
        (OVERFIT, "cannot tell", "overfit", "Overfit since epoch 13: validation loss rose"),
        (FINE, "not measured", "fine", "Fine: validation loss is lowest"),
    ],
)
def test_losses_and_scores_give_one_verdict_with_the_evidence_of_both(
    history: pd.DataFrame, scores: str, kind: str, words: str
) -> None:
    verdict = fit_verdict(history, scores=_scores(scores))
    assert (verdict.kind, verdict.sentence[: len(words)]) == (kind, words)
    assert "gap +0.200" in verdict.sentence
    assert verdict.sentence.endswith(" Test 0.6.")


def test_converged_curves_are_fine() -> None:
    verdict = fit_verdict(_history(_decay(40, 6), _decay(40, 6, floor=0.4)))
    assert (verdict.kind, verdict.since_epoch) == ("fine", None)
    assert verdict.gap == pytest.approx(0.1, abs=0.01)


def test_curves_still_falling_are_underfit() -> None:
    line = np.linspace(2.0, 1.0, 20)
    verdict = fit_verdict(_history(line, line + 0.1))
    assert (verdict.kind, "still fall" in verdict.sentence) == ("underfit", True)


def test_training_loss_that_hardly_moves_is_underfit() -> None:
    verdict = fit_verdict(_history(_decay(20, 6, 2.0, 1.9), _decay(20, 6, 2.0, 1.9)))
    assert (verdict.kind, "hardly moved" in verdict.sentence) == ("underfit", True)


def test_diverging_training_is_not_called_overfit() -> None:
    verdict = fit_verdict(_history(_turning(30, 12, 2.0), _turning(30, 12, 2.0)))
    assert (verdict.kind, "rose again" in verdict.sentence) == ("underfit", True)


def test_few_epochs_or_missing_columns_are_too_short() -> None:
    for history in (
        _history(_decay(5, 3), _decay(5, 3)),
        pd.DataFrame({"epoch": range(20), "train/loss": _decay(20, 3)}),
        pd.DataFrame({"epoch": pd.Series(dtype=int)}),
        pd.DataFrame(),
    ):
        verdict = fit_verdict(history)
        assert verdict.kind == "too short to tell"
    assert np.isnan(verdict.gap)
    assert "0 epochs" in verdict.sentence


def test_epochs_without_validation_do_not_matter() -> None:
    val = _turning(60, 24, 0.6)
    val[np.arange(60) % 3 != 0] = np.nan
    verdict = fit_verdict(_history(_decay(60, 4), val))
    assert verdict.kind == "overfit"
    assert verdict.since_epoch is not None
    assert abs(verdict.since_epoch - 24) <= 3


def test_one_outlier_at_the_end_is_not_overfit() -> None:
    val = _decay(30, 6)
    val[-1] *= 3
    assert fit_verdict(_history(_decay(30, 6), val)).kind == "fine"


def test_noise_around_a_plateau_is_rarely_called_overfit() -> None:
    kinds = [
        fit_verdict(_history(_decay(40, 6), _decay(40, 6) * np.exp(RNG.normal(0, 0.15, 40)))).kind
        for _ in range(200)
    ]
    assert kinds.count("overfit") <= 6


def test_noise_does_not_hide_overfitting() -> None:
    kinds = [
        fit_verdict(
            _history(_decay(40, 4), _turning(40, 14, 0.8) * np.exp(RNG.normal(0, 0.08, 40)))
        ).kind
        for _ in range(100)
    ]
    assert kinds.count("overfit") >= 95


falls = st.lists(st.floats(1e-4, 1.0), min_size=6, max_size=60)


@settings(max_examples=100, deadline=None)
@given(train=falls, val=falls)
def test_curves_that_both_fall_are_never_overfit(train: list[float], val: list[float]) -> None:
    length = min(len(train), len(val))
    falling = [5.0 + np.cumsum(steps[::-1])[::-1][:length] for steps in (train, val)]
    assert fit_verdict(_history(*falling)).kind != "overfit"


@settings(max_examples=50, deadline=None)
@given(scale=st.sampled_from([1e-3, 0.1, 7.0, 1e4]), seed=st.integers(0, 50))
def test_scale_of_the_loss_does_not_matter(scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    train = _decay(25, rng.uniform(0.5, 6)) * np.exp(rng.normal(0, 0.03, 25))
    val = _turning(25, int(rng.integers(5, 20)), rng.uniform(0, 1))
    plain, scaled = (
        fit_verdict(_history(train, val)),
        fit_verdict(_history(train * scale, val * scale)),
    )
    assert (plain.kind, plain.since_epoch) == (scaled.kind, scaled.since_epoch)


def test_order_and_repeats_of_rows_do_not_matter() -> None:
    history = _history(_decay(30, 4), _turning(30, 12, 0.6))
    stale = history.head(5).assign(**{"val/loss": 99.0})
    mixed = pd.concat([stale, history.sample(frac=1.0, random_state=1)])
    assert fit_verdict(mixed) == fit_verdict(history)


def test_rules_can_be_stricter() -> None:
    history = _history(_decay(30, 4), _turning(30, 12, 0.6))
    assert fit_verdict(history, VerdictRules(rise=1.0)).kind != "overfit"


def test_curve_leaves_out_what_is_not_a_number() -> None:
    frame = pd.DataFrame({"epoch": [2, 0, 1], "x": [np.inf, 1.0, None]})
    epochs, values = curve(frame, "x")
    assert (epochs.tolist(), values.tolist()) == ([0.0], [1.0])
    # The median turns 3 9 3 into 6 3 6 (at the ends of two values), the mean that into 4.5 5 4.5.
    np.testing.assert_allclose(smooth(np.array([3.0, 9.0, 3.0])), [4.5, 5.0, 4.5])
