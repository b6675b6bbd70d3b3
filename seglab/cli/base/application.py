"""Runs a command whose words are a configuration: checked here, composed and run by Hydra.

Hydra reads the process's words itself and, where a job fails, prints a traceback and exits with 1.
So the words are checked first, then put where Hydra looks for them, and the job ends the process
itself with our message and our code.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra._internal import utils as hydra_internals
from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import get_overrides_dirname
from hydra._internal.hydra import Hydra
from hydra._internal.utils import get_args_parser  # the only way to know Hydra's own flags
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import configure_log, run_job
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from seglab.cli.base.reporting import INTERRUPTED, find_seglab_error, report
from seglab.config.composer import HYDRA_VERSION_BASE, open_composer
from seglab.config.language.locate import conf_dir
from seglab.config.overrides import CheckedOverrides, check_overrides
from seglab.config.rules.resolvers import register_resolvers
from seglab.config.validate import App, require_valid
from seglab.core.disk.places import place_error
from seglab.core.errors import ConfigError, nearest
from seglab.core.trial import TrialPrunedError, current_trial


@dataclass(frozen=True)
class Application:
    """A Hydra application.

    Args:
        name: Command and name of the primary configuration.
        task: What to do with a composed, checked configuration; imports what it needs itself.
    """

    name: App
    task: Callable[[DictConfig], Any]


def read_words(argv: Sequence[str], name: App) -> argparse.Namespace:
    """Return Hydra's flags and the overrides; both may come in any order.

    Raises:
        ConfigError: A flag is unknown or excludes another.
    """
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        raise ConfigError(_explain(message, parser, name))

    parser.error = refuse  # type: ignore[method-assign]
    args = parser.parse_intermixed_args(list(argv))
    modes = [
        flag
        for flag in ("run", "multirun", "cfg", "info", "shell_completion")
        if getattr(args, flag)
    ]
    if len(modes) > 1:
        raise ConfigError(f"--{' and --'.join(modes)} exclude each other; give one of them")
    if args.resolve and not args.cfg:
        raise ConfigError("--resolve needs --cfg, such as --cfg job --resolve")
    return args


def _explain(message: str, parser: argparse.ArgumentParser, name: str) -> str:
    flags = [flag for action in parser._actions for flag in action.option_strings]
    unknown = message.removeprefix("unrecognized arguments: ")
    if unknown == message:
        return f"{message}; see seglab {name} --help"
    first = unknown.split()[0]
    key = first.lstrip("-").split("=")[0].replace("-", "_")
    return (
        f"no such option '{first}'{nearest(first, flags)}; settings are given without dashes as "
        f"key=value, such as {key}=..., see seglab {name} --help"
    )


def run_application(app: Application, args: argparse.Namespace, argv: Sequence[str]) -> int:
    """Check the words, let Hydra compose them, and run the job or jobs.

    Args:
        app: The application.
        args: What `read_words` returned.
        argv: The words themselves.

    Raises:
        ConfigError: With every mistake in the words and in what comes out of them.
    """
    shows_only = bool(args.cfg or args.info)
    folder = Path(args.config_path).absolute() if args.config_path else conf_dir()
    checked = check_overrides(
        app.name,
        args.overrides,
        multirun=args.multirun,
        allow_missing=shows_only,
        config_name=args.config_name,
        folder=folder,
        search=[Path(args.config_dir)] if args.config_dir else [],
    )
    if checked.problems:
        raise ConfigError(checked.problems)
    config = None
    # A folder given on the command line takes part in Hydra's search before ours.
    as_composed = args.cfg == "job" or not shows_only
    if as_composed and not (args.info or args.multirun or args.hydra_help or args.config_dir):
        config = job_config(checked)
    if config is not None:
        with open_composer(args.config_name or app.name, folder) as composer:
            if args.cfg:
                _show(app, config, composer.loader(), args)
            else:
                _run_once(app, config, composer.loader())
        return 0
    flags = [word for word in argv if word not in args.overrides]
    run_hydra(app, folder, [*flags, *checked.overrides])
    return 0


def job_config(checked: CheckedOverrides) -> DictConfig | None:
    """Return what Hydra would compose of checked words for a single job, made from the check's own.

    Args:
        checked: Without problems.

    Returns:
        The configuration with its `hydra` node; None where the words ask for several jobs.
    """
    config, node = checked.config, copy.deepcopy(checked.hydra)
    if config is None or node is None or node.mode == RunMode.MULTIRUN:
        return None
    overrides = OverridesParser.create().parse_overrides(checked.overrides)
    own = [one for one in overrides if not one.is_hydra_override()]
    with open_dict(node):
        node.mode = RunMode.RUN
        node.overrides.task = [one.input_line for one in own]
        node.overrides.hydra = [one.input_line for one in overrides if one.is_hydra_override()]
        node.job.override_dirname = get_overrides_dirname(own, **node.job.config.override_dirname)
    job = copy.deepcopy(config)
    OmegaConf.set_struct(job, False)
    job.hydra = node
    OmegaConf.set_struct(job, True)
    OmegaConf.set_readonly(job.hydra, True)
    return job


def _show(
    app: Application, config: DictConfig, loader: ConfigLoader, args: argparse.Namespace
) -> None:
    """Print the configuration of the job as Hydra does, but for composing it anew."""
    shown = Hydra(app.name, loader)
    shown.compose_config = lambda **_: config  # type: ignore[method-assign]
    shown.show_cfg(args.config_name, [], args.cfg, args.package, args.resolve)


def _run_once(app: Application, config: DictConfig, loader: ConfigLoader) -> None:
    """Run one job as `hydra.main` would, but for composing its configuration anew."""
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    callbacks = Callbacks(config)
    context = HydraContext(config_loader=loader, callbacks=callbacks)
    with _words_as_typed(list(sys.argv)):
        callbacks.on_run_start(config=config, config_name=app.name)
        done = run_job(_job_of(app), config, "hydra.run.dir", None, context)
        callbacks.on_run_end(config=config, config_name=app.name, job_return=done)
        _ = done.return_value


def run_hydra(app: Application, folder: Path, words: Sequence[str]) -> None:
    """Give words to Hydra as if they had been typed; the job's failure ends in `SystemExit`."""
    register_resolvers()
    program = sys.argv[0]
    with _words_as_typed([program, *words]), _failures_raised():
        decorate = hydra.main(
            config_path=str(folder), config_name=app.name, version_base=HYDRA_VERSION_BASE
        )
        # Of several jobs only the first alternatives were checked together.
        decorate(_job_of(app, checks=True))()


def _job_of(app: Application, checks: bool = False) -> Callable[[DictConfig], Any]:
    """Return the task with the messages and exit codes of the command."""
    program = sys.argv[0]

    def job(cfg: DictConfig) -> Any:
        # Lightning starts its other ranks with the words of this process: those of this job.
        sys.argv = [program, app.name, *HydraConfig.get().overrides.task]
        try:
            if checks:
                require_valid(cfg, app.name)
            return app.task(cfg)
        except Exception as error:
            code = report(_job_name(app, error), error, Path(HydraConfig.get().runtime.output_dir))
            raise SystemExit(code) from error

    return job


def _job_name(app: Application, error: Exception) -> str:
    """Return how to speak of the job that ended: in a multirun its number and what it tried."""
    config = HydraConfig.get()
    trial = current_trial()
    if trial is not None:
        tried = " ".join(config.overrides.task)
        return f"seglab {app.name}: trial {trial.number} ({tried}) {_how_it_ended(error)}"
    if config.mode != RunMode.MULTIRUN:
        return f"seglab {app.name}"
    tried = " ".join(config.overrides.task)
    return f"seglab {app.name}: job {config.job.num} ({tried}) failed, later jobs were not started"


def _how_it_ended(error: Exception) -> str:
    """Return a verb for a trial; whoever runs the study says what happens to the others."""
    ours = find_seglab_error(error)
    if isinstance(ours, TrialPrunedError):
        return "was pruned"
    return "was stopped" if ours is not None and ours.exit_code == INTERRUPTED else "failed"


@contextmanager
def _failures_raised() -> Iterator[None]:
    """Let errors out that Hydra would print with their traceback, such as of a folder it cannot make.

    Raises:
        ConfigError: Hydra does not understand the words or what they ask for.
    """
    former = hydra_internals.run_and_report
    hydra_internals.run_and_report = lambda func: func()
    try:
        yield
    except HydraException as error:
        # The cause says which value it was.
        lines = [str(one) for one in (error, error.__cause__) if one is not None]
        if find_seglab_error(error) is not None or place_error(error) is not None:
            raise
        raise ConfigError("\n".join(lines)) from error
    finally:
        hydra_internals.run_and_report = former


@contextmanager
def _words_as_typed(words: list[str]) -> Iterator[None]:
    former = sys.argv
    sys.argv = words
    try:
        yield
    finally:
        sys.argv = former
