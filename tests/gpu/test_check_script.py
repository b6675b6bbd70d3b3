"""The check of a GPU: what it carries, how it keeps to its time, and what it reports."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
# On every machine that has torch, Lightning, timm, OpenCV, onnxruntime and their own dependencies.
THERE = {
    *("torch", "torchvision", "pytorch-lightning", "torchmetrics", "timm", "numpy", "scipy"),
    *("scikit-learn", "pandas", "pyarrow", "jinja2", "pillow", "opencv-python-headless"),
    *("filelock", "matplotlib", "rich", "safetensors", "psutil", "fsspec"),
}
NOT_NEEDED = {"wandb"}


@pytest.fixture(autouse=True)
def _scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    yield
    for name in ("gpu_check", "gpu_wheels"):
        sys.modules.pop(name, None)


def _check(tmp_path: Path, **changes: Any) -> Any:
    import gpu_check

    words = {
        "out": tmp_path / "out",
        "device": "cpu",
        "quick": True,
        "wheels": None,
        "minutes": 9.0,
    }
    return gpu_check.Check(Namespace(**words | changes))


def test_all_dependencies_are_carried_or_there() -> None:
    import gpu_wheels

    content = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = {re.split(r"[><=!]", one)[0].lower() for one in content["project"]["dependencies"]}
    assert needed - {*gpu_wheels.NAMES} - THERE == NOT_NEEDED
    versions = gpu_wheels.pinned(gpu_wheels.NAMES)
    assert set(versions) <= {*(ROOT / "constraints.txt").read_text().split()}
    with pytest.raises(SystemExit, match=r"constraints.txt has no version of no-such-package"):
        gpu_wheels.pinned(["no-such-package"])


def test_missing_and_double_wheels_are_named(tmp_path: Path) -> None:
    import gpu_wheels

    for name in gpu_wheels.NAMES:
        (tmp_path / f"{name.replace('-', '_')}-1.0-py3-none-any.whl").touch()
    assert gpu_wheels.unexpected(tmp_path) == []
    (tmp_path / "optuna-1.0-py3-none-any.whl").unlink()
    (tmp_path / "Kornia-2.0-py3-none-any.whl").touch()
    assert gpu_wheels.unexpected(tmp_path) == ["optuna: no wheel", "kornia: several files"]


def test_wheels_that_would_replace_torch_are_refused(tmp_path: Path) -> None:
    import gpu_check

    (tmp_path / "nvidia_cudnn_cu13-9-py3-none-any.whl").touch()
    check, part = _check(tmp_path, wheels=tmp_path), gpu_check.Part("install")
    check.install(part)
    assert part.status == "failed"
    assert "nvidia_cudnn_cu13" in part.notes[0]
    assert not (tmp_path / "out" / "site").exists()


def test_a_part_that_is_cut_off_keeps_what_it_said(tmp_path: Path) -> None:
    import gpu_check

    check, part = _check(tmp_path), gpu_check.Part("tests")
    code, text = check.call(
        part, ["-c", "import time; print('begun', flush=True); time.sleep(60)"], 2.0
    )
    assert (code, part.status, text.strip()) == (-9, "cut off", "begun")


def test_time_that_is_not_used_goes_to_the_next_parts(tmp_path: Path) -> None:
    import gpu_check

    check = _check(tmp_path)
    # Nothing used yet: each has its share; the last has all that is left.
    assert check.seconds_for("install") == pytest.approx(
        540 * gpu_check.SHARES["install"], rel=0.01
    )
    assert check.seconds_for("bench") == pytest.approx(540, rel=0.01)


def test_one_bar_that_is_missed_fails_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gpu_check

    def good(check: Any, part: Any) -> None:
        part.bar(f"{part.name} works", 1.0, ">= 1", met=True)

    def cut(check: Any, part: Any) -> None:
        part.status = "cut off"

    for name in gpu_check.SHARES:
        monkeypatch.setattr(gpu_check.Check, name, good)
    assert _check(tmp_path).run() == 0
    monkeypatch.setattr(gpu_check.Check, "bench", cut)
    assert _check(tmp_path).run() == 1
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [bar["met"] for part in report["parts"] for bar in part["bars"]] == [True] * 4 + [False]
    text = (tmp_path / "out" / "report.md").read_text()
    assert "| tests works | 1.000 | >= 1 | met |" in text
    assert "| bench | cut off | done | **missed** |" in text
    assert "no figure here says how fast anything is" in text


def test_only_this_folder_needs_a_gpu() -> None:
    marked = re.compile(r"mark\.gpu\b")
    others = [path for path in (ROOT / "tests").rglob("test_*.py") if path.parent.name != "gpu"]
    assert len(others) > 100
    assert [path.name for path in others if marked.search(path.read_text())] == []
