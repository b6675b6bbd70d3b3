"""Runs a plain grid as a study that optimises nothing: each of its jobs is run once."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from seglab.runs.studies.study import StudyFolder, StudyObjective
from seglab.sweep.ask.plan import StudyPlan
from seglab.sweep.workers.sweep import JOB

# Of the node `study` in conf/study/none.yaml.
_TAKEN = ("retries", "fail_fast", "max_failure_rate", "trial_timeout_s")


def grid_folder(sweep_dir: Path) -> StudyFolder:
    """Return a new folder for the files of a grid; the runs of its jobs lie where they always do."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return StudyFolder(sweep_dir / f"grid-{stamp}-{secrets.token_hex(3)}")


def grid_plan(folder: StudyFolder, jobs: int, node: Mapping[str, Any] | None) -> StudyPlan:
    """Return the plan of a grid.

    Args:
        folder: From `grid_folder`.
        jobs: How many jobs it has.
        node: The `study` node, for what to do when a job fails.
    """
    taken = {key: node[key] for key in _TAKEN if node and node.get(key) is not None}
    return StudyPlan(
        name=folder.path.name,
        objectives=(StudyObjective("done", "maximize"),),
        n_trials=jobs,
        sampler={"_target_": "optuna.samplers.RandomSampler"},
        storage=f"journal:{folder.journal_path}",
        enqueue=tuple({JOB: number} for number in range(jobs)),
        test=False,
        may_repeat=True,
        **taken,
    )
