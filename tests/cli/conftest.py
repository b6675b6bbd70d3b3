"""A command line in this process: words in, exit code and output back."""

from __future__ import annotations

import logging
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from seglab.cli import main as cli


@dataclass
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str


@dataclass
class Jobs:
    """A stand-in for the training: remembers what it was called with, fails when told to."""

    run_dirs: list[Path] = field(default_factory=list)
    configs: list[Any] = field(default_factory=list)
    words: list[list[str]] = field(default_factory=list)
    resumed: list[Path] = field(default_factory=list)
    failure: Callable[[Any], None] = lambda _cfg: None

    def train(self, cfg: Any, run_dir: Path, is_valid: bool) -> str:
        assert is_valid
        self.configs.append(cfg)
        self.run_dirs.append(run_dir)
        self.words.append(sys.argv[1:])
        logging.getLogger("seglab.test").info("training in %s", run_dir.name)
        logging.getLogger("other.package").info("chatter")
        self.failure(cfg)
        return "done"


@pytest.fixture
def seglab(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Callable[..., Answer]]:
    """Run `seglab WORDS` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("SEGLAB_DATA", "SEGLAB_CACHE", "SEGLAB_RUNS", "SEGLAB_TRACEBACK"):
        monkeypatch.delenv(name, raising=False)
    root, ours = logging.getLogger(), logging.getLogger("seglab")
    kept = root.handlers[:], root.level, ours.level

    def run(*words: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["seglab", *words])
        try:
            code = cli.run(list(words))
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    yield run
    # Hydra configures logging for the whole process.
    root.handlers[:], root.level = kept[0], kept[1]
    ours.setLevel(kept[2])


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Jobs:
    """Replace the training, which needs torch, by one that only remembers."""
    jobs = Jobs()
    launch = types.ModuleType("seglab.experiment.launch")
    launch.launch = jobs.train  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "seglab.experiment.launch", launch)
    folds = types.ModuleType("seglab.experiment.cross_validate")
    folds.resume_run = jobs.resumed.append  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "seglab.experiment.cross_validate", folds)
    return jobs
