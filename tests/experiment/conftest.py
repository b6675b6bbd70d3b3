"""A training small enough to run many times: a tiny synthetic set, SegNet-Basic with 4 channels."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import training

TINY = [
    *training.TINY,
    "model.dropout=0.1",
    "trainer.max_epochs=2",
    "trainer.accelerator=cpu",
    "callbacks.overlays.num_images=2",
    "logger=none",
]


@pytest.fixture(scope="session")
def tiny_words() -> list[str]:
    """Overrides of the tiny training."""
    return TINY


@pytest.fixture
def tiny(tmp_path: Path) -> list[str]:
    """The same; its runs go to a folder of the test."""
    return [*TINY, f"paths.runs_dir={tmp_path / 'runs'}"]
