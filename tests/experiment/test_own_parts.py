"""Parts of one's own, from a fresh folder, with seglab from its wheel: train, resume, search, evaluate."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
LAB = Path(__file__).parent / "own_lab"
MAIN = "import sys; sys.argv[0] = 'seglab'; from seglab.cli.main import main; sys.exit(main())"
RADAM = "optimizer._target_=torch.optim.RAdam"

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """seglab as its wheel holds it, unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True, timeout=300)
    (file,) = folder.glob("*.whl")
    zipfile.ZipFile(file).extractall(folder / "installed")
    return folder / "installed"


@pytest.fixture
def start(tmp_path: Path, wheel: Path) -> Start:
    """Start `seglab` in a folder of one's own, with that package first on the path."""
    shutil.copytree(LAB, tmp_path, dirs_exist_ok=True)
    rng = np.random.default_rng(0)
    for index in range(10):
        mask = np.zeros((32, 32), np.uint8)
        mask[8:20, index : index + 10] = 1
        image = rng.integers(0, 120, (32, 32, 3)).astype(np.uint8)
        image[mask == 1] += 100
        for folder, array in (("img", image), ("ann", mask)):
            (tmp_path / "raw" / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(tmp_path / "raw" / folder / f"{index}.png")
    environment = {**os.environ, "PYTHONPATH": str(wheel), "OMP_NUM_THREADS": "1"}
    environment.pop("SEGLAB_PLUGINS", None)

    def run(*words: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-P", "-c", MAIN, *words],
            cwd=tmp_path,
            env={**environment, **variables},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    return run


def done(process: subprocess.Popen[str], code: int = 0) -> str:
    out, _ = process.communicate(timeout=500)
    assert process.returncode == code, out
    return out


def weights(run: Path) -> dict[str, torch.Tensor]:
    content = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    state: dict[str, torch.Tensor] = content["state_dict"]
    return state


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_own_parts_train_resume_search_and_are_evaluated(start: Start, tmp_path: Path) -> None:
    train = ("train", "experiment=mine", RADAM)
    done(start(*train, "paths.runs_dir=whole"))
    (whole,) = (tmp_path / "whole" / "mine").iterdir()
    record = json.loads((whole / "run.json").read_text())
    assert record["packages"]["seglab"] != "not installed"
    assert {"val/accuracy", "val/f1", "test/accuracy"} <= set(record["metrics"])
    assert (whole / "steps.txt").read_text() == "9"
    origin = record["plugins"]["mylab.TinyNet"]
    assert origin["file"] == str(tmp_path / "mylab.py")
    assert len(origin["sha256"]) == 64

    # Killed in the middle, taken up again: the same bits, and the callback goes on counting.
    killed = start(*train, "paths.runs_dir=killed", "callbacks.extra.count.pause_s=1")
    end = time.monotonic() + 300
    while not (saved := list((tmp_path / "killed").glob("mine/*/checkpoints/last.ckpt"))):
        assert time.monotonic() < end
        assert killed.poll() is None
        time.sleep(0.1)
    time.sleep(1.5)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    run = saved[0].parents[1]
    assert "'mylab' is not named on this machine" in done(start("train", f"resume={run}"), 2)
    assert "the code has changed" not in done(start("train", f"resume={run}", "plugins=[mylab]"))
    state = weights(run)
    assert all(torch.equal(value, state[name]) for name, value in weights(whole).items())
    assert (run / "steps.txt").read_text() == "9"

    # A study over an option of the model and one of the loss.
    study = ("-m", "study=default", "study.n_trials=4", "trainer.max_epochs=1", "study.test=false")
    space = ("model.width=choice(4,8)", "loss.terms.mine.power=interval(1,2)")
    done(start(*train, "paths.runs_dir=searched", *study, *space))
    folder = tmp_path / "searched" / "mine" / "default" / "trials"
    trials = [one for one in folder.iterdir() if one.is_dir()]
    assert [json.loads((one / "run.json").read_text())["status"] for one in trials] == [
        "finished"
    ] * 4

    # From the record: only where the package is named, and a changed file is told.
    words = (f"run={whole}", "logger=none", "data.split=test", "paths.runs_dir=scored")
    evaluate = ("evaluate", *words)
    assert "'mylab' is not named on this machine" in done(start(*evaluate), 2)
    with (tmp_path / "mylab.py").open("a") as file:
        file.write("\n# changed\n")
    out = done(start(*evaluate, SEGLAB_PLUGINS="mylab"))
    assert "warning: the code has changed since the run: mylab.TinyNet" in out.replace("\n", " ")
    # The refused one left no record.
    (scored,) = (tmp_path / "scored").rglob("run.json")
    metrics = json.loads(scored.read_text())["metrics"]
    assert metrics["test/accuracy"] == record["metrics"]["test/accuracy"]
