"""The end of a study: its winner as a file, confirmed and tested; tables, figures and a report."""

from __future__ import annotations

import importlib
import logging
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial
from rich.console import Console

from seglab.config.language.grammar import literal_word
from seglab.core.disk.files import hash_json, write_text
from seglab.core.errors import ConfigError, TrainingError
from seglab.core.text.terminal import say, say_heading
from seglab.runs.locate import RECORD_FILE
from seglab.runs.studies.study import EXHAUSTED, RUN_DIR, SEED, WORDS, StudyFolder, all_there_are
from seglab.runs.studies.study_storage import open_study, own_trials
from seglab.sweep.ask.space import settings_in
from seglab.sweep.conclude.best import folders_of, repeat_command, write_best
from seglab.sweep.conclude.protocol import (
    confirm_dirs,
    finished_metrics,
    has_test,
    sentence,
    write_protocol,
)
from seglab.sweep.workers.cluster import Workers
from seglab.sweep.workers.grid import grid_plan
from seglab.sweep.workers.start import start_study
from seglab.sweep.workers.sweep import Sweep, places

log = logging.getLogger(__name__)
_MOST_OF_A_FRONT = 20
_FOR_THE_END = (
    "seglab.analysis.study",
    "plotly.io",
    "plotly.offline",
    "plotly.graph_objs.layout",
    "pyarrow.pandas_compat",
)


@dataclass
class _Concluding:
    """A study whose trials have ended."""

    sweep: Sweep
    workers: Workers
    folder: StudyFolder
    study: optuna.Study
    console: Console


@dataclass(frozen=True)
class _Winner:
    """A setting that is (one of) the best.

    Attributes:
        trial: The first that has it.
        values: One an objective; means where trials with other seeds repeat it.
        repeats: Of how many trials.
    """

    trial: FrozenTrial
    values: list[float]
    repeats: int


def conclude_study(sweep: Sweep, workers: Workers, console: Console) -> None:
    """Write what a study found, and do what its plan asks for with the winner.

    Args:
        sweep: The study.
        workers: For trainings that confirm the winner.
        console: For people.

    Raises:
        TrainingError: No trial finished.
    """
    folder = StudyFolder(sweep.folder)
    one = _Concluding(sweep, workers, folder, open_study(folder, sweep.plan.storage), console)
    try:
        _report_exhausted(one)
        winners = _winners(one)
        if not winners:
            logs = f" and in the logs in {folder.trials_dir}" if folder.trials_dir.is_dir() else ""
            raise TrainingError(
                f"no trial of {folder.path} finished, so there is no best one; their errors are in "
                f"{folder.trials_csv.name}{logs}"
            )
        for winner in winners[:_MOST_OF_A_FRONT]:
            _leave_configuration(one, winner)
        if len(sweep.plan.objectives) == 1:
            _confirm(one, winners[0])
    finally:
        _write(one)


def _report_exhausted(one: _Concluding) -> None:
    """Say why there are fewer trials than asked for, unless that was known at the start."""
    plan, ended = one.sweep.plan, _considered(one)
    exhausted = one.study.user_attrs.get(EXHAUSTED) == hash_json(plan.space)
    if exhausted and settings_in(plan) is None and ended < plan.n_trials:
        say(one.console, all_there_are(ended, plan.n_trials, plan.space))


def _winners(one: _Concluding) -> list[_Winner]:
    """Return the best setting, or those of the Pareto front; none of another study."""
    from seglab.analysis.study import REPEATS, pareto_trials, read_study

    view = read_study(one.folder)
    trials = {trial.number: trial for trial in view.frozen}
    metrics = [goal.metric for goal in view.objectives]
    return [
        _Winner(trials[int(row["number"])], [float(row[key]) for key in metrics], int(row[REPEATS]))
        for row in pareto_trials(view).to_dict("records")
    ]


def _leave_configuration(one: _Concluding, winner: _Winner) -> None:
    trial = winner.trial
    name = f"{one.sweep.plan.name}-t{trial.number:04d}"
    if not _is_training(one, trial):
        return
    scores = ", ".join(
        f"{objective.metric} {value:.4f}"
        for objective, value in zip(one.sweep.plan.objectives, winner.values, strict=True)
    )
    if winner.repeats > 1:
        scores += f" (mean of {winner.repeats} trials with this setting)"
    header = [
        f"Trial {trial.number} of the study {one.sweep.plan.name}: {scores}",
        f"(chosen from {_considered(one)} trials, so the score is optimistic).",
    ]
    words = [*one.sweep.words, *one.sweep.replaced]
    folders = folders_of(one.sweep.application.config)
    try:
        path = write_best(
            one.folder.best_dir, name, words, trial.user_attrs[WORDS], header, **folders
        )
    except ConfigError as error:
        log.warning("the configuration of trial %d is not left as a file: %s", trial.number, error)
        return
    say(one.console, f"best    {repeat_command(one.folder.best_dir, path.stem)}")


def _considered(one: _Concluding) -> int:
    trials = own_trials(one.study.get_trials(deepcopy=False))
    return sum(trial.state.is_finished() for trial in trials)


def _run_dir(one: _Concluding, trial: FrozenTrial) -> Path:
    return one.folder.path / str(trial.user_attrs[RUN_DIR])


def _is_training(one: _Concluding, trial: FrozenTrial) -> bool:
    """Whether the trial left a record of ours; another Hydra application leaves none."""
    return (_run_dir(one, trial) / RECORD_FILE).is_file()


def _confirm(one: _Concluding, winner: _Winner) -> None:
    """Train the winner anew with other seeds, or else score its weights on test; each once."""
    plan, trial = one.sweep.plan, winner.trial
    facts = {
        "winner": trial.number,
        "winner_run": str(trial.user_attrs[RUN_DIR]),
        "best_value": winner.values[0],
        "best_of": winner.repeats,
        "trials_considered": _considered(one),
    }
    if not _is_training(one, trial):
        return
    runs, tested = {}, None
    if plan.confirm:
        runs = _train_anew(one, trial)
    elif plan.test:
        tested = _test_once(one, trial)
    content = write_protocol(one.folder, plan.objectives[0].metric, facts, runs, tested)
    say(one.console, sentence(content))


def _train_anew(one: _Concluding, trial: FrozenTrial) -> dict[int, Path]:
    """Return seed -> run folder of the finished trainings; those still missing are trained."""
    sweep = one.sweep
    folders = confirm_dirs(one.folder, trial.number, _last_seed(one), sweep.plan.confirm)
    missing = [seed for seed, path in folders.items() if finished_metrics(path) is None]
    if missing:
        say_heading(one.console, f"trial {trial.number} anew with {len(missing)} seeds")
        place = StudyFolder(one.folder.path / "confirm" / f"{trial.number:04d}-{min(missing)}")
        setting = [word for word in trial.user_attrs[WORDS] if _seed_of(word) is None]
        jobs = [[*setting, f"{SEED}={seed}", *places(folders[seed])] for seed in missing]
        anew = Sweep(
            sweep.application, grid_plan(place, len(jobs), None), place.path, sweep.words, jobs
        )
        start_study(anew, [])
        one.workers.serve(anew, one.console)
    return {seed: path for seed, path in folders.items() if finished_metrics(path) is not None}


def _last_seed(one: _Concluding) -> int:
    """Return the largest seed that a trial had: those that confirm a winner chose nothing."""
    seeds = [
        seed
        for trial in one.study.get_trials(deepcopy=False)
        for word in trial.user_attrs.get(WORDS, ())
        if (seed := _seed_of(word)) is not None
    ]
    return max([int(one.sweep.application.config.get(SEED) or 0), *seeds])


def _seed_of(word: str) -> int | None:
    key, _, text = word.lstrip("+").partition("=")
    return int(text) if key == SEED and text.isdecimal() else None


def _test_once(one: _Concluding, trial: FrozenTrial) -> dict[str, float] | None:
    """Score the winner's own weights on test, unless that was done or there is no such split."""
    target = one.folder.path / "test" / f"{one.folder.read()['study_id']}-t{trial.number:04d}"
    known = finished_metrics(target)
    if known is not None:
        return known
    run = _run_dir(one, trial)
    if not has_test(run):
        return None
    words = [
        literal_word("run", run),
        "data.split=test",
        "suite=scores",
        "logger.wandb.mode=disabled",
        literal_word("hydra.run.dir", target),
    ]
    command = [sys.executable, "-m", "seglab.cli", "evaluate", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        log.warning("the winner could not be scored on test: %s", done.stderr.strip())
    return finished_metrics(target)


def _write(one: _Concluding) -> None:
    """Write what people read of a study, whether it ended well or not."""
    from seglab.analysis.study import study_report, write_figures, write_trials_csv

    report = one.folder.path / "report.md"
    write_trials_csv(one.folder)
    write_figures(one.folder)
    write_text(report, study_report(one.folder, one.folder.read_protocol()))
    say(one.console, f"report  {report}")


def import_ahead() -> None:
    """Import what the end of a study needs, beside its first trials: seconds that the end would wait."""
    threading.Thread(target=_import_all, name="seglab-figures", daemon=True).start()


def _import_all() -> None:
    for module in _FOR_THE_END:
        # The import that needs it, at the end, reports what is wrong with it.
        with suppress(Exception):
            importlib.import_module(module)
