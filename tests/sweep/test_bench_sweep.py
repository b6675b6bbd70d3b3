"""The benchmark of sweeps counts right: idle time, the cost of the barrier, and what its task is like."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.stats import spearmanr

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def _module(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return __import__(f"sweep_bench.{name}", fromlist=[name])


@pytest.fixture
def intervals(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return _module("intervals", monkeypatch)


@pytest.fixture
def objective(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return _module("objective", monkeypatch)


def _trials(intervals: ModuleType, *spans: tuple[float, float]) -> list[object]:
    return [
        intervals.Interval(number, start, end, end - start, 27, 0.5, 0.5)
        for number, (start, end) in enumerate(spans)
    ]


def test_idle_share_ends_when_no_trial_waits(intervals: ModuleType) -> None:
    # The first worker is free from 2 to 4 while trials wait; what comes after 5 does not count.
    trials = _trials(intervals, (0, 2), (0, 5), (4, 10), (5, 6))
    assert intervals.idle_share(trials, 2) == pytest.approx(2 / 10)


def test_no_worker_is_idle_when_each_takes_the_next_at_once(intervals: ModuleType) -> None:
    assert intervals.idle_share(_trials(intervals, (0, 2), (0, 5), (2, 10), (5, 6)), 2) == 0


def test_gaps_pair_each_start_with_the_end_that_made_room(intervals: ModuleType) -> None:
    trials = _trials(intervals, (0, 2), (0, 5), (2.25, 10), (5.5, 6), (6.125, 7))
    assert intervals.gaps(trials, 2) == pytest.approx([0.25, 0.5, 0.125])


def test_batches_wait_for_the_longest_and_pulling_does_not(intervals: ModuleType) -> None:
    lengths = [1, 5, 4, 2]
    assert intervals.batch_makespan(lengths, 2) == 9
    assert intervals.pull_makespan(lengths, 2) == 7


@pytest.mark.slow
def test_barrier_costs_eighteen_percent_of_evenly_spread_lengths(
    intervals: ModuleType, objective: ModuleType
) -> None:
    lengths = objective.trial_lengths(20_000, 3.5, seed=0)
    idle = 1 - sum(lengths) / (2 * intervals.batch_makespan(lengths, 2))
    assert idle == pytest.approx(0.182, abs=0.004)


def test_lengths_are_spread_evenly_over_a_factor_of_five(objective: ModuleType) -> None:
    lengths = objective.trial_lengths(24, 3.5, seed=3)
    ordered = np.sort(lengths)
    assert ordered[-1] / ordered[0] == pytest.approx(5)
    assert np.mean(lengths) == pytest.approx(3.5)
    assert np.diff(ordered) == pytest.approx(np.diff(ordered)[0])
    assert lengths != objective.trial_lengths(24, 3.5, seed=4)


@pytest.mark.parametrize(("epoch", "expected"), [(3, 0.79), (9, 0.93), (18, 0.99)])
def test_early_scores_tell_as_much_of_the_last_as_is_said(
    objective: ModuleType, epoch: int, expected: float
) -> None:
    rng = random.Random(0)

    def scores(last: int) -> list[float]:
        return [
            objective.true_score(*one, last - 1) + rng.gauss(0, objective.NOISE) for one in drawn
        ]

    drawn = [
        (
            10 ** rng.uniform(-4, -1),
            rng.choice([4, 8, 16, 32]),
            rng.choice(["ce", "ce_dice", "focal"]),
        )
        for _ in range(3000)
    ]
    correlation = spearmanr(scores(epoch), scores(objective.EPOCHS)).statistic
    assert correlation == pytest.approx(expected, abs=0.03)


def test_paired_difference_has_its_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = _module("verdict", monkeypatch)
    # Differences 1, 2, 3: mean 2, standard deviation 1, t(0.975, 2) = 4.3027.
    found = verdict.paired([0, 0, 0], [1, 2, 3])
    assert found.mean == 2
    assert found.error == pytest.approx(1 / math.sqrt(3))
    assert found.low == pytest.approx(2 - 4.3027 / math.sqrt(3), abs=1e-4)
    assert math.isnan(verdict.paired([0], [1]).high)


def test_stages_of_a_start_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    startup = _module("startup", monkeypatch)
    spans = [
        startup.Span(*one)
        for one in (
            (7, "job start", 0, 0),
            (7, "first step", 1, 2),
            (7, "job end", 10, 10),
            (1, "tell", 10.1, 10.3),
            (1, "ask", 10.3, 10.4),
            (1, "fork", 10.5, 10.6),
            (8, "job start", 10.7, 10.7),
            (8, "imports", 10.7, 10.8),
            (8, "model", 11, 12),
            (8, "first step", 12.5, 13),
            (8, "first step", 13, 13.5),
            (8, "job end", 15, 15),
        )
    ]
    (start,) = startup.starts_in_study(spans)
    assert start.begins_s == pytest.approx(2.5)
    assert start.ends_s == pytest.approx(3)
    assert sum(start.stages.values()) == pytest.approx(start.begins_s)
    expected = {"process ends, is noticed": 0.1, "tell": 0.2, "child starts": 0.1, "model": 1.0}
    assert {name: start.stages[name] for name in expected} == pytest.approx(expected)


def test_peer_environment_stays_out_of_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    arms = _module("arms", monkeypatch)
    with pytest.raises(SystemExit, match="outside"):
        arms.make_peer_python(SCRIPTS / "peer")


@pytest.mark.slow
def test_benchmark_runs(tmp_path: Path) -> None:
    target = tmp_path / "figures.json"
    done = subprocess.run(
        [
            sys.executable,
            str(SCRIPTS / "bench_sweep.py"),
            "--quick",
            "--arms",
            "b,c",
            "--json",
            str(target),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "(b) workers idle <= 3 % while trials wait" in done.stdout
    runs = json.loads(target.read_text())["runs"]
    assert [len(runs[arm]["1"]["trials"]) for arm in "bc"] == [8, 8]
    epochs = {arm: [trial["epochs"] for trial in runs[arm]["1"]["trials"]] for arm in "bc"}
    assert set(epochs["b"]) == {27}
    assert sum(epochs["c"]) < sum(epochs["b"])
