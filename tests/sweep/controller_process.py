"""A controller for tests that kill it: a function, or a process of its own: FOLDER OPTIONS (JSON).

It runs trials until the study has nothing left. Each start and end of a trial is a line of the file
`log`, written in one piece, so that the lines of all controllers together tell what was run.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import optuna

from seglab.runs.studies.study import StudyFolder, StudyObjective
from seglab.sweep.ask.plan import StudyPlan
from seglab.sweep.ledger.ledger import Claim, Ledger, Outcome


def suggest(trial: optuna.Trial) -> list[str]:
    x = trial.suggest_float("x", -1, 1)
    lr = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    depth = trial.suggest_int("depth", 1, 4)
    return [f"x={x!r}", f"lr={lr!r}", f"depth={depth}"]


def score(trial: optuna.Trial) -> float:
    params = trial.params
    return -((params["x"] - 0.3) ** 2) - params["lr"] + params["depth"] / 10


def serve(folder: str | Path, options: dict[str, Any]) -> None:
    """Run trials.

    Args:
        folder: Of the study.
        options: Fields of the plan, and: controller, log, trial_s (how long a trial takes),
            reports (how many a trial makes), most (trials).
    """
    ledger = Ledger(StudyFolder(folder), _plan(options), options["controller"], suggest)
    left = options.get("most", sys.maxsize)
    while left and ledger.is_open():
        claim = ledger.claim("cpu 0")
        ledger.beat()
        if claim is None:
            time.sleep(0.02)
            continue
        _run_trial(ledger, claim, options)
        left -= 1


def _plan(options: dict[str, Any]) -> StudyPlan:
    random = {"_target_": "optuna.samplers.RandomSampler"}
    words = {"n_trials": 60, "storage": "", "sampler": random}
    words |= {name: options[name] for name in StudyPlan.__dataclass_fields__ if name in options}
    return StudyPlan(name="demo", objectives=(StudyObjective("val/miou", "maximize"),), **words)


def _run_trial(ledger: Ledger, claim: Claim, options: dict[str, Any]) -> None:
    _note(options.get("log"), f"start {claim.number} {claim.attempt} {ledger.controller}")
    time.sleep(options.get("trial_s", 0.0))
    for step in range(options.get("reports", 0)):
        ledger.report(claim, score(claim.trial) * step, step)
    _note(options.get("log"), f"end {claim.number} {claim.attempt} {ledger.controller}")
    ledger.tell(claim, Outcome("finished", [score(claim.trial)]))


def _note(path: str | None, line: str) -> None:
    if path:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(handle, f"{line}\n".encode())
        os.close(handle)


if __name__ == "__main__":
    serve(sys.argv[1], json.loads(sys.argv[2]))
