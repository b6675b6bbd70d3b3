"""`seglab evaluate`: scores a run on a split of its own data, or on other data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglab.cli.base.application_help import asks_for_help, print_help

if TYPE_CHECKING:
    from omegaconf import DictConfig

SUMMARY = "Score a run and keep a record of it."
EXAMPLES = (
    ("seglab evaluate run=runs/demo/RUN_ID", "on the validation split of the run's own data"),
    ("seglab evaluate run=RUN_DIR data.split=test", "on its test split"),
    ("seglab evaluate run=RUN_DIR data=camvid data.root=DIR data.split=val", "on other data"),
    ("seglab evaluate run=RUN_DIR checkpoint=last", "the last weights instead of the best"),
)


def run(argv: Sequence[str]) -> int:
    """Run the command and return the exit code.

    Raises:
        ConfigError: The words are wrong.
    """
    if asks_for_help(argv):
        return print_help("evaluate", argv, SUMMARY, EXAMPLES)
    from seglab.cli.base.application import Application, read_words, run_application

    args = read_words(argv, "evaluate")
    if args.shell_completion:
        from seglab.cli import completion

        return completion.run(args.overrides)
    return run_application(Application("evaluate", _evaluate), args, argv)


def _evaluate(cfg: DictConfig) -> Any:
    from hydra.core.hydra_config import HydraConfig

    from seglab.experiment.evaluate import evaluate

    return evaluate(cfg, Path(HydraConfig.get().runtime.output_dir), is_valid=True)
