"""Compare seglab's sweeps with the public Hydra plugin for Optuna, and time the start of a trial.

The same simulated training, space, budget and two workers for three arms, in turn, seed by seed:

  (a) hydra-optuna-sweeper 1.3.0 with the joblib launcher, in an environment of its own
      (made where --peer-env names none; keep it outside of the repository);
  (b) seglab's sweeper without pruning;
  (c) seglab's sweeper with pruning (successive halving, as in conf/study/asha.yaml).

Trials log themselves when they start and end, in every arm alike; a command's time is from its start
to its exit. Bars: (b) <= 0.85 and (c) <= 0.4 of (a)'s time by whole commands, a best score of (c) not
worse beyond noise, workers of (b) idle at most 3 % of the time in which trials wait.
scripts/sweep_bench/objective.py tells what is simulated and why.

--startup instead measures real trainings on `synth`: the seconds from a trial's end to the next
trial's first training step, against a fresh Python process that trains the same; bar: a fifth.

Run it on an otherwise idle machine; the comparison takes about 25 minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any


def parse_arguments() -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--peer-env",
        type=Path,
        default=Path(tempfile.gettempdir()) / "seglab-bench-sweep-peer",
        metavar="DIR",
        help="virtual environment of arm (a); made where missing (%(default)s)",
    )
    parser.add_argument("--arms", default="a,b,c", help="which arms (a,b,c)")
    parser.add_argument("--seeds", type=int, default=5, help="seeds, 1 to this (5)")
    parser.add_argument("--trials", type=int, default=36, help="budget of each study (36)")
    parser.add_argument("--mean", type=float, default=6.0, help="mean seconds of a trial (6)")
    parser.add_argument(
        "--work",
        choices=("sleep", "cpu"),
        default="sleep",
        help="what an epoch does: wait as for a device, or keep a core busy (sleep)",
    )
    parser.add_argument("--startup", action="store_true", help="time the start of real trials")
    parser.add_argument("--starts", type=int, default=5, help="with --startup: of each kind (5)")
    parser.add_argument(
        "--logger",
        choices=("none", "wandb"),
        default="none",
        help="with --startup: wandb writes an offline run too (none)",
    )
    parser.add_argument(
        "--quick", action="store_true", help="one seed, 8 short trials: does it run?"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep what the commands wrote")
    arguments = parser.parse_args()
    arguments.arms = [arm.strip() for arm in arguments.arms.split(",")]
    if not set(arguments.arms) <= set("abc"):
        parser.error(f"--arms: expected some of a,b,c, got {','.join(arguments.arms)}")
    if arguments.trials < 4:
        parser.error(f"--trials: expected at least 4, two for each worker, got {arguments.trials}")
    if arguments.keep and arguments.keep.exists() and any(arguments.keep.iterdir()):
        parser.error(f"--keep: expected a new or an empty folder, got {arguments.keep}")
    if arguments.quick:
        arguments.seeds, arguments.trials, arguments.mean, arguments.starts = 1, 8, 1.0, 2
    return arguments


def main() -> None:
    """Run what is asked for and print it."""
    arguments = parse_arguments()
    measure = time_startup if arguments.startup else compare
    print(
        f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} processors, "
        f"load {os.getloadavg()[0]:.1f} at the start",
        flush=True,
    )
    if arguments.keep:
        arguments.keep.mkdir(parents=True, exist_ok=True)
        figures = measure(arguments, arguments.keep.resolve())
    else:
        with tempfile.TemporaryDirectory(prefix="seglab-bench-sweep-") as folder:
            figures = measure(arguments, Path(folder))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def compare(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run the arms in turn, print their tables and return all figures."""
    from sweep_bench import verdict
    from sweep_bench.arms import ArmRun, Settings, make_peer_python, peer_versions, run_arm

    peer = make_peer_python(arguments.peer_env.absolute()) if "a" in arguments.arms else Path()
    settings = Settings(arguments.trials, arguments.mean, arguments.work, peer)
    runs: dict[str, dict[int, ArmRun]] = {arm: {} for arm in arguments.arms}
    for seed in range(1, arguments.seeds + 1):
        for arm in arguments.arms:
            runs[arm][seed] = run = run_arm(arm, seed, settings, folder / f"{arm}-{seed}")
            print(
                f"seed {seed} ({arm}): {run.command_s:.1f} s, best {run.best.score:.4f}", flush=True
            )
    found = verdict.bars(runs)
    print(
        f"\n{arguments.trials} trials of {arguments.mean} s on average ({arguments.work}), 2 workers"
    )
    if "a" in runs:
        print(f"(a): {peer_versions(peer)}")
    parts = [verdict.seeds_table(runs), verdict.arms_table(runs), verdict.expected_sentence(runs)]
    if found:
        parts.append(verdict.bars_table(found))
    print("\n" + "\n\n".join(parts))
    return {
        "settings": {"trials": arguments.trials, "mean_s": arguments.mean, "work": arguments.work},
        "bars": [vars(bar) for bar in found],
        "runs": verdict.as_json(runs),
    }


def time_startup(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Time the start of real trials, print the table and return all figures."""
    from sweep_bench import startup

    starts = startup.measure(folder, arguments.starts, arguments.logger)
    bars = startup.report(starts)
    return {"logger": arguments.logger, "bars": [vars(bar) for bar in bars], **asdict(starts)}


if __name__ == "__main__":
    main()
