"""`seglab train`: one training, a grid of trainings, or a run taken up again."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglab.cli.base.application_help import asks_for_help, print_help
from seglab.cli.base.reporting import INTERRUPTED, find_seglab_error
from seglab.core.errors import ConfigError, SeglabError
from seglab.core.parts.plugins import name_packages
from seglab.core.text.shell import shell_command

if TYPE_CHECKING:
    from omegaconf import DictConfig

SUMMARY = "Train a model, measure it and keep a record of the run."
EXAMPLES = (
    ("seglab train experiment=demo", "a first run on drawn scenes, no download"),
    ("seglab train data=camvid data.root=DIR model=unet", "your data, another model"),
    ("seglab train -m seed=0,1,2 model=unet,segnet", "every combination, one after the other"),
    ("seglab train resume=runs/demo/RUN_ID", "take a run up where it stopped"),
    ("seglab train resume=RUN_DIR trainer.max_epochs=40", "go on with a finished run"),
    ("seglab train debug=fdr", "two batches, to see that it runs"),
    ("seglab train --cfg job", "print the configuration, do nothing"),
)

_LENGTH = "trainer.max_epochs="
_PLUGINS = "plugins="
_NONE = ("null", "none", "None", "")


class _StoppedError(SeglabError):
    exit_code = INTERRUPTED


def run(argv: Sequence[str]) -> int:
    """Run the command and return the exit code.

    Raises:
        ConfigError: The words are wrong.
    """
    if asks_for_help(argv):
        return print_help("train", argv, SUMMARY, EXAMPLES)
    from seglab.cli.base.application import Application, read_words, run_application

    args = read_words(argv, "train")
    if args.shell_completion:
        from seglab.cli import completion

        return completion.run(args.overrides)
    resumed = resumed_run(args)
    if resumed is not None:
        with _told_how_to_go_on(resumed[0]):
            _take_up(*resumed)
        return 0
    return run_application(Application("train", _train), args, argv)


def _take_up(run_dir: Path, max_epochs: int | None) -> None:
    if max_epochs is None:
        from seglab.experiment.cross_validate import resume_run

        resume_run(run_dir)
    else:
        from seglab.experiment.train import resume

        resume(run_dir, max_epochs=max_epochs)


def resumed_run(args: argparse.Namespace) -> tuple[Path, int | None] | None:
    """Return the run directory behind `resume=`, or None where a new run is asked for.

    Beside it stands the new length of the run, where `trainer.max_epochs=` gives one.

    Raises:
        ConfigError: Other words stand beside them, or there is no run.
    """
    words = [word for word in args.overrides if word.lstrip("+").startswith("resume=")]
    values = [_path_of(word.partition("=")[2]) for word in words]
    if not words or values[-1] in _NONE:
        return None
    lengths = [word for word in args.overrides if word.startswith(_LENGTH)]
    named = [word for word in args.overrides if word.lstrip("+").startswith(_PLUGINS)]
    others = [word for word in args.overrides if word not in (*words, *lengths, *named)]
    others += [f"--{flag}" for flag in ("multirun", "cfg", "info") if getattr(args, flag)]
    problems = [
        f"resume: a resumed run keeps its own configuration, but for {_LENGTH}N and "
        f"{_PLUGINS}[PACKAGE]; remove {word}"
        for word in others
    ]
    max_epochs = lengths[-1].removeprefix(_LENGTH) if lengths else None
    if max_epochs is not None and not (max_epochs.isdecimal() and int(max_epochs)):
        problems.append(f"{_LENGTH[:-1]}: expected a whole number of epochs, got '{max_epochs}'")
    if len(values) > 1:
        problems.append(f"resume: expected one run directory, got {', '.join(values)}")
    run_dir = Path(values[-1]).expanduser()
    if not (run_dir / "run.json").is_file():
        problems.append(f"resume: expected a run directory (it holds a run.json), got '{run_dir}'")
    if problems:
        raise ConfigError(problems)
    _name_packages(named)
    return run_dir, int(max_epochs) if max_epochs else None


def _name_packages(words: Sequence[str]) -> None:
    from seglab.config.language.grammar import read_value

    for word in words:
        value = read_value(word.partition("=")[2])
        name_packages(map(str, value if isinstance(value, list) else [value]))


def _path_of(text: str) -> str:
    """Return the path behind `resume=`, typed as it is or in the quotes of Hydra's grammar."""
    if Path(text).expanduser().exists():
        return text
    from seglab.config.language.grammar import read_value

    try:
        return str(read_value(text))
    except ConfigError:
        return text


def _train(cfg: DictConfig) -> Any:
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    from seglab.experiment.launch import launch

    hydra = HydraConfig.get()
    run_dir = Path(hydra.runtime.output_dir)
    # A job of a grid whose process died is started again in its old place.
    if (run_dir / "run.json").is_file() and not OmegaConf.is_missing(hydra.job, "num"):
        from seglab.core.trial import current_trial
        from seglab.experiment.launch import resume_job

        if current_trial() is None:
            return resume_job(run_dir)
    # What a search asks for is no setting of the trainings in it.
    cfg = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "study"])
    with _told_how_to_go_on(run_dir):
        return launch(cfg, run_dir=run_dir, is_valid=True)


@contextmanager
def _told_how_to_go_on(run_dir: Path) -> Iterator[None]:
    """Say, where a run was asked to stop, how it is taken up; a study takes up its trials itself."""
    from seglab.core.trial import current_trial

    try:
        yield
    except Exception as error:
        ours = find_seglab_error(error)
        if ours is None or ours.exit_code != INTERRUPTED or current_trial() is not None:
            raise
        command = shell_command("seglab", "train", f"resume={run_dir}")
        raise _StoppedError(f"{ours}; go on with: {command}") from error
