"""Tests that need a GPU; each runs once on the CPU too, so that its own mistakes show everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from rich.console import Console

from seglab.config.compose import compose
from seglab.experiment.train import TrainResult, train
from tests import training

NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
TINY = [
    *training.TINY,
    "model.dropout=0.1",
    "trainer.max_epochs=2",
    "callbacks.overlays.num_images=0",
    "metrics.baseline=false",
    "logger=none",
]
QUIET = Console(quiet=True)


@pytest.fixture(
    scope="session",
    params=[
        pytest.param("cuda", marks=[pytest.mark.gpu, NEEDS_CUDA]),
        pytest.param("cpu", marks=pytest.mark.slow),
    ],
)
def device(request: pytest.FixtureRequest) -> str:
    """Where the test runs."""
    name: str = request.param
    return name


@pytest.fixture
def tiny(device: str, tmp_path: Path) -> list[str]:
    """Words of a training of seconds on the device, with folders of its own."""
    return [
        *TINY,
        f"trainer.accelerator={device}",
        f"paths.runs_dir={tmp_path / 'runs'}",
        f"paths.cache_dir={tmp_path / 'cache'}",
    ]


@pytest.fixture(scope="session")
def trained(device: str, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """A finished training on the device."""
    words = [*TINY, f"trainer.accelerator={device}", "trainer.max_epochs=1"]
    return train(compose(words), tmp_path_factory.mktemp(device) / "run", QUIET)
