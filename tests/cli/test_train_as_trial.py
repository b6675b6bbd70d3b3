"""What `seglab train` says in the process of a trial, and what it raises there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from seglab.cli.runs import train as module
from seglab.core.errors import ConfigError, SeglabError, TrainingError
from seglab.core.trial import TrialPrunedError, as_trial


class _Channel:
    study, number = "lr-0a1b2c", 7

    def report(self, value: float, step: int) -> bool:
        return False

    def progress(self, **facts: Any) -> None:
        pass


class _StoppedError(SeglabError):
    exit_code = 130


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (TrainingError("loss is NaN"), "failed: loss is NaN"),
        (ConfigError("lr: too large"), "failed: 1 configuration problem:"),
        (TrialPrunedError("after epoch 3"), "was pruned: after epoch 3"),
        (_StoppedError("stopped by SIGTERM"), "was stopped: stopped by SIGTERM"),
        (KeyError("x"), "failed: KeyError: 'x'."),
    ],
    ids=lambda value: type(value).__name__,
)
def test_trial_is_named_and_what_it_raised_is_the_cause(
    seglab: Callable[..., Any],
    jobs: Any,
    capsys: pytest.CaptureFixture[str],
    failure: Exception,
    said: str,
) -> None:
    def fail(cfg: Any) -> None:
        raise failure

    jobs.failure = fail
    with as_trial(_Channel()), pytest.raises(SystemExit) as raised:
        module.run(["seed=3"])

    assert raised.value.__cause__ is failure
    lines = capsys.readouterr().err.splitlines()
    assert any(line.startswith(f"seglab train: trial 7 (seed=3) {said}") for line in lines), lines
    assert not [line for line in lines if "later jobs" in line]
