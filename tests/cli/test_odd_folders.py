"""Every command works where folders have names that Hydra, a shell or a pattern takes for more."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from seglab.config.language.grammar import literal_word
from seglab.runs import RunRecord
from tests.cli.conftest import Jobs

Run = Callable[..., Any]
# An accent of its own (NFD), and signs of Hydra's grammar, bash, patterns, formats and markup.
ODD = ("My Dri\u0308ve (1)", "v=2, new: #&'\";!~[x]{y}$z%d", "-x")


@pytest.fixture
def odd(seglab: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of such a name, in which we are."""
    place = tmp_path.joinpath(*ODD)
    place.mkdir(parents=True)
    monkeypatch.chdir(place)
    return place


def _make(run_dir: Path) -> RunRecord:
    record = RunRecord.create(
        run_dir,
        experiment="e",
        kind="train",
        config={"model": {"arch": run_dir.name}},
        config_yaml="",
        main_split="val",
        git={},
        packages={},
        dataset_fingerprint="f",
        wandb={"id": "r1", "mode": "offline", "url": None},
    )
    rows = [
        {"sample_id": f"i{n}", "split": "val", "tp": [9, n], "fp": [1, 1], "fn": [1, 1]}
        for n in range(12)
    ]
    record.write_per_image(pd.DataFrame(rows))
    record.set_metrics({"val/miou": 0.8, "val/iou/road": 0.8, "val/iou/car": 0.8})
    record.finish("finished")
    return record


@pytest.fixture
def run_dir(odd: Path) -> Path:
    """One of two finished runs in it."""
    _make(odd / "runs" / "e" / "r2")
    record = _make(odd / "runs" / "e" / "r1")
    segment = record.run_dir / "wandb" / "offline-run-20250101_000000-r1"
    segment.mkdir(parents=True)
    (segment / "run-r1.wandb").touch()
    return record.run_dir


def test_records_are_read_wherever_they_lie(seglab: Run, run_dir: Path) -> None:
    answer = seglab("compare", "e/*", "--runs-dir", str(run_dir.parents[1]))
    assert answer.code == 0, answer.err
    assert seglab("report", str(run_dir), "-o", "p'#[1].html").code == 0
    assert Path("p'#[1].html").is_file()
    assert seglab("metrics", "explain", str(run_dir)).code == 0
    for words in ([], [str(run_dir)]):
        answer = seglab("wandb", "sync", "--dry-run", *words)
        assert (answer.code, "1 runs would be uploaded" in answer.out) == (0, True)
    answer = seglab("cv", "collect", str(run_dir))
    assert (answer.code, "none of these runs is a fold" in answer.err) == (2, True)


def test_a_run_is_named_in_any_way(seglab: Run, jobs: Jobs, run_dir: Path) -> None:
    # As it is, as a shell completes it; or in the quotes of Hydra's grammar, as other words are.
    for word in (f"resume={run_dir}", "resume=runs/e/r1", literal_word("resume", run_dir)):
        assert seglab("train", word).code == 0
    assert [path.absolute() for path in jobs.resumed] == [run_dir] * 3
    (run_dir / "checkpoints" / "best.ckpt").touch()
    answer = seglab("evaluate", "--cfg", "job", literal_word("run", run_dir))
    assert answer.code == 0, answer.err
    assert yaml.safe_load(answer.out)["run"] == str(run_dir)
    answer = seglab("evaluate", f"run={run_dir}")
    assert answer.code == 2
    (line,) = answer.err.splitlines()[1:]
    (word,) = shlex.split(line.partition("as text it is typed ")[2])
    assert word == literal_word("run", run_dir)


def test_trainings_lie_where_the_folder_is(seglab: Run, jobs: Jobs, odd: Path) -> None:
    words = ("data.root=null", "experiment_name=e", "data=synth")
    assert seglab("train", *words).code == 0
    assert seglab("train", *words, literal_word("paths.runs_dir", odd / "r [2]")).code == 0
    assert [path.parent for path in jobs.run_dirs] == [odd / "runs" / "e", odd / "r [2]" / "e"]
    assert str(jobs.configs[1].paths.runs_dir) == str(odd / "r [2]")


def test_data_lies_anywhere(seglab: Run, odd: Path) -> None:
    size = ("--num-images", "8", "--image-size", "48", "48", "--option", "frames_per_group=1")
    answer = seglab("data", "synth", str(odd / "s"), *size)
    assert answer.code == 0, answer.err
    for place in (str(odd / "s" / "manifest"), "s/manifest"):
        answer = seglab("data", "describe", place)
        assert answer.code == 0, answer.err
    answer = seglab("data", "describe", "synth", "--root", "s/data")
    assert "s/data holds a synth data set with other options" in answer.err
    for kind, name in ((kind, f"{n}.png") for kind in ("images", "masks") for n in range(8)):
        pixels = np.random.default_rng(int(name[0])).integers(0, 2, (48, 48), np.uint8)
        (odd / "r" / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels * (255 if kind == "images" else 1)).save(odd / "r" / kind / name)
    answer = seglab(
        "data", "import", "folder", "r", "--out", "m", "--option", "class_names=[ground,thing]"
    )
    assert answer.code == 0, answer.err
