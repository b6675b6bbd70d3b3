"""A training small enough to run many times: a tiny synthetic set, SegNet-Basic with 4 channels."""

from __future__ import annotations

from pathlib import Path

import pytest

TINY = [
    "data=synth",
    "data.options.num_images=24",
    "data.options.image_size=[48,64]",
    "data.options.frames_per_group=2",
    "data.crop_size=[48,64]",
    "data.batch_size=4",
    "model=segnet_basic",
    "model.width=4",
    "model.kernel_size=3",
    "model.dropout=0.1",
    "trainer.max_epochs=2",
    "trainer.num_workers=0",
    "trainer.num_threads=1",
    "trainer.accelerator=cpu",
    "callbacks.progress=off",
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
