"""A configuration is composed once and validated once on its way from the words to the training."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import hydra
import pytest
from hydra.types import RunMode
from omegaconf import OmegaConf

from seglab.cli.base.application import job_config
from seglab.config.composer import open_composer
from seglab.config.overrides import check_overrides
from tests import training

TINY = [
    *training.TINY,
    "trainer.max_epochs=1",
    "trainer.limit_train_batches=1",
    "trainer.limit_val_batches=1",
    "trainer.accelerator=cpu",
    "metrics.baseline=false",
    "logger=none",
]
# Notes each composition and each validation, also of processes that are started on the way: Python
# imports `sitecustomize` in all of them.
COUNTER = """
import importlib.util, os, sys

class Finder:
    wanted = {
        "hydra._internal.config_loader_impl": ("ConfigLoaderImpl", "_load_configuration_impl", "composed"),
        "seglab.config.validate": (None, "find_problems", "validated"),
    }
    busy = False

    def find_spec(self, name, path=None, target=None):
        if name not in self.wanted or self.busy:
            return None
        self.busy = True
        spec = importlib.util.find_spec(name)
        self.busy = False
        owner, function, word = self.wanted[name]
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            place = getattr(module, owner) if owner else module
            real = getattr(place, function)

            def noted(*args, **kwargs):
                with open(os.environ["COUNTS"], "a") as stream:
                    stream.write(f"{word} {os.getpid()}\\n")
                return real(*args, **kwargs)

            setattr(place, function, noted)

        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Finder())
"""


def noted(folder: Path, *words: str) -> list[tuple[str, str]]:
    """Run `seglab train`; return what was done to configurations, and in which process."""
    site, log = folder / "site", folder / "counts"
    site.mkdir()
    (site / "sitecustomize.py").write_text(COUNTER)
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    command = [sys.executable, "-m", "seglab.cli", "train", *TINY, f"paths.runs_dir={folder}"]
    done = subprocess.run(
        [*command, *words],
        env={**os.environ, "COUNTS": str(log), "PYTHONPATH": os.pathsep.join([str(site), *known])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [(word, pid) for word, pid in map(str.split, log.read_text().splitlines())]


def counts(lines: list[tuple[str, str]]) -> tuple[int, int]:
    done = Counter(word for word, _ in lines)
    return done["composed"], done["validated"]


def test_shown_configuration(tmp_path: Path) -> None:
    assert counts(noted(tmp_path, "--cfg", "job")) == (1, 1)


@pytest.mark.slow
def test_training(tmp_path: Path) -> None:
    assert counts(noted(tmp_path)) == (1, 1)


@pytest.mark.slow
def test_cross_validation_with_the_processes_of_its_folds(tmp_path: Path) -> None:
    lines = noted(tmp_path, "cv=grouped", "cv.folds=2", "cv.workers=2")
    assert len(list(tmp_path.glob("**/folds/*/run.json"))) == 2
    assert counts(lines) == (1, 1)


@pytest.mark.slow
def test_trials_are_composed_by_the_study_and_validated_by_themselves(tmp_path: Path) -> None:
    study_words = ["study=default", "study.n_trials=2", "optimizer.lr=interval(0.001,0.01)"]
    lines = noted(tmp_path, "-m", *study_words)
    records = [json.loads(path.read_text()) for path in tmp_path.glob("**/run.json")]
    trials = [str(record["pid"]) for record in records if record["kind"] == "trial"]
    of_trials = [[one for one in lines if one[1] == pid] for pid in trials]
    assert [counts(own) for own in of_trials] == [(0, 1)] * 2


@pytest.mark.parametrize(
    "words",
    [
        ["model=segnet_basic", "model.width=4", "seed=3", "+tags=[a,b]", "~model.dropout"],
        ["experiment=demo", "optimizer=sgd", "++optimizer.options.momentum=0.5", "logger=none"],
        ["debug=fdr", "hydra.run.dir=/tmp/there", "hydra.job.chdir=true", "run_name='a, b'"],
    ],
    ids=" ".join,
)
def test_job_is_what_hydra_would_compose(words: list[str]) -> None:
    checked = check_overrides("train", words)
    assert not checked.problems
    job = job_config(checked)
    assert job is not None
    with open_composer("train"):
        wanted = hydra.compose("train", checked.overrides, return_hydra_config=True)
    wanted.hydra.mode = RunMode.RUN
    # What each composition makes anew is left unresolved: the id of the run.
    left, right = (OmegaConf.to_container(one, resolve=False) for one in (job, wanted))
    for node in (left["hydra"], right["hydra"]):
        # Where each was composed from; the check names the same folders.
        node.pop("runtime")
    assert left == right
    assert OmegaConf.is_struct(job)
    assert OmegaConf.is_readonly(job.hydra)
