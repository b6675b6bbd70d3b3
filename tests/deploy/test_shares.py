"""Shares of the files as processes, started here and by the launchers of sweeps."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seglab.core.errors import ConfigError
from seglab.deploy.predict.launch import Share, ShareError, run_shares, shares_of
from seglab.deploy.predict.options import PredictFilesOptions
from seglab.deploy.predict.run import predict_shares
from tests.bundle.tiny import write_tiny_bundle


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    write_tiny_bundle(tmp_path / "b c")
    rng = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for index in range(5):
        pixels = rng.integers(0, 256, (8, 9, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "in" / f"{index}.png")
    (tmp_path / "in" / "bad.png").write_bytes(b"bad")
    return {"bundle": "b c", "input": "in", "output": "out", "threads": 1}


def test_a_share_is_the_command_with_its_words(tmp_path: Path, given: dict[str, Any]) -> None:
    options = PredictFilesOptions(
        **given, shards=2, annotations=("coco", "masks"), launcher="ray", overlays=True
    )
    shares = shares_of(options)
    assert [share.words for share in shares] == [
        (
            f"bundle={tmp_path / 'b c'}",
            f"input={tmp_path / 'in'}",
            f"output={tmp_path / 'out'}",
            "overlays=true",
            'annotations=["coco", "masks"]',
            "threads=1",
            f"shard={number}/2",
        )
        for number in (1, 2)
    ]


@pytest.mark.parametrize(
    ("launcher", "options", "says"),
    [
        ("local", {"partition": "x"}, "the launcher local has none"),
        ("slurm", {"partitoin": "x"}, "did you mean 'partition'"),
        ("ray", {"jobs": 3}, "ray has no jobs"),
    ],
)
def test_options_that_the_launcher_does_not_have(
    given: dict[str, Any], launcher: Any, options: dict[str, Any], says: str
) -> None:
    wrong = PredictFilesOptions(**given, shards=2, launcher=launcher, launcher_options=options)
    with pytest.raises(ConfigError, match=says):
        run_shares(wrong, 6)


@pytest.mark.slow
def test_a_share_that_fails_says_why(tmp_path: Path) -> None:
    share = Share(("bundle=nothing", f"input={tmp_path}", "shard=1/2"), tmp_path / "log", tmp_path)
    with pytest.raises(ShareError, match=r"shard=1/2 ended with code 2: .*holds no images"):
        share()


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["local", "slurm", "ray"])
def test_launchers_do_all_files(
    given: dict[str, Any], launcher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {}
    if launcher == "slurm":
        pytest.importorskip("submitit")
        options = {"cluster": "local", "timeout_min": 5}
    if launcher == "ray":
        pytest.importorskip("ray")
        monkeypatch.setenv("RAY_raylet_start_wait_time_s", "180")
        options = {"address": None, "cpus_per_worker": 1}
    found = predict_shares(
        PredictFilesOptions(
            **given, shards=2, launcher=launcher, launcher_options=options, annotations=("coco",)
        )
    )
    assert (found.done, found.before, len(found.faults)) == (5, 0, 1)
    assert {path.stem for path in Path("out/masks").iterdir()} == set("01234")
    assert Path("out/annotations/coco").is_dir()
    assert len(list(Path("out/done").glob("?-of-2.jsonl"))) == 2
    assert not list(Path("out").glob("skipped-*"))


@pytest.mark.slow
def test_an_interrupted_call_keeps_what_is_done(given: dict[str, Any]) -> None:
    """Ctrl-C: exit code 130, and the same words do the rest."""
    for index in range(5, 2000):  # enough that the signal comes before the end, on any machine
        os.link("in/0.png", f"in/{index}.png")
    words = [f"{key}={value}" for key, value in given.items()]
    command = [sys.executable, "-u", "-m", "seglab.cli", "predict", *words]
    started = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    masks = Path("out/masks")
    while not (masks.is_dir() and len(list(masks.iterdir())) > 5):
        assert started.poll() is None
    started.send_signal(2)
    said = started.communicate(timeout=60)[1]
    assert started.returncode == 130, said
    assert "interrupted" in said
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "were done before" in done.stdout
    assert len(list(masks.iterdir())) == 2000
    assert not list(masks.glob(".*"))
