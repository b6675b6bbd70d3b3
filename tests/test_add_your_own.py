"""Every example of docs/add-your-own.md works: its words are sound, and all of its parts train together."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from seglab.config.compose import compose
from seglab.config.overrides import check_overrides
from seglab.core.parts.kinds import KINDS
from seglab.core.parts.plugins import ENV_PLUGINS
from seglab.experiment.evaluate import evaluate
from seglab.experiment.train import train
from seglab.runs import RunRecord
from seglab.testing import AugmentContract, MetricContract, ModelContract, OptimizerContract
from seglab.testing.optim import ScheduleContract
from tests.pages.blocks import ROOT, blocks

PAGE = "docs/add-your-own.md"
COMMANDS = [words for block in blocks("bash", page=PAGE) for words in block.commands()]


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """All examples of the page in one file `mine.py`, beside a tiny data set."""
    folder = tmp_path_factory.mktemp("own")
    code = [block.code for block in blocks("python", page=PAGE)]
    (folder / "mine.py").write_text("\n\n".join(code), encoding="utf-8")
    (folder / "DIR").mkdir()
    (folder / "RUN_DIR" / "checkpoints").mkdir(parents=True)
    for name in ("run.json", "checkpoints/best.ckpt"):
        (folder / "RUN_DIR" / name).touch()
    rng = np.random.default_rng(0)
    for number in range(6):
        mask = np.zeros((48, 64), np.uint8)
        mask[10:30, 8 * number : 8 * number + 20] = 1
        image = rng.integers(0, 60, (48, 64, 3), dtype=np.uint8) + 150 * mask[..., None]
        Image.fromarray(image).save(folder / "DIR" / f"{number}.png")
        Image.fromarray(mask).save(folder / "DIR" / f"{number}_mask.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        patch.setenv(ENV_PLUGINS, "")
        yield importlib.import_module("mine")
        sys.modules.pop("mine", None)


def test_every_kind_has_an_example() -> None:
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    titles = [title.lower() for title in re.findall(r"^## (.*)$", page, flags=re.MULTILINE)]
    known = {"importer": "data set", "pruner": "sampler"}
    hidden = {"search_part", "conditional"}
    missing = [
        kind.title
        for name, kind in KINDS.items()
        if name not in hidden
        and known.get(name, kind.title).replace("scheduler", "schedule") not in titles
    ]
    assert not missing, f"add a section to docs/add-your-own.md for: {', '.join(missing)}"


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words[2:4]))
def test_command_is_sound(words: list[str], mine: ModuleType) -> None:
    overrides = [word for word in words[2:] if word != "-m"]
    app = "evaluate" if words[1] == "evaluate" else "train"
    assert check_overrides(app, overrides, multirun="-m" in words).problems == []


def test_examples_keep_the_contracts(mine: ModuleType) -> None:
    facts = {"stride": 2, "min_size": 2, "encoder": "stem"}
    ModelContract.check(mine.Net, facts=facts)
    mine.TestConfident.check(mine.TestConfident().build)
    OptimizerContract.check(mine.Sign)
    ScheduleContract.check(mine.Staircase)
    AugmentContract.check(lambda: mine.flip_rows)
    MetricContract.check(lambda: mine.kappa, perfect=1.0)


@pytest.mark.slow
def test_all_parts_train_together(
    mine: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainings = [words for words in COMMANDS if words[1] == "train" and "-m" not in words]
    typed = [word for words in trainings for word in words[2:]]
    # Of two optimizers the page's own.
    typed = [word for word in typed if "RAdam" not in word]
    small = [
        "data.crop_size=[32,32]",
        "data.batch_size=2",
        "trainer.max_epochs=1",
        "trainer.num_workers=0",
        "trainer.num_threads=1",
        "trainer.accelerator=cpu",
        "callbacks.progress=off",
        "callbacks.overlays.num_images=0",
        "metrics.train_images=0",
        "logger=none",
        f"paths.data_dir={tmp_path / 'data'}",
        f"paths.cache_dir={tmp_path / 'cache'}",
    ]
    result = train(compose([*dict.fromkeys(typed), *small]), tmp_path / "run", Console(quiet=True))
    assert result.status == "finished"
    assert -1 <= RunRecord.open(tmp_path / "run").read()["metrics"]["val/kappa"] <= 1
    assert re.fullmatch(r"norm of the weights \d+\.\d\d\n", capsys.readouterr().out)

    words = next(words for words in COMMANDS if words[1] == "evaluate")[3:]
    cfg = compose([f"run={tmp_path / 'run'}", *words, "suite=scores", *small[-2:]], "evaluate")
    scores = evaluate(cfg, tmp_path / "smooth", Console(quiet=True)).metrics
    assert 0 <= scores["val/miou"] != result.metrics["val/miou"]
