"""Settings for every test: no network, no W&B account, few threads, nothing written to home."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The suite judges a change, so it draws the same examples each time; to look for new ones, run
# it with HYPOTHESIS_PROFILE=explore and --hypothesis-seed=N. How long one takes is the machine's business.
settings.register_profile("same", derandomize=True, print_blob=False, deadline=None)
settings.register_profile("explore", derandomize=False, print_blob=True, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

# As many processes as cores run tests at once, so each computes with one thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_SILENT"] = "true"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MPLBACKEND"] = "Agg"


@pytest.fixture(scope="session", autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep caches, generated data and runs of the tests away from the user's."""
    base = tmp_path_factory.mktemp("seglab")
    for variable, name in (
        ("SEGLAB_CACHE", "cache"),
        ("SEGLAB_DATA", "data"),
        ("SEGLAB_RUNS", "runs"),
    ):
        os.environ[variable] = str(base / name)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real images and weights beside the checkout; tests that need it are skipped."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "data" / "camvid").is_dir():
        pytest.skip(f"no real data: {folder} is not there")
    return folder
