"""The commands of `seglab`, each once; help and tab completion follow from here."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType


@dataclass(frozen=True)
class Command:
    """One command.

    Args:
        module: Holds its `run(argv) -> int`, and `build_parser()` where its words are flags.
        summary: A line for the help.
    """

    module: str
    summary: str

    def load(self) -> ModuleType:
        """Import the module, which imports what is heavy only when it runs."""
        return importlib.import_module(self.module)


COMMANDS = {
    "train": Command("seglab.cli.runs.train", "train a model; a grid of them with -m"),
    "evaluate": Command("seglab.cli.runs.evaluate", "score a run on a split or on other data"),
    "predict": Command(
        "seglab.cli.production.predict", "predict files, folders and videos with a bundle"
    ),
    "compare": Command("seglab.cli.runs.compare", "tell whether one run is better than another"),
    "report": Command("seglab.cli.runs.report", "write an HTML page about runs"),
    "cv": Command("seglab.cli.runs.cv", "join folds that were trained one by one"),
    "metrics": Command(
        "seglab.cli.runs.metrics", "explain scores; tell whether more data would help"
    ),
    "wandb": Command("seglab.cli.runs.wandb", "upload runs that were recorded offline"),
    "export": Command("seglab.cli.production.export", "write a run as a bundle that proves itself"),
    "registry": Command(
        "seglab.cli.production.registry", "promote bundles, roll back, tell who answered when"
    ),
    "retrain": Command(
        "seglab.cli.production.retrain", "train the champion anew; promote what is no worse"
    ),
    "data": Command("seglab.cli.data", "describe, import, draw and preview data sets"),
    "serve": Command("seglab.cli.production.serve", "serve a bundle over HTTP"),
    "monitor": Command("seglab.cli.monitor", "watch a model in service by its log of requests"),
    "review": Command("seglab.cli.review", "choose what to label next, and take the labels back"),
    "new": Command("seglab.cli.new", "write a project with a model, loss and data of your own"),
    "doctor": Command("seglab.cli.doctor", "check this machine and what is installed"),
}
