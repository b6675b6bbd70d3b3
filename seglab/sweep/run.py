"""What `-m` does: a study, or a plain grid of jobs, on the workers of a launcher."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig

from seglab.core.errors import ConfigError, TrainingError, list_problems
from seglab.core.text.terminal import open_console, say
from seglab.experiment.trial import trial_problems
from seglab.runs.studies.study import ERROR, WORDS, StudyFolder, all_there_are
from seglab.runs.studies.study_storage import open_study
from seglab.sweep.ask.plan_config import grid, split_words, study_plan
from seglab.sweep.ask.space import settings_in
from seglab.sweep.conclude.conclude_study import conclude_study, import_ahead
from seglab.sweep.workers.application import HydraApplication, study_node
from seglab.sweep.workers.cluster import open_workers
from seglab.sweep.workers.grid import grid_folder, grid_plan
from seglab.sweep.workers.start import start_study
from seglab.sweep.workers.sweep import Sweep

_OF_THE_STUDY = re.compile(r"^[+~]*study([=.@]|$)")


class Launcher(Protocol):
    """What the sweeper needs to know of its launcher."""

    place: str
    options: dict[str, Any]
    application: tuple[DictConfig, Any, Any]


def run_sweep(launcher: Launcher, arguments: Sequence[str]) -> list[list[JobReturn]]:
    """Run a study or a grid, and conclude it.

    Args:
        launcher: Where the workers run.
        arguments: Words of the command line, those for Hydra itself left out.

    Returns:
        The ended jobs in one batch, as Hydra's own sweeper does.

    Raises:
        ConfigError: The words are wrong, or the folder holds a study that asks for something else.
        StudyGivenUpError: Too many trials failed.
        TrainingError: Jobs of a plain grid failed, or no trial of a study finished.
    """
    application = HydraApplication(*launcher.application)
    application.configure_logging()
    node = study_node(application.config)
    if node is None or node.get("name") is None:
        return [run_jobs(launcher, grid(arguments))]
    console = open_console()
    fixed, swept = split_words(arguments)
    folder = StudyFolder(application.sweep_dir / str(node["name"]))
    plan = study_plan(application.config, swept, folder, fixed)
    problems = trial_problems(application.config)
    if problems:
        raise ConfigError(problems)
    words = [word for word in fixed if not _OF_THE_STUDY.match(word)]
    sweep = Sweep(application, plan, folder.path, words)
    there = start_study(sweep, arguments)
    say(console, f"study   {folder.path}{' (resumed)' if there else ''}")
    settings = settings_in(plan)
    if settings is not None and settings < (node["n_trials"] or 0):
        say(console, all_there_are(settings, node["n_trials"], plan.space))
    with open_workers(launcher.place, application.config, launcher.options) as workers:
        import_ahead()
        workers.serve(sweep, console)
        conclude_study(sweep, workers, console)
    return [_returns(sweep)]


def run_jobs(
    launcher: Launcher, jobs: list[list[str]], initial_job_idx: int = 0
) -> list[JobReturn]:
    """Run jobs, each in a process of its own; all are tried though some fail.

    Args:
        launcher: Where the workers run.
        jobs: Overrides of each.
        initial_job_idx: Number of the first, for messages.

    Raises:
        StudyGivenUpError: `study.fail_fast` or `study.max_failure_rate` ended the grid.
        TrainingError: Jobs failed; all are named.
    """
    application = HydraApplication(*launcher.application)
    folder = grid_folder(application.sweep_dir)
    plan = grid_plan(folder, len(jobs), study_node(application.config))
    same = [word for word in jobs[0] if all(word in job for job in jobs)]
    own = [[word for word in job if word not in same] for job in jobs]
    sweep = Sweep(application, plan, folder.path, same, own)
    start_study(sweep, [])
    with open_workers(launcher.place, application.config, launcher.options) as workers:
        workers.serve(sweep, open_console())
    done = _returns(sweep)
    failed = [
        f"job {number + initial_job_idx} ({' '.join(one.overrides or [])}): {one._return_value}"
        for number, one in enumerate(done)
        if one.status == JobStatus.FAILED
    ]
    if failed:
        raise TrainingError(list_problems(f"{len(failed)} of {len(jobs)} jobs failed", failed))
    return done


def _returns(sweep: Sweep) -> list[JobReturn]:
    found = []
    for trial in open_study(StudyFolder(sweep.folder), sweep.plan.storage).get_trials(
        deepcopy=False
    ):
        good = trial.values is not None
        found.append(
            JobReturn(
                overrides=list(trial.user_attrs.get(WORDS, [])),
                _return_value=trial.values if good else trial.user_attrs.get(ERROR),
                status=JobStatus.COMPLETED if good else JobStatus.FAILED,
            )
        )
    return found
