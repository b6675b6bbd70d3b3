"""The tables and bars of the comparison, from what the arms' runs left."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sweep_bench.arms import TITLES, WORKERS, ArmRun
from sweep_bench.intervals import batch_makespan, gaps, idle_share, pull_makespan

# Arm -> seed -> run.
Runs = Mapping[str, Mapping[int, ArmRun]]


@dataclass(frozen=True)
class Bar:
    """A bar and what was measured.

    Attributes:
        asks: What is asked for.
        measured: What came out.
        holds: Whether that is enough.
    """

    asks: str
    measured: str
    holds: bool


@dataclass(frozen=True)
class Paired:
    """Differences between two arms over the same seeds.

    Attributes:
        mean: Of the differences.
        error: Standard error of the mean; NaN for one seed.
        low: Lower end of the 95 % interval (Student's t).
        high: Upper end.
    """

    mean: float
    error: float
    low: float
    high: float


def paired(first: Sequence[float], second: Sequence[float]) -> Paired:
    """Return how much higher the second values are."""
    differences = [b - a for a, b in zip(first, second, strict=True)]
    mean, count = statistics.mean(differences), len(differences)
    if count < 2:
        return Paired(mean, math.nan, math.nan, math.nan)
    from scipy.stats import t

    error = statistics.stdev(differences) / math.sqrt(count)
    half = float(t.ppf(0.975, count - 1)) * error
    return Paired(mean, error, mean - half, mean + half)


def lengths_of(run: ArmRun) -> list[float]:
    """Return the trials' lengths in the order of their numbers."""
    return [trial.length for trial in sorted(run.trials, key=lambda trial: trial.number)]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [list(header), ["---"] * len(header), *[list(row) for row in rows]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def seeds_table(runs: Runs) -> str:
    """Return seconds, ratios and best scores, one row per seed."""
    ours = [arm for arm in runs if arm != "a" and "a" in runs]
    rows = [
        [
            str(seed),
            *[f"{of_seed[seed].command_s:.1f}" for of_seed in runs.values()],
            *[f"{runs[arm][seed].command_s / runs['a'][seed].command_s:.3f}" for arm in ours],
            *[f"{of_seed[seed].best.score:.4f}" for of_seed in runs.values()],
        ]
        for seed in next(iter(runs.values()))
    ]
    header = ["seed", *[f"({arm}) s" for arm in runs], *[f"({arm})/(a)" for arm in ours]]
    return table([*header, *[f"best ({arm})" for arm in runs]], rows)


def arms_table(runs: Runs) -> str:
    """Return where the time of each arm goes, medians over seeds."""
    rows = []
    for arm, of_seed in runs.items():
        done = list(of_seed.values())
        cells = [
            (lambda run: run.command_s, ".1f"),
            (lambda run: run.trials_s, ".1f"),
            (lambda run: run.cpu_s, ".1f"),
            (lambda run: run.trials[0].start - run.start, ".2f"),
            (lambda run: run.end - max(trial.end for trial in run.trials), ".2f"),
            (lambda run: 100 * idle_share(run.trials, WORKERS), ".1f"),
            (lambda run: statistics.median(gaps(run.trials, WORKERS)), ".3f"),
            (_extra_ms, ".1f"),
            (lambda run: sum(trial.epochs for trial in run.trials), ".0f"),
            (lambda run: sum(trial.score is not None for trial in run.trials), ".0f"),
        ]
        rows.append(
            [TITLES[arm], *[f"{statistics.median(map(of, done)):{form}}" for of, form in cells]]
        )
    header = [
        "median over seeds",
        "command s",
        "first start to last end s",
        "on cores s",
        "before first trial s",
        "after last trial s",
        "idle while trials wait %",
        "end to next start s",
        "extra an epoch ms",
        "epochs",
        "finished",
    ]
    return table(header, rows)


def _extra_ms(run: ArmRun) -> float:
    """Return how much longer an epoch was than its work: reports, and a busy machine."""
    epochs = sum(trial.epochs for trial in run.trials)
    full = max(trial.epochs for trial in run.trials)
    took = sum(trial.end - trial.start - trial.length * trial.epochs / full for trial in run.trials)
    return 1000 * took / epochs


def expected_sentence(runs: Runs) -> str:
    """Return what the lengths alone make of the barrier, without any overhead."""
    runs_of_an_arm = list(next(iter(runs.values())).values())
    lengths = [lengths_of(run) for run in runs_of_an_arm]
    idle = [1 - sum(one) / (WORKERS * batch_makespan(one, WORKERS)) for one in lengths]
    ratio = [pull_makespan(one, WORKERS) / batch_makespan(one, WORKERS) for one in lengths]
    return (
        f"By the lengths alone (no overhead), batches of {WORKERS} leave workers idle "
        f"{100 * statistics.mean(idle):.1f} % of the time (18.2 % for many trials), and pulling "
        f"trials takes {statistics.mean(ratio):.3f} of the batches' time, the wait for the last "
        "trial included."
    )


def bars(runs: Runs) -> list[Bar]:
    """Return the bars that the arms which ran allow to judge."""
    found = []
    if "a" in runs and "b" in runs:
        found.append(_ratio_bar(runs, "b", 0.85))
    if "a" in runs and "c" in runs:
        found += [_ratio_bar(runs, "c", 0.4), _best_bar(runs)]
    if "b" in runs:
        idle = statistics.median(idle_share(run.trials, WORKERS) for run in runs["b"].values())
        found.append(
            Bar("(b) workers idle <= 3 % while trials wait", f"{100 * idle:.2f} %", idle <= 0.03)
        )
    return found


def _ratio_bar(runs: Runs, arm: str, limit: float) -> Bar:
    command = [runs[arm][seed].command_s / runs["a"][seed].command_s for seed in runs["a"]]
    trials = [runs[arm][seed].trials_s / runs["a"][seed].trials_s for seed in runs["a"]]
    ratio = statistics.median(command)
    measured = (
        f"median over seeds {ratio:.3f} ({min(command):.3f} to {max(command):.3f}; from first start to "
        f"last end {statistics.median(trials):.3f})"
    )
    return Bar(f"({arm}) takes <= {limit} of (a), whole commands", measured, ratio <= limit)


def _best_bar(runs: Runs) -> Bar:
    first = [runs["a"][seed].best.score or math.nan for seed in runs["a"]]
    second = [runs["c"][seed].best.score or math.nan for seed in runs["a"]]
    true = [[runs[arm][seed].best.true_score or math.nan for seed in runs["a"]] for arm in "ac"]
    difference, without_noise = paired(first, second), paired(*true)
    measured = (
        f"(c) - (a) = {difference.mean:+.4f} +- {difference.error:.4f} (standard error; 95 %: "
        f"{difference.low:+.4f} to {difference.high:+.4f}); winners' scores without noise: "
        f"{without_noise.mean:+.4f} +- {without_noise.error:.4f}"
    )
    # Worse beyond noise: the whole interval lies below zero. NaN, of one seed, proves nothing.
    return Bar("best of (c) not worse than (a) beyond noise", measured, difference.high >= 0)


def bars_table(found: Sequence[Bar]) -> str:
    """Return the bars as a table."""
    rows = [[bar.asks, bar.measured, "yes" if bar.holds else "NO"] for bar in found]
    return table(["bar", "measured", "holds"], rows)


def as_json(runs: Runs) -> dict[str, Any]:
    """Return all runs with their trials, for other programs."""
    return {
        arm: {
            str(seed): {
                "command_s": run.command_s,
                "trials_s": run.trials_s,
                "cpu_s": run.cpu_s,
                "started": run.start,
                "ended": run.end,
                "idle": idle_share(run.trials, WORKERS),
                "best": run.best.score,
                "trials": [asdict(trial) for trial in run.trials],
            }
            for seed, run in of_seed.items()
        }
        for arm, of_seed in runs.items()
    }
