"""README's way from a run to a service in four commands, as it stands there."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from seglab.bundle.loader import load
from seglab.config.compose import compose
from seglab.experiment.train import train
from tests.deploy.test_export import TINY
from tests.pages.blocks import ROOT, blocks

SEGLAB = [sys.executable, "-m", "seglab.cli"]


def readme_commands(**places: str) -> list[list[str]]:
    """Return the words of the block's commands with real places in them."""
    (block,) = [one for one in blocks("bash", page="README.md") if "seglab serve" in one.code]
    return [words[1:] for words in block.commands(places)]


@pytest.mark.slow
def test_from_a_run_to_a_service_in_four_commands(tmp_path: Path) -> None:
    run = train(compose([*TINY, "trainer.max_epochs=1"]), tmp_path / "run", Console(quiet=True))
    photos = tmp_path / "my photos"
    photos.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(photos / "é 1.jpg")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    export, predict, serve, watch = readme_commands(
        RUN_DIR=str(run.run_dir), PHOTOS=str(photos), **{"8000": str(port)}
    )

    for words in (export, predict):
        subprocess.run([*SEGLAB, *words], cwd=tmp_path, check=True, env=_environment())
    bundle = load(tmp_path / "model")
    content = (photos / "é 1.jpg").read_bytes()
    wanted = bundle.predict(bundle.decode(content)).mask
    (written,) = (tmp_path / "masks").rglob("*.png")
    np.testing.assert_array_equal(np.array(Image.open(written)), wanted)

    server = subprocess.Popen([*SEGLAB, *serve], cwd=tmp_path, env=_environment())
    try:
        _wait_until_ready(port)
        url = f"http://127.0.0.1:{port}/v1/predict"
        answer = httpx.post(
            url, content=content, headers={"Content-Type": "image/jpeg"}, timeout=30
        )
        assert answer.json()["model"]["id"] == bundle.id
        # One answer is too few to judge, so nothing is wrong: it ends with 0.
        once = [*SEGLAB, *watch, "once=true"]
        subprocess.run(once, cwd=tmp_path, check=True, env=_environment())
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0


def _environment() -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }


def _wait_until_ready(port: int) -> None:
    for _ in range(300):
        try:
            if httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise AssertionError("the server did not become ready within a minute")
