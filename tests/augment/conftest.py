from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

PRESETS = Path(__file__).resolve().parents[2] / "conf" / "augment"


@pytest.fixture(autouse=True)
def single_thread() -> Iterator[None]:
    torch_threads, cv_threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    yield
    torch.set_num_threads(torch_threads)
    cv2.setNumThreads(cv_threads)


@pytest.fixture(params=sorted(PRESETS.glob("*.yaml")), ids=lambda path: path.stem)
def preset(request: pytest.FixtureRequest) -> Path:
    """Each configuration of augmentations."""
    path: Path = request.param
    return path


@pytest.fixture
def scene() -> tuple[np.ndarray, np.ndarray]:
    """A smooth RGB image 90x120 and a mask of the classes 0..4 with some void."""
    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
    image = cv2.resize(coarse, (120, 90), interpolation=cv2.INTER_CUBIC)
    mask = np.repeat(np.repeat(rng.integers(0, 5, (9, 12)), 10, 0), 10, 1).astype(np.uint8)
    mask[40:50, 60:75] = 255
    return image, mask
