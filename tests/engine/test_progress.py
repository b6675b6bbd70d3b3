"""Without a terminal, a long epoch says how far it is, and a short one keeps to its line."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from seglab.engine.loop import progress
from seglab.engine.loop.progress import RunProgress

TRAINER = SimpleNamespace(
    is_global_zero=True,
    global_step=0,
    current_epoch=2,
    max_epochs=9,
    num_training_batches=300,
    num_val_batches=[40],
)


class Clock:
    now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def _run(
    clock: Clock, seconds_per_step: float, mode: str = "plain"
) -> tuple[list[str], list[float]]:
    """Return the lines of 60 training and 40 validation batches, and when each was written."""
    text, moments = io.StringIO(), []
    shown = RunProgress(Console(file=text, width=120), "val/miou", mode)  # type: ignore[arg-type]
    shown.on_train_start(TRAINER, None)  # type: ignore[arg-type]

    def step(hook: object, index: int) -> None:
        clock.now += seconds_per_step
        before = len(text.getvalue())
        hook(TRAINER, None, None, None, index)  # type: ignore[operator]
        moments.extend([clock.now] * (len(text.getvalue()) > before))

    for index in range(60):
        step(shown.on_train_batch_end, index)
    for index in range(40):
        step(shown.on_validation_batch_end, index)
    return text.getvalue().splitlines(), moments


@pytest.mark.parametrize("seconds_per_step", [0.4, 1.0, 5.0])
def test_plain_lines_are_never_silent_for_20_seconds(clock: Clock, seconds_per_step: float) -> None:
    _, moments = _run(clock, seconds_per_step)
    gaps = [b - a for a, b in zip([0.0, *moments], [*moments, clock.now], strict=True)]
    assert max(gaps) <= 20
    assert len(moments) <= clock.now / 15


def test_lines_say_which_part_of_the_epoch_is_done(clock: Clock) -> None:
    lines, _ = _run(clock, 5.0)
    assert lines[0] == "epoch   2 (3/9)  step 3 of 300"
    assert lines[-1] == "epoch   2 (3/9)  validating, batch 39 of 40"


def test_short_epochs_and_other_modes_stay_silent(clock: Clock) -> None:
    assert _run(clock, 0.1)[0] == []
    assert _run(clock, 5.0, mode="off")[0] == []
