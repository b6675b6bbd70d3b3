"""Retraining: what is promoted, what is not, and that a killed one goes on."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from seglab.cli.main import run as seglab
from seglab.config.compose import compose
from seglab.core.errors import ConfigError
from seglab.deploy.export.bundling import export
from seglab.deploy.options import ExportOptions
from seglab.deploy.registry.registry import Registry
from seglab.deploy.retrain.options import RetrainOptions
from seglab.deploy.retrain.retrain import NOT_PROMOTED, NOTHING_NEW, PROMOTED, retrain
from seglab.experiment.train import train
from seglab.runs.locate import find_runs
from tests import training
from tests.deploy.retrain_data import drawn, with_broken_masks, with_images_of, with_swapped_labels

pytestmark = pytest.mark.slow
QUIET = Console(quiet=True)
KILLS = Path(__file__).with_name("retrain_kills.py")
STRONG = ("trainer.max_epochs=12", "optimizer.lr=0.01")
WEAK = ("trainer.max_epochs=1",)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weak champion, a frozen holdout of 12 images, and new data."""
    folder = tmp_path_factory.mktemp("world")
    drawn(folder / "holdout", seed=5, images=16, test=0.75)
    drawn(folder / "new", seed=7)
    words = [*training.TINY, *WEAK, "trainer.accelerator=cpu", "logger=none"]
    places = [f"paths.data_dir={folder / 'data'}", f"paths.cache_dir={folder / 'cache'}"]
    done = train(compose([*words, *places]), folder / "runs" / "synth" / "first", QUIET)
    chosen = {"run": str(done.run_dir), "output": str(folder / "bundle"), "int8": False}
    registry = Registry(folder / "models")
    registry.promote(registry.add(export(ExportOptions.read(chosen), QUIET)))
    return folder


Retrain = Callable[..., Any]


@pytest.fixture
def again(world: Path, tmp_path: Path) -> Retrain:
    """Retrain in a copy of the registry."""
    shutil.copytree(world / "models", tmp_path / "models")
    return lambda **words: retrain(options(world, tmp_path / "models", **words), QUIET)


def options(world: Path, registry: Path, **words: Any) -> RetrainOptions:
    chosen = {"registry": str(registry), "runs_dir": str(world / "runs"), "int8": False}
    chosen |= {"holdout": str(world / "holdout/manifest"), "data": str(world / "new/manifest")}
    return RetrainOptions.read({**chosen, **words})


def test_promotes_a_better_one_and_neither_a_worse_nor_a_poisoned_one(
    again: Retrain, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = Registry(tmp_path / "models")
    first = registry.aliases["champion"]
    guard = ["class:sky", "class:road"]
    outcome = again(start="scratch", overrides=STRONG, guard=guard, max_latency_ms=60_000.0)
    assert outcome.verdict == PROMOTED, outcome.text
    second = registry.aliases["champion"]
    assert registry.aliases == {"champion": second, "previous": first, "challenger": None}
    assert second != first
    told = json.loads((outcome.report.parent / "retrain.json").read_text())
    assert told["duel"]["difference"] > 0.02
    assert [one["name"] for one in told["decision"]["conditions"]] == ["mIoU", *guard, "latency"]
    assert all(one["met"] for one in told["decision"]["conditions"])
    assert again(start="scratch").verdict == NOTHING_NEW

    newer = drawn(tmp_path / "newer", seed=11)
    told_words = options(world, registry.folder).to_dict()
    words = [f"{key}={told_words[key]}" for key in ("registry", "runs_dir", "holdout")]
    words += [f"data={newer}", "start=scratch", f"overrides={WEAK[0]}", "int8=false"]
    assert seglab(["retrain", *words]) == 3
    assert "not promoted: mIoU" in capsys.readouterr().out
    assert registry.aliases["champion"] == second
    entries = registry.entries()
    assert [one.what for one in entries[-3:]] == ["challenges", "compared", "refused"]
    assert [one.details["use"] for one in entries if one.what == "compared"] == [1, 2]
    page = next(registry.folder.glob(f"retrain/{entries[-1].details['key']}/retrain.md"))
    assert "used 1 time before" in page.read_text()
    # The configuration is that of the first run again, whatever the champion's words were.
    assert "configuration of: `" + str(world / "runs/synth/first") in page.read_text()
    # The same words again: the same answer, and nothing is done twice.
    count = len(find_runs(world / "runs"))
    assert seglab(["retrain", *words]) == 3
    assert (len(registry.entries()), len(find_runs(world / "runs"))) == (len(entries), count)
    # Every class of the new labels is taken for the next one: the gate sees what no audit of files can.
    data = drawn(tmp_path / "poisoned", seed=13)
    with_swapped_labels(data, data)
    outcome = again(data=str(data), lr_factor=1.0, overrides=STRONG, max_renamed=None)
    assert outcome.verdict == NOT_PROMOTED
    assert outcome.text.startswith("not promoted: mIoU")
    assert registry.aliases["champion"] == second


def test_trains_nothing_on_spoilt_data(again: Retrain, world: Path, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "models")
    champion, count = registry.aliases["champion"], len(find_runs(world / "runs"))
    broken = drawn(tmp_path / "broken", seed=17)
    with_broken_masks(broken, 3)
    outcome = again(data=str(broken))
    assert outcome.verdict == NOT_PROMOTED
    assert "audit: corrupt_mask in 3 samples" in outcome.text
    assert "audit: 1 faulty sample in quarantine, not trained on" in outcome.report.read_text()
    leaking = drawn(tmp_path / "leaking", seed=19)
    with_images_of(leaking, world / "holdout/manifest", leaking)
    outcome = again(data=str(leaking))
    assert outcome.verdict == NOT_PROMOTED
    assert "holdout: 1 image of train and val is in it or nearly so" in outcome.text
    assert len(find_runs(world / "runs")) == count
    assert registry.aliases["champion"] == champion
    assert [one.what for one in registry.entries()[-2:]] == ["refused", "refused"]
    assert not [one for one in registry.entries() if one.what == "compared"]


def test_words_that_do_not_go_together(again: Retrain, world: Path, tmp_path: Path) -> None:
    for words, said in (
        ({"overrides": ["trainer.max_epoch=3", "optimizer.lr=-1"]}, "max_epoch.*\n.*lr"),
        ({"guard": ["class:sea", "night"]}, "no class 'sea'.*\n.*expected class:NAME or tag:NAME"),
        ({"runs_dir": str(tmp_path)}, "give runs_dir=DIR, or run=RUN_DIR"),
        ({"audit": ["erorr"]}, "no kind 'erorr'"),
    ):
        with pytest.raises(ConfigError, match=said):
            again(**words)
    registry = Registry(tmp_path / "models")
    before = registry.entries()
    registry.note("compared", "b", "", {"holdout": "another", "images": 9, "key": "", "use": 1})
    with pytest.raises(ConfigError, match="not the frozen ones"):
        again()
    planned = again(new_holdout=True, dry_run=True)
    assert "optimizer.lr: 0.001 -> 0.0001" in planned.text
    assert len(registry.entries()) == len(before) + 1
    assert not (registry.folder / "retrain").exists()


def test_killed_at_every_step_it_goes_on(world: Path, tmp_path: Path) -> None:
    registry = shutil.copytree(world / "models", tmp_path / "models")
    runs = shutil.copytree(world / "runs", tmp_path / "runs")
    before = len(find_runs(runs))
    chosen = options(world, registry, start="scratch", overrides=STRONG, runs_dir=str(runs))
    words = [sys.executable, str(KILLS), json.dumps(chosen.to_dict())]
    kills = json.loads(subprocess.check_output(words, text=True).splitlines()[-1])
    assert kills == ["run", "checkpoint", "bundle", "challenger", "decision"]
    found = Registry(registry)
    assert len(find_runs(runs)) == before + 1
    whats = [one.what for one in found.entries()][3:]
    assert whats == ["added", "challenges", "compared", "promoted"]
    assert found.problems() == []
