from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.fixture
def evaluations(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Path]]:
    calls: list[tuple[Any, Path]] = []
    module = types.ModuleType("seglab.experiment.evaluate")
    module.evaluate = lambda cfg, run_dir, is_valid: calls.append((cfg, run_dir))  # type: ignore
    monkeypatch.setitem(sys.modules, "seglab.experiment.evaluate", module)
    return calls


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    run = tmp_path / "runs" / "demo" / "one"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / "best.ckpt").touch()
    (run / "run.json").touch()
    return run


def test_run_is_scored_on_its_own_data(
    seglab: Run, evaluations: list[tuple[Any, Path]], run_folder: Path
) -> None:
    answer = seglab("evaluate", "run=runs/demo/one", "data.split=test")

    assert answer.code == 0, answer.err
    ((cfg, run_dir),) = evaluations
    assert (cfg.data.importer, cfg.data.split, cfg.checkpoint) == ("run", "test", "best")
    assert run_dir.parent == run_folder.parent
    assert run_dir != run_folder


def test_run_is_scored_on_other_data(
    seglab: Run, evaluations: list[tuple[Any, Path]], run_folder: Path
) -> None:
    words = ["run=runs/demo/one", "data=camvid", f"data.root={run_folder}", "data.split=val"]
    assert seglab("evaluate", *words).code == 0
    cfg, _ = evaluations[0]

    assert (cfg.data.importer, cfg.data.split) == ("camvid", "val")


def test_mistakes_are_told(seglab: Run, evaluations: list[tuple[Any, Path]]) -> None:
    answer = seglab("evaluate", "run=nowhere", "data.splt=test", "checkpoint=first")

    assert answer.code == 2
    assert [line.split(":")[0].strip(" -") for line in answer.err.splitlines()[1:]] == [
        "run",
        "data.splt",
    ]
    assert evaluations == []
