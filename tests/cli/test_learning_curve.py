"""The sweep over shares of the training data stands in the experiment's file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., Any]
# Runs the jobs of a grid in this process, where they can be looked at; ours starts others.
HYDRAS_OWN = ("hydra/sweeper=basic", "hydra/launcher=basic")


@pytest.mark.slow
def test_multirun_trains_each_share_for_as_many_steps(seglab: Run, jobs: Any) -> None:
    answer = seglab("train", "-m", *HYDRAS_OWN, "experiment=learning_curve")

    assert answer.code == 0, answer.err
    shares = [cfg.data.train_fraction for cfg in jobs.configs]
    assert shares == [0.125, 0.25, 0.5, 1]
    assert [cfg.trainer.max_epochs for cfg in jobs.configs] == [112, 56, 28, 14]
    assert [cfg.trainer.val_every for cfg in jobs.configs] == [8, 4, 2, 1]
    assert {path.parent.name for path in jobs.run_dirs} == {"learning_curve"}
    assert len(set(jobs.run_dirs)) == 4


@pytest.mark.slow
def test_seeds_multiply_and_one_run_alone_has_all_data(seglab: Run, jobs: Any) -> None:
    assert seglab("train", "-m", *HYDRAS_OWN, "experiment=learning_curve", "seed=1,2").code == 0
    assert len(jobs.configs) == 8
    assert {(cfg.seed, cfg.data.train_fraction) for cfg in jobs.configs} == {
        (seed, share) for seed in (1, 2) for share in (0.125, 0.25, 0.5, 1)
    }

    assert seglab("train", "experiment=learning_curve").code == 0
    assert jobs.configs[-1].data.train_fraction == 1


@pytest.mark.slow
def test_shares_typed_win_over_those_of_the_file(seglab: Run, jobs: Any) -> None:
    answer = seglab(
        "train", "-m", *HYDRAS_OWN, "experiment=learning_curve", "data.train_fraction=0.2,1"
    )

    assert answer.code == 0, answer.err
    assert [cfg.data.train_fraction for cfg in jobs.configs] == [0.2, 1]
    assert [cfg.trainer.max_epochs for cfg in jobs.configs] == [70, 14]


def test_share_out_of_range_is_refused_before_any_training(seglab: Run, jobs: Any) -> None:
    answer = seglab("train", "data.train_fraction=1.5")

    assert answer.code == 2
    assert "data.train_fraction: expected a number (0 to 1, 0 excluded), got 1.5" in answer.err
    assert jobs.configs == []


def test_other_epochs_data_and_model_keep_the_steps_alike(seglab: Run, jobs: Any) -> None:
    words = [
        "data=synth",
        "model=segnet_basic",
        "data.train_fraction=0.5,1",
        "trainer.max_epochs='${per_share:50,${data.train_fraction}}'",
    ]
    answer = seglab("train", "-m", *HYDRAS_OWN, "experiment=learning_curve", *words)

    assert answer.code == 0, answer.err
    assert [cfg.trainer.max_epochs for cfg in jobs.configs] == [100, 50]
