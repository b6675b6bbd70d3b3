"""The commands of `seglab`, by name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """One command: where its `run(argv) -> int` is, and a line for the help."""

    module: str
    summary: str


COMMANDS = {
    "train": Command("seglab.cli.train", "train a model; a grid of them with -m"),
    "evaluate": Command("seglab.cli.evaluate", "score a run on a split or on other data"),
    "compare": Command("seglab.cli.compare", "tell whether one run is better than another"),
    "report": Command("seglab.cli.report", "write an HTML page about runs"),
    "cv": Command("seglab.cli.cv", "join folds that were trained one by one"),
    "metrics": Command("seglab.cli.metrics", "explain scores; tell whether more data would help"),
    "wandb": Command("seglab.cli.wandb", "upload runs that were recorded offline"),
    "data": Command("seglab.cli.data", "describe, import, draw and preview data sets"),
    "doctor": Command("seglab.cli.doctor", "check this machine and what is installed"),
}
